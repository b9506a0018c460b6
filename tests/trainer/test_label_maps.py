# SPDX-License-Identifier: Apache-2.0
"""Models that have classes at each position of their output: plans, steps and what they learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.ops.pixelwise_cross_entropy import IGNORED, PixelwiseCrossEntropy
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.native import NativeModel, status
from tests.support.segmentation import CLASSES, POSITIONS, scenes, segmenter
from tests.support.steps import assert_steps_are_equal, changed

ERR_LABEL = -2
RATE = LearningRate.from_real(2.0**-3)


def plan_of(options: PlanOptions, classes: int = CLASSES) -> TrainingPlan:
    return make_plan(parse(segmenter(classes), "seg"), options)


def quantised(plan: TrainingPlan, x: Array) -> Array:
    kind = plan.task.input.type
    return np.clip(np.floor(x / kind.scale + 0.5) + kind.zero_point, -128, 127).astype(np.int8)


def accuracy(reference: Interpreter, x: Array, y: Array) -> float:
    """By positions that take part."""
    rows = [reference.infer(sample).reshape(-1, CLASSES).argmax(axis=1) for sample in x]
    labels = y.reshape(len(y), -1)
    return float((np.stack(rows) == labels)[labels != IGNORED].mean())


@pytest.mark.parametrize(
    "options",
    [
        PlanOptions("full"),
        PlanOptions("last:2", class_weights="1,8,4", errors="e8"),
        PlanOptions("head", 5, accumulate=3, weights="int8", chain=True),
        PlanOptions("last:2", receive_ahead=True, loss="pixelwise-cross-entropy"),
    ],
    ids=["full", "weights-e8", "new-head", "ahead"],
)
def test_steps_on_label_maps_are_bit_exact(options: PlanOptions, tmp_path: Path) -> None:
    plan = plan_of(options)
    reference = assert_steps_are_equal(plan, tmp_path, 10)

    assert plan.takes_label_map and not plan.takes_label
    assert plan.classes == (options.classes or CLASSES)
    assert plan.target_bytes == POSITIONS**2
    assert changed(plan, reference) == {t.name for t in plan.learned}


def test_one_output_at_each_position_is_a_class_against_another(tmp_path: Path) -> None:
    plan = plan_of(PlanOptions("full"), classes=1)
    assert_steps_are_equal(plan, tmp_path, 6)

    assert plan.classes == 2 and plan.takes_label_map


def test_a_small_segmentation_is_learned() -> None:
    plan = plan_of(PlanOptions("full"))
    reference = Interpreter(plan, seed=1)
    reference.set_learning_rate(RATE)
    (x, y), (x_test, y_test) = scenes(40, 5), scenes(20, 6)
    x, x_test = quantised(plan, x), quantised(plan, x_test)
    before = accuracy(reference, x_test, y_test)
    losses = [reference.step(x[k % 40], y[k % 40]).real(plan) for k in range(200)]

    assert before < 0.8
    assert accuracy(reference, x_test, y_test) > 0.95
    assert np.mean(losses[-40:]) < np.mean(losses[:10]) / 3


def test_a_map_without_labels_changes_nothing() -> None:
    plan = plan_of(PlanOptions("full"))
    reference = Interpreter(plan)
    x = quantised(plan, scenes(1, 2)[0][0])
    record = reference.step(x, np.full((POSITIONS, POSITIONS), IGNORED, np.uint8))

    assert (record.sum, record.distance) == (0, 0)
    assert not changed(plan, reference)


def test_the_device_looks_at_the_labels_of_a_map(tmp_path: Path) -> None:
    plan = plan_of(PlanOptions("full"))
    device, reference = NativeModel(plan, tmp_path), Interpreter(plan)
    device.reset(0)
    x, y = quantised(plan, scenes(1, 2)[0][0]), scenes(1, 2)[1][0]
    for wrong in (CLASSES, IGNORED - 1):
        bad = y.copy()
        bad[-1, -1] = wrong
        device.push("push", 0, x)
        device.push("push_target", 0, bad.view(np.int8))
        assert status(device.begin(0)) == ERR_LABEL
    device.push("push_target", 0, y.view(np.int8))
    assert status(device.begin(0)) == 0
    assert device.run(1000)
    reference.step(x, y)

    assert device.digest() == reference.digest()
    assert device.call("predicted_at", POSITIONS**2) == 0
    logits = device.infer(x).reshape(-1, CLASSES)
    found = [device.call("predicted_at", k) for k in range(POSITIONS**2)]
    assert found == logits.argmax(axis=1).tolist()
    assert len(set(found)) > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (PlanOptions("head", class_weights="1,2"), "a number from 0 to 1e+06 for each of the 3"),
        (PlanOptions("head", class_weights="0,0,0"), "a number from 0"),
        (PlanOptions("head", class_weights="1,x,1"), "--class-weights 1,x,1"),
        (PlanOptions("head", class_weights="1,inf,1"), "--class-weights 1,inf,1"),
        (PlanOptions("head", class_weights="1,-1,1"), "--class-weights 1,-1,1"),
        (PlanOptions("head", class_weights="1,1,1000"), "too far apart"),
        (PlanOptions("head", spare_classes=2), "--spare-classes is for one label of each sample"),
        (PlanOptions("head", absent="keep"), "--absent keep is for one label of each sample"),
        (PlanOptions("head", loss="mse", class_weights="1,1,1"), "is for labels of positions"),
    ],
)
def test_what_does_not_go_with_positions_is_refused(options: PlanOptions, message: str) -> None:
    with pytest.raises(ModelError) as refused:
        plan_of(options)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_weights_change_the_numerics_and_nothing_else_does() -> None:
    plans = [plan_of(PlanOptions("head", class_weights=w)) for w in (None, "1,2,1", "1,3,1")]

    assert len({plan.numerics_hash for plan in plans}) == 3
    loss = plans[1].task.loss.op
    assert isinstance(loss, PixelwiseCrossEntropy) and loss.weights == (1.0, 2.0, 1.0)
