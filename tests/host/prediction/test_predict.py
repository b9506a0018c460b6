# SPDX-License-Identifier: Apache-2.0
"""Instructions without a build: against what was counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcutrain.host.boards import board_names, core_of
from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.prediction.calls import Part, executed
from mcutrain.host.prediction.density import Density, traced
from mcutrain.host.prediction.features import features, window_features
from mcutrain.host.prediction.predict import (
    ALIKE,
    BETWEEN,
    STANDARD,
    Prediction,
    coefficients,
    kernel_of,
    predict,
)
from mcutrain.host.simulation.profile import Profile
from mcutrain.host.training.random_steps import profiled
from mcutrain.trainer.graph.tensor import Role
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.command import Run
from tests.support.generated import SMALL
from tests.support.marks import exhaustive
from tests.support.paths import MCUNET, MCUNET_49KB, WATCH
from tests.support.simulated_boards import board_param

LIMIT = 0.1  # what is promised of a prediction
SMALL_SHARE = 0.01  # of a step: a node below it may be off by this
MODEL = WATCH / "watch.tflite"
REAL = {
    "kws": ("mlperf-tiny/kws_ref_model.tflite", PlanOptions("last:2")),
    "resnet8": ("mlperf-tiny/pretrainedResnet_quant.tflite", PlanOptions("last:4")),
    "mcunet": (MCUNET, PlanOptions("", 10)),
}


def watch(board: str, update: str) -> TrainingPlan:
    return make_plan(load(MODEL), PlanOptions(update), Target.parse(f"sim:{board}").chip)


def assert_near(said: Prediction, step: Profile, inference: Profile) -> None:
    """Each node, and the whole."""
    counted = {cost.of.node: cost.count for cost in step.nodes}
    assert {node.of.node for node in said.nodes} == counted.keys()
    for node in said.nodes:
        took = counted[node.of.node]
        room = max(LIMIT * took, SMALL_SHARE * step.count)
        assert abs(node.instructions - took) <= room, (node.of.node.name, node.instructions, took)
    longest = max(counted[n.of.node] / n.slices for n in said.nodes)
    assert abs(said.longest.slice_instructions - longest) <= LIMIT * longest
    assert abs(said.step - step.count) <= LIMIT * step.count
    assert abs(said.inference - inference.count) <= LIMIT * inference.count


@pytest.mark.slow
@pytest.mark.parametrize(
    ("board", "update"), [board_param("mps2_an386", "last:2"), board_param("microbit", "head")]
)
def test_what_is_predicted_is_counted(board: str, update: str) -> None:
    plan = watch(board, update)
    found = profiled(build(plan, Target.parse(f"sim:{board}")))
    said = predict(plan, core_of(board), traced(plan))

    assert said.notes == []
    assert_near(said, found["step"], found["forward"])


@pytest.mark.slow
@pytest.mark.parametrize("name", [exhaustive(name, REAL) for name in REAL])
@pytest.mark.parametrize("board", [board_param("mps2_an386")])
def test_so_it_is_of_real_models(board: str, name: str, models: Path) -> None:
    file, options = REAL[name]
    if not options.update:
        options = PlanOptions(str(models / MCUNET_49KB), options.classes)
    target = Target.parse(f"sim:{board}")
    plan = make_plan(load(models / file), options, target.chip)
    found = profiled(build(plan, target))

    assert_near(predict(plan, core_of(board), traced(plan)), found["step"], found["forward"])


def test_features_count_the_turns_of_loops() -> None:
    """Of a depthwise layer with a window over the edge, and of an update at one position."""
    plan = watch("mps2_an386", "last:2")
    found = {e.node.name: features(e, Density(0.25, 0.5)) for e in executed(plan)}
    taps = 16 * 5 - 2 * (2 + 1)  # of five, two hang over at each end, and one

    assert found["depthwise_conv_2d_1"] == {
        "call": 1, "output": 256, "input": 256, "channel": 16, "position": 16, "tap": taps,
        "row": 16, "column": taps * 16, "run": 256, "mac": taps * 16, "weight": 80,
        "line": 16,
    }  # fmt: skip
    update = found["fully_connected_5_w_update"]
    assert (update["mac"], update["busy mac"], update["output"]) == (168, 42, 168)
    assert update["changed at once"] == 168 * 0.125 and "changed" not in update
    assert "busy mac" not in found["fully_connected_5"]


@pytest.mark.parametrize(("stride", "strided"), [(1, 0.0), (2, 96.0)])
def test_products_of_windows_that_are_apart_are_told(stride: int, strided: float) -> None:
    axis = {"in": 16, "out": 4, "kernel": 1, "stride": stride}
    p = {f"{key}_{of}": value for key, value in axis.items() for of in "hw"}
    p |= {"pad_top": 0, "pad_left": 0, "in_ch": 3, "out_ch": 2}

    found = window_features(p, macs=96)

    assert (found["mac"], found["strided"], found["line"]) == (96, strided, 8)


def test_a_step_of_the_reference_says_what_is_zero() -> None:
    plan = watch("mps2_an386", "last:2")
    found = {tensor.name: share for tensor, share in traced(plan).items()}

    assert found["cross_entropy_d_logits"] > 0.2  # with a trained head, from the first step
    relu = [name for name in found if name in ("conv_2d_0", "depthwise_conv_2d_1", "conv_2d_2")]
    assert len(relu) == 3 and all(0.05 < found[name] < 0.95 for name in relu)
    assert found["average_pool_2d_3_d_conv_2d_2"] < 1 == max(found.values())
    made = {t for each in executed(plan) for t in each.node.outputs if t.role is Role.ACTIVATION}
    assert made <= traced(plan).keys()


def test_a_prediction_adds_up() -> None:
    said = predict(watch("mps2_an386", "last:2"), "cortex-m4")
    forward = [n for n in said.nodes if n.of.part is Part.FORWARD]

    assert said.step == round(sum(n.instructions for n in said.nodes) + said.between)
    assert said.inference == round(sum(n.instructions for n in forward))
    assert 0 < said.inference < said.step
    assert all(n.instructions > 0 for n in said.nodes)


@pytest.mark.parametrize("name", SMALL)
def test_each_kernel_has_coefficients_or_says_whose_it_takes(name: str) -> None:
    plan = SMALL[name]()
    table = coefficients()[STANDARD]
    said = predict(plan, STANDARD)

    for node in said.nodes:
        assert (node.like is None) == (kernel_of(node.of) in table)
        assert node.like is None or (node.like in table and node.like != BETWEEN)
    assert [n.of.node for n in said.nodes] == [each.node for each in executed(plan)]


def test_a_core_that_is_not_known_is_predicted_as_another_and_says_so() -> None:
    plan = watch("mps2_an386", "head")
    known, other, generic = (predict(plan, core) for core in (STANDARD, "cortex-m85", None))

    assert known.step == other.step == generic.step
    assert known.notes == []
    assert other.notes == ["no cortex-m85: predicted as portable C on a cortex-m4"]
    assert generic.notes == ["the chip's core is not known: predicted as portable C on a cortex-m4"]


def test_the_cores_of_the_boards_are_known() -> None:
    cores = {core for board in board_names() if (core := core_of(board)) is not None}

    # Of an AVR nothing is predicted: the notes say whose instructions are shown.
    fitted = {core for core in cores if not core.startswith("atmega")}
    assert fitted <= coefficients().keys() | ALIKE.keys()
    assert core_of("native") is None and core_of("a generic chip") is None


def test_plan_shows_what_is_predicted(run: Run) -> None:
    said = run("plan", MODEL, "--update", "last:2", "--json").json["predicted_instructions"]

    assert said["core"] is None and said["like"] == STANDARD
    assert {"conv_2d_0", "conv_2d_2_w_update"} <= {node["node"] for node in said["nodes"]}
    printed = run("plan", MODEL, "--update", "last:2").out
    assert (
        f"predicted instructions on a cortex-m4: {said['inference']:,} an inference, "
        f"{said['step']:,} a step (not cycles)"
    ) in printed
    assert "the chip's core is not known: predicted as portable C on a cortex-m4" in printed
