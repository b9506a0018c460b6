# SPDX-License-Identifier: Apache-2.0
"""What a state satisfies: the device judges each one as the reference does (SPEC 4)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.tensor import Array, DType, Tensor
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from mcutrain.trainer.training_state import check_state
from tests.support.native import NativeModel
from tests.support.random_models import samples
from tests.support.small_models import CLASSES, residual_model

OPTIONS = {
    "plain": PlanOptions("full"),
    "spare": PlanOptions("head", spare_classes=2),
    "e8-sums": PlanOptions("last:2", errors="e8", accumulate=4),
    "int8": PlanOptions("last:2", weights="int8"),
}
EDGES = {
    DType.S8: (-128, -127, -1, 0, 1, 127),
    DType.S16: (-32768, -(2**14) - 1, -(2**14), -1, 0, 1, 15, 16, 2**14, 2**14 + 1, 32767),
    DType.S32: (-(2**31), -(2**30) - 1, -(2**30), 0, 2**30, 2**30 + 1, 2**31 - 1),
    DType.U32: (0, 1, 2, 3, CLASSES, CLASSES + 2, CLASSES + 3, 127, 128, 255, 256, 2**32 - 1),
}


@pytest.fixture(params=OPTIONS.values(), ids=OPTIONS)
def plan(request: pytest.FixtureRequest) -> TrainingPlan:
    return make_plan(parse(residual_model(), "small"), request.param)


@pytest.fixture
def trained(plan: TrainingPlan) -> dict[Tensor, Array]:
    reference = Interpreter(plan, seed=3)
    for k, sample in enumerate(samples(plan.task.input.type.shape, 6, seed=1)[:6]):
        reference.step(sample, k % CLASSES)
    return reference.state


def is_valid(plan: TrainingPlan, state: dict[Tensor, Array]) -> bool:
    try:
        check_state(plan, state)
    except ModelError:
        return False
    return True


def spoilt(state: dict[Tensor, Array]) -> Iterator[dict[Tensor, Array]]:
    """Each edge value in each state tensor, at its first and its last element."""
    for tensor, value in state.items():
        for at in {0, value.size - 1}:
            for edge in EDGES[tensor.type.dtype]:
                changed = value.copy()
                changed.reshape(-1)[at] = edge
                yield state | {tensor: changed}


def test_what_training_leaves_is_valid(
    plan: TrainingPlan, trained: dict[Tensor, Array], tmp_path: Path
) -> None:
    device = NativeModel(plan, tmp_path)
    assert device.call("state_is_valid") & 0xFF
    assert is_valid(plan, device.state()) and is_valid(plan, trained)


def test_the_device_judges_as_the_reference(
    plan: TrainingPlan, trained: dict[Tensor, Array], tmp_path: Path
) -> None:
    device, verdicts = NativeModel(plan, tmp_path), []
    for state in spoilt(trained):
        for tensor, value in state.items():
            device[tensor][...] = value
        verdicts.append(bool(device.call("state_is_valid") & 0xFF))
        assert verdicts[-1] is is_valid(plan, state)

    assert set(verdicts) == {True, False}


def test_a_history_that_needed_nothing_yet_counts_nothing() -> None:
    plan = make_plan(parse(residual_model(), "small"), PlanOptions("full"))
    state = Interpreter(plan).state
    first = plan.learning.histories[0]
    assert is_valid(plan, state)
    assert not is_valid(plan, state | {first: np.array([-32768, 1], np.int16)})


def test_a_weight_of_the_model_file_may_be_the_least() -> None:
    """Until its first step, which no later weight is (SPEC 1.5)."""
    plan = make_plan(parse(residual_model(), "small"), PlanOptions("head"))
    state = Interpreter(plan).state
    weight = plan.learned[0]
    fraction = plan.learning.companions.joined(weight)
    assert fraction is not None
    least = np.full_like(state[weight], -128)
    assert is_valid(plan, state | {weight: least})
    below = np.full_like(state[fraction], -128)
    assert not is_valid(plan, state | {weight: least, fraction: below})
