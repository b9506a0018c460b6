# SPDX-License-Identifier: Apache-2.0
"""Classes without samples take no part in softmax and error, and so are not forgotten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.sgd import FRACTION
from mcutrain.trainer.ops.softmax_cross_entropy import class_bits
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.native import NativeModel
from tests.support.random_models import samples
from tests.support.small_models import CLASSES, SHAPE, residual_model
from tests.support.steps import assert_steps_are_equal

INPUTS = samples(SHAPE, 8, 3)[3:]


@pytest.fixture(scope="module")
def model() -> Model:
    return parse(residual_model(), "small")


def seen_by(reference: Interpreter) -> list[int]:
    assert reference.plan.task.seen is not None
    return np.flatnonzero(class_bits(reference.state[reference.plan.task.seen])).tolist()


def head_rows(plan: TrainingPlan, reference: Interpreter) -> list[bytes]:
    """What each class's row of the head's weights and bias holds."""
    weight = next(t for t in reversed(plan.learned) if t in plan.learning.companions.of(FRACTION))
    bias = plan.learned[-1]
    parts = (weight, plan.learning.companions.of(FRACTION)[weight], bias)
    return [b"".join(reference.state[p][k].tobytes() for p in parts) for k in range(plan.classes)]


@pytest.mark.parametrize(
    "options",
    [
        PlanOptions("full", absent="keep"),
        PlanOptions("head", 40, spare_classes=3, absent="keep"),
        PlanOptions("last:2", errors="e8", weights="int8", absent="keep"),
        PlanOptions("last:2", accumulate=3, recompute=True, absent="keep"),
    ],
    ids=["full", "spare", "e8", "accumulate"],
)
def test_steps_are_those_of_the_reference(
    model: Model, options: PlanOptions, tmp_path: Path
) -> None:
    plan = make_plan(model, options)
    reference = assert_steps_are_equal(plan, tmp_path, 8)

    assert seen_by(reference) == sorted({k * 7 % reference.classes for k in range(8)})


def test_rows_of_absent_classes_stay(model: Model) -> None:
    plan = make_plan(model, PlanOptions("head", absent="keep"))
    kept, pushed = Interpreter(plan), Interpreter(make_plan(model, PlanOptions("head")))
    before = head_rows(plan, kept), head_rows(pushed.plan, pushed)
    for k in range(20):
        for reference in (kept, pushed):
            reference.step(INPUTS[k % 5], (1, 3)[k % 2])
    stay = [
        [old == new for old, new in zip(rows, head_rows(reference.plan, reference), strict=True)]
        for rows, reference in zip(before, (kept, pushed), strict=True)
    ]

    assert stay == [[True, False, True, False], [False] * CLASSES]


def test_one_class_alone_changes_nothing(model: Model) -> None:
    reference = Interpreter(make_plan(model, PlanOptions("full", absent="keep")))
    before = reference.digest()
    records = [reference.step(x, 2) for x in INPUTS]

    assert reference.digest() == before
    assert [r.real(reference.plan) for r in records] == [0.0] * len(INPUTS)


def test_where_all_classes_are_seen_the_mask_changes_nothing(model: Model) -> None:
    plain = Interpreter(make_plan(model, PlanOptions("full")))
    masked = Interpreter(make_plan(model, PlanOptions("full", absent="keep")))
    assert masked.plan.task.seen is not None
    masked.state[masked.plan.task.seen] = np.array([2**CLASSES - 1], np.uint32)
    for k, sample in enumerate(INPUTS):
        assert masked.step(sample, k % CLASSES) == plain.step(sample, k % CLASSES)
        assert masked.digest() == plain.digest()


def test_the_mask_costs_a_word_of_state(model: Model) -> None:
    def state_bytes(classes: int, absent: str) -> int:
        plan = make_plan(model, PlanOptions("head", classes, absent=absent))
        return plan.memory.state_bytes

    for classes, nbytes in ((2, 4), (32, 4), (33, 8)):
        assert state_bytes(classes, "keep") - state_bytes(classes, "learn") == nbytes
    assert state_bytes(33, "auto") == state_bytes(33, "learn")


def test_a_firmware_begins_anew_to_see_classes(model: Model, tmp_path: Path) -> None:
    plan = make_plan(model, PlanOptions("head", absent="keep"))
    device, reference = NativeModel(plan, tmp_path), Interpreter(plan)
    assert plan.task.seen is not None
    for k in range(4):
        device.step(INPUTS[k], k % 2)
        reference.step(INPUTS[k], k % 2)
    assert device[plan.task.seen].tolist() == [0b11]

    assert device.call("clear_seen_classes") == 0
    reference.state[plan.task.seen] = np.zeros(1, np.uint32)
    for k in range(4):
        assert device.step(INPUTS[k], 2 + k % 2) == reference.step(INPUTS[k], 2 + k % 2)
    assert device[plan.task.seen].tolist() == [0b1100]
    assert device.digest() == reference.digest()

    device.write_input(INPUTS[0])
    assert device.call("begin", 0) == 0
    assert device.call("clear_seen_classes") & 0xFF == 0xFF  # MCT_ERR_BUSY


def test_the_mask_is_another_arithmetic_and_no_part_of_the_digest(model: Model) -> None:
    plans = [make_plan(model, PlanOptions("head", absent=a)) for a in ("auto", "learn", "keep")]

    assert plans[0].numerics_hash == plans[1].numerics_hash != plans[2].numerics_hash
    assert len({Interpreter(plan).digest() for plan in plans}) == 1


@pytest.mark.parametrize("loss", ["mse", "reconstruction"])
def test_without_labels_there_is_nothing_to_keep(model: Model, loss: str) -> None:
    with pytest.raises(ModelError, match=f"the loss {loss} takes no label: leave it out"):
        make_plan(model, PlanOptions("head", loss=loss, absent="keep"))


def test_another_word_is_refused(model: Model) -> None:
    with pytest.raises(ModelError, match="--absent mask: take one of auto, keep, learn"):
        make_plan(model, PlanOptions("head", absent="mask"))
