# SPDX-License-Identifier: Apache-2.0
"""Steps that are scaled behind each input channel: their exponents, and trainings with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.in_process import in_process_runner
from mcutrain.host.training.loop import train
from mcutrain.host.training.preconditioning import exponents, with_input_shifts
from mcutrain.host.training.result import Result
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.errors import SchemeError
from mcutrain.trainer.formats import Formats
from mcutrain.trainer.graph.tensor import Array, DType
from mcutrain.trainer.interpreter import Interpreter, pack_state, unpack_state
from mcutrain.trainer.ops.sgd import INPUT_SHIFT
from mcutrain.trainer.options import INPUTS, PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.exports import exported, going_on
from tests.support.native import NativeModel
from tests.support.small_models import CLASSES, residual_model


def plan_of(precondition: str = INPUTS, update: str = "full") -> TrainingPlan:
    return make_plan(
        parse(residual_model(), "small"), PlanOptions(update, precondition=precondition)
    )


def data_of(plan: TrainingPlan, samples: int = 12) -> Dataset:
    rng = np.random.default_rng(3)
    x = rng.integers(-128, 128, (samples, *plan.task.input.type.shape[1:])).astype(np.int8)
    return Dataset(x, np.arange(samples) % CLASSES, x, np.arange(samples) % CLASSES)


def begun(plan: TrainingPlan) -> bytes:
    return pack_state(plan, Interpreter(plan).state)


def shifts_in(plan: TrainingPlan, state: bytes) -> list[Array]:
    tensors = unpack_state(plan, state)
    return [tensors[shift] for shift in plan.learning.companions.of(INPUT_SHIFT).values()]


def test_strong_channels_take_smaller_steps_and_weak_ones_larger() -> None:
    found = exponents(np.array([64.0, 16.0, 4.0, 1.0, 0.0]))

    assert (np.diff(found) > 0).all()
    assert found[0] < 0 < found[-1]
    assert exponents(np.full(7, 9.0)).tolist() == [0] * 7  # nothing to even out
    assert exponents(np.zeros(3)).tolist() == [0] * 3


def test_exponents_do_not_depend_on_the_scale_of_the_values() -> None:
    power = np.random.default_rng(0).uniform(0, 9, 40)

    np.testing.assert_array_equal(exponents(power), exponents(1000 * power))


def test_each_learned_weight_has_an_exponent_for_each_input_channel() -> None:
    plan = plan_of()
    state = with_input_shifts(plan, data_of(plan).x_train, begun(plan))
    found = shifts_in(plan, state)

    weights = plan.learning.companions.of(INPUT_SHIFT)
    assert set(weights) == {t for t in plan.learned if t.type.dtype is DType.S8}
    assert [f.shape for f in found] == [w.type.shape[-1:] for w in weights]
    assert any(f.any() for f in found)


def test_exponents_stay_where_a_training_has_begun() -> None:
    plan = plan_of()
    data = data_of(plan)
    first = with_input_shifts(plan, data.x_train, begun(plan))

    assert with_input_shifts(plan, data.x_train[:1], first) == first
    tensors = unpack_state(plan, begun(plan))
    tensors[plan.learning.sgd][1] = 5
    gone_on = pack_state(plan, tensors)
    assert with_input_shifts(plan, data.x_train, gone_on) == gone_on


def test_a_plan_without_them_is_the_plan_that_it_was() -> None:
    plan, other = plan_of("off"), plan_of()

    assert not plan.learning.companions.of(INPUT_SHIFT)
    assert plan.numerics_hash != other.numerics_hash
    assert with_input_shifts(plan, data_of(plan).x_train, begun(plan)) == begun(plan)


OPTIONS = TrainingOptions(epochs=1, rate=2.0**-6, seed=7, schedule="constant", tests=False)


def trained(
    plan: TrainingPlan, options: TrainingOptions = OPTIONS, state: bytes | None = None
) -> Result:
    runner = ReferenceRunner(plan)
    return train(plan, data_of(plan), runner, options, lambda progress: None, state)


def test_the_generated_c_learns_the_same_and_each_step_is_verified() -> None:
    plan = plan_of()
    with in_process_runner(plan, 10**9) as runner:
        options = replace(OPTIONS, verify=True)
        in_c = train(plan, data_of(plan), runner, options, lambda progress: None)

    assert in_c.bit_exact
    assert in_c.state == trained(plan).state
    assert any(shift.any() for shift in shifts_in(plan, in_c.state))
    assert in_c.losses != trained(plan_of("off")).losses


def test_a_training_that_was_stopped_goes_on_with_its_exponents() -> None:
    plan = plan_of(update="last:2")
    part = trained(plan, replace(OPTIONS, order=np.arange(4)))
    data, runner = data_of(plan), ReferenceRunner(plan)
    other = Dataset(data.x_train // 9, data.y_train, data.x_test, data.y_test)
    rest = train(plan, other, runner, OPTIONS, lambda progress: None, part.state)

    for kept, first in zip(*(shifts_in(plan, r.state) for r in (rest, part)), strict=True):
        np.testing.assert_array_equal(kept, first)


def test_a_device_alone_begins_with_the_exponents_of_an_exported_model(tmp_path: Path) -> None:
    plan = plan_of(update="last:2")
    at_the_desk = trained(plan, replace(OPTIONS, steps=0))
    reference = Interpreter(plan)
    reference.state = unpack_state(plan, at_the_desk.state)
    there = going_on(exported(residual_model(), reference), Formats(precondition=INPUTS)).plan
    device = NativeModel(there, tmp_path)
    device.reset(1)

    shifts = there.learning.companions.of(INPUT_SHIFT).values()
    assert at_the_desk.steps == 0
    assert any(device[shift].any() for shift in shifts)
    for shift, first in zip(shifts, shifts_in(plan, at_the_desk.state), strict=True):
        np.testing.assert_array_equal(device[shift], first)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(SchemeError, match="--precondition all: take one of auto, off, inputs"):
        plan_of("all")
