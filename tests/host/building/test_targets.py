# SPDX-License-Identifier: Apache-2.0
"""Twenty steps of each scheme are bit-equal in NumPy, on the native port and on a Cortex-M4,
and what the plan says about memory equals the linker map to the byte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.boards import chip_of
from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.cost import measured
from mcutrain.host.training.dataset import Dataset, load_dataset
from mcutrain.host.training.loop import train
from mcutrain.host.training.runners import ReferenceRunner, simulated
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load, parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.marks import exhaustive
from tests.support.random_models import samples
from tests.support.simulated_boards import board_param
from tests.support.small_models import residual_model, write_dataset

pytestmark = pytest.mark.board

PARTIAL = """
bias_last = 2
[weights]
0 = 0.7
dw_w = 0.5
2 = 0.25
"""
SCHEMES = ("head", "last:2", "bias", "full", "partial.toml")


NAMES = ("string", "crc32", "features")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("targets")
    write_dataset(path / "data.npz")
    (path / "partial.toml").write_text(PARTIAL)
    return path


def plan_of(folder: Path, scheme: str) -> TrainingPlan:
    spec = str(folder / scheme) if scheme.endswith(".toml") else scheme
    return make_plan(parse(residual_model(), "small"), PlanOptions(spec))


@pytest.mark.parametrize("name", [exhaustive(n, ["string", "features"]) for n in NAMES])
@pytest.mark.parametrize("target", ["native", "sim:mps2_an386"])
def test_a_model_may_be_called_as_a_header_or_a_source_is(name: str, target: str) -> None:
    plan = make_plan(parse(residual_model(), name), PlanOptions("head"))
    cost = measured(build(plan, Target.parse(target)))

    assert cost["flash_bytes"] > cost["constant_bytes"]


def test_a_plan_beyond_the_boards_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(parse(residual_model(), "small"), PlanOptions("full"))
    small = replace(chip_of("native"), ram_bytes=2000)
    monkeypatch.setattr("mcutrain.host.building.target.chip_of", lambda board: small)

    with pytest.raises(BudgetError, match=r"has 2,000; the arena is fullest at \w+") as refused:
        build(plan, Target.parse("native"))
    assert refused.value.needed_bytes > refused.value.available_bytes == 2000


@pytest.mark.slow
@pytest.mark.parametrize("scheme", [exhaustive(s, SCHEMES[:4]) for s in SCHEMES])
def test_twenty_steps_are_bit_equal_on_every_target(folder: Path, scheme: str) -> None:
    plan = plan_of(folder, scheme)
    data = load_dataset(folder / "data.npz", plan)
    options = TrainingOptions(epochs=1, steps=20, rate=2**-5, seed=3, verify=True)

    def quiet(progress: object) -> None:
        pass

    expected = train(plan, data, ReferenceRunner(plan), options, quiet)
    for name in ("native", "sim:mps2_an386"):
        built = build(plan, Target.parse(name))
        with simulated(built) as runner:
            result = train(plan, data, runner, options, quiet)

        assert result.difference is None, result.difference
        assert result.verified_steps == result.steps == 20
        assert result.state == expected.state
        assert result.losses == expected.losses

        cost = measured(built)  # raises where plan and linker map disagree
        assert cost["arena_bytes"] == plan.memory.arena_bytes
        assert cost["learned_bytes"] == plan.memory.state_bytes
        named = sum(cost[k] for k in ("arena_bytes", "learned_bytes", "stack_bytes", "link_bytes"))
        assert cost["sram_bytes"] == named + sum(cost["other_ram_bytes"].values())


SCHEMES = ("head", "last:4", "bias", "full")
REAL = {"kws": "mlperf-tiny/kws_ref_model", "resnet8": "mlperf-tiny/pretrainedResnet_quant"}


def random_data(plan: TrainingPlan, count: int) -> Dataset:
    drawn = samples(plan.task.input.type.shape, count, seed=6)[3:]
    x: Array = np.stack([sample.reshape(-1) for sample in drawn])
    y = np.arange(count) * 5 % plan.classes
    return Dataset(x, y, x[:1], y[:1])


@pytest.mark.slow
@pytest.mark.parametrize("scheme", [exhaustive(s, ("head", "last:4", "bias")) for s in SCHEMES])
@pytest.mark.parametrize("name", [exhaustive(name, ("resnet8",)) for name in REAL])
def test_a_real_model_trains_bit_exactly_on_a_cortex_m4(
    name: str, scheme: str, models: Path
) -> None:
    plan = make_plan(load(models / f"{REAL[name]}.tflite"), PlanOptions(scheme))
    data, options = random_data(plan, 3), TrainingOptions(epochs=1, rate=2**-6, verify=True)
    with simulated(build(plan, Target.parse("sim:mps2_an386"))) as runner:
        result = train(plan, data, runner, options, lambda progress: None)

    assert result.difference is None, result.difference
    assert result.verified_steps == result.steps == 3


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize(
    "board",
    [
        board_param(board, is_long=board != "microbit")
        for board in ("microbit", "mps2_an385", "mps2_an386", "mps3_an547")
    ],
)
def test_a_head_with_absent_classes_trains_on_each_kind_of_core(board: str) -> None:
    """Cortex-M0, M3, M4, M55: bits of the reference, and the state that was planned is linked."""
    plan = make_plan(
        parse(residual_model(), "small"),
        PlanOptions("head", spare_classes=2, absent="keep"),
        chip_of(board),
    )
    rng = np.random.default_rng(1)
    x = rng.integers(-128, 128, (8, plan.task.input.type.size)).astype(np.int8)
    y = np.arange(8) % 2 * 4 + 1  # 1 and 5
    built = build(plan, Target.parse(f"sim:{board}"))
    measured(built)
    with simulated(built) as runner:
        options = TrainingOptions(epochs=1, verify=True)
        result = train(built.plan, Dataset(x, y, x, y), runner, options, lambda progress: None)
        reference = ReferenceRunner(built.plan)
        reference.load(result.state)

    assert result.difference is None, result.difference
    assert result.verified_steps == result.steps == 8
    assert plan.task.seen is not None and built.plan.task.seen is not None
    assert reference.reference.state[built.plan.task.seen].tolist() == [0b100010]


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_squared_error_a_tail_and_spare_classes_train_on_a_cortex_m4(folder: Path) -> None:
    """What the link has for them: targets, outputs read back, classes taken into use."""
    model = parse(residual_model(), "small")
    plans = [
        make_plan(model, PlanOptions("last:2", loss="mse")),
        make_plan(model, PlanOptions("head", start="sum")),
        make_plan(model, PlanOptions("head", 2, spare_classes=3)),
    ]
    for plan in plans:
        rng = np.random.default_rng(1)
        x = rng.integers(-128, 128, (8, plan.task.input.type.size)).astype(np.int8)
        y = np.arange(8) % 4
        if not plan.takes_label:
            y = rng.integers(-128, 128, (8, plan.task.logits.type.size)).astype(np.int8)
        options = TrainingOptions(epochs=2, verify=True)
        with simulated(build(plan, Target.parse("sim:mps2_an386"))) as runner:
            result = train(plan, Dataset(x, y, x, y), runner, options, lambda progress: None)

        assert result.difference is None, result.difference
        assert result.verified_steps == result.steps == 16
        assert result.metric == ("accuracy" if plan.takes_label else "mse")
