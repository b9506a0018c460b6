# SPDX-License-Identifier: Apache-2.0
"""Group regions: the backward pass of a block by groups of channels, with the bits of whole
tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.cost import format_bytes
from mcutrain.host.training.monitor import last_errors
from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.formats import Formats
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.planner.channel_choice import Finder, grouped, sizes
from mcutrain.trainer.planner.channel_region import ChannelRegion
from mcutrain.trainer.scheme import Scheme
from mcutrain.trainer.tflite.reader import load, parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.drawn_regions import drawn_groups, force
from tests.support.marks import exhaustive, sampled
from tests.support.native import NativeModel
from tests.support.paths import MCUNET, MCUNET_49KB
from tests.support.random_blocks import large_block, random_blocks, random_scheme
from tests.support.random_models import samples
from tests.support.steps import assert_steps_are_equal, rate_at, target_at

FORMATS = [
    Formats(errors, weights, accumulate)
    for errors in ("e12", "e8")
    for weights in ("int8.8", "int8")
    for accumulate in (1, 3)
]
STEPS = 7


def plan_of(seed: int, how: str, monkeypatch: pytest.MonkeyPatch) -> TrainingPlan:
    """A random network with its regions as ``how`` says: drawn, or none."""
    data, layers = random_blocks(seed)
    model, formats = parse(data, "blocks"), FORMATS[seed % len(FORMATS)]
    rng = np.random.default_rng(seed)

    force(lambda graph: drawn_groups(graph, rng) if how == "drawn" else graph, monkeypatch)
    schemes: list[Scheme | str] = [random_scheme(seed, layers), "bias", "head"]
    for scheme in ["full", *schemes] if seed % 3 == 0 else schemes:
        try:
            return make_plan(model, formats.within(PlanOptions(scheme)))
        except ModelError:  # a random layer that cannot learn
            continue
    raise AssertionError(seed)


def digest_after(plan: TrainingPlan) -> int:
    """What is learned after the steps of ``assert_steps_are_equal``."""
    trained = Interpreter(plan, seed=99)
    drawn_samples = samples(plan.task.input.type.shape, max(STEPS - 3, 0), seed=STEPS)[:STEPS]
    for step, sample in enumerate(drawn_samples):
        trained.set_learning_rate(rate_at(step))
        trained.step(sample, target_at(plan, trained, step))
    return trained.digest()


@pytest.mark.parametrize("seed", sampled(range(48), 9))
def test_random_groups_train_bit_exactly(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(seed, "drawn", monkeypatch)
    reference = assert_steps_are_equal(plan, tmp_path, STEPS)
    assert reference.digest() == digest_after(plan_of(seed, "none", monkeypatch))


def test_updates_of_many_positions_go_in_bands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dither counts on through the bands (SPEC 1.4), over the other groups' weights too."""

    def with_groups(graph: Graph) -> Graph:
        return grouped(graph, next(Finder(graph).chains())[0], 4)

    force(with_groups, monkeypatch)
    plan = make_plan(parse(large_block(), "large"), PlanOptions("full"))
    (region,) = (n.op for n in plan.graph.nodes if isinstance(n.op, ChannelRegion))
    parts = [call.part for call in region.calls if "band_rows" in call.part.params]
    assert all(part.params["band_rows"] < part.params["out_h"] for part in parts)
    assert {part.unit for part in parts} == {"conv2d", "depthwise_conv2d"}
    assert_steps_are_equal(plan, tmp_path, 5)


@pytest.mark.slow
def test_the_random_networks_have_regions_of_every_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [n.op for s in range(48) for n in plan_of(s, "drawn", monkeypatch).graph.nodes]
    regions = [op for op in found if isinstance(op, ChannelRegion)]
    kinds = {tuple(dict.fromkeys(type(n.op).__name__ for n in op.nodes)) for op in regions}
    assert len(regions) > 40
    assert len(kinds) > 8
    assert any(op.channels % op.size for op in regions)


def test_groups_are_few_and_not_tiny() -> None:
    assert sizes(240)[:4] == [120, 80, 60, 48]
    assert sizes(240)[-1] == 8
    assert sizes(19) == [10]
    assert sizes(1) == []


def mcunet_plan(models: Path, errors: str = "e12", **options: bool) -> TrainingPlan:
    scheme = str(models / MCUNET_49KB)
    return make_plan(
        load(models / MCUNET), Formats(errors).within(PlanOptions(scheme, 10, **options))
    )


def test_the_backward_pass_of_wide_blocks_fits(models: Path) -> None:
    """Whole errors of the widest block alone take 38,400 bytes."""
    plan = mcunet_plan(models, stream_input=True)
    assert plan.memory.lower_bound <= 36_860
    assert plan.memory.arena_bytes <= 37_012


@pytest.mark.slow
@pytest.mark.parametrize("errors", ["e12", exhaustive("e8", ["e8"])])
def test_groups_never_enlarge_the_arena(
    errors: str, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = mcunet_plan(models, errors, stream_input=True)
    monkeypatch.setattr("mcutrain.trainer.planner.parts.with_groups", lambda graph, *_: graph)
    whole = mcunet_plan(models, errors, stream_input=True)
    assert plan.memory.arena_bytes <= whole.memory.arena_bytes
    assert plan.numerics_hash == whole.numerics_hash


def test_groups_are_only_where_they_help(models: Path) -> None:
    """With the sample whole, the forward pass needs more than all that they could save."""
    plan = mcunet_plan(models)
    assert not any(isinstance(node.op, ChannelRegion) for node in plan.graph.nodes)


@pytest.mark.slow
def test_what_runs_in_groups_is_still_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(12):
        whole, parted = (plan_of(seed, how, monkeypatch) for how in ("none", "drawn"))
        assert whole.numerics_hash == parted.numerics_hash
        assert whole.learning.histories and len(last_errors(whole)) == len(last_errors(parted))
        assert {t.name for t in whole.errors} == {t.name for t in parted.errors}
        assert format_bytes(parted)["errors"] >= max(
            parted.memory.slots[t].size for t in parted.errors
        )
        assert whole.step_macs == parted.step_macs


@pytest.mark.parametrize("seed", range(4))
def test_a_step_can_stop_behind_each_region(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each call all that it wrote is whole, and as the reference has it."""
    plan = plan_of(seed, "drawn", monkeypatch)
    device, reference = NativeModel(plan, tmp_path), Interpreter(plan)
    device.reset(0)
    for sample in samples(plan.task.input.type.shape, 3, seed=seed):
        device.write_input(sample)
        assert device.begin(1) & 0xFF == 0
        for node, values in reference.trace(sample, 1):
            if not node.op.alias:
                device.run(1)
                for tensor in node.outputs:
                    np.testing.assert_array_equal(device[tensor], values[tensor], tensor.name)
