# SPDX-License-Identifier: Apache-2.0
"""A companion of learned tensors is added here, in one file, and is in all that goes over them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mcutrain.codegen.manifest import manifest
from mcutrain.codegen.program import lay_out
from mcutrain.host.cost import format_bytes
from mcutrain.host.kinds import state_bytes
from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.formats import Formats
from mcutrain.trainer.graph.tensor import DType, Role, Tensor, TensorType
from mcutrain.trainer.interpreter import Interpreter, pack_state, state_digest, unpack_state
from mcutrain.trainer.ops.companion import Companion, Digest, FollowUp, Kept, LearnedFormats
from mcutrain.trainer.ops.sgd import COMPANIONS, FRACTION, INPUT_SHIFT, SUM, CountStep
from mcutrain.trainer.ops.state_check import StateCheck, count_is_valid
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from mcutrain.trainer.training_state import TrainingState, resumed
from tests.support.native import NativeModel
from tests.support.random_models import samples
from tests.support.small_models import CLASSES, residual_model
from tests.support.steps import assert_steps_are_equal

MOST = 1000


def counter_of(learned: Tensor, formats: LearnedFormats) -> Tensor:
    """STATE u32 (4,) of a learned tensor; its second element counts the updates."""
    type_ = TensorType((4,), DType.U32)
    return Tensor(f"{learned.name}_counter", type_, Role.STATE, np.array([7, 0, 0, 0], np.uint32))


def count(learned: Tensor, kept: Kept, sgd: Tensor, formats: LearnedFormats) -> Iterator[FollowUp]:
    yield FollowUp(CountStep(), (kept[COUNTER],), "count")


def counter_check(learned: Tensor, counter: Tensor) -> StateCheck:
    """The first element is at most MOST: the device has that question already."""
    return StateCheck("count_is_valid", count_is_valid, (counter,), "a wrong count", (7, MOST))


COUNTER = Companion("counter", "update counters", counter_of, follow=count, check=counter_check)


def spare_of(learned: Tensor, formats: LearnedFormats) -> Tensor:
    """STATE u8 of a learned tensor's shape, of zeros, which no operator reads."""
    type_ = TensorType(learned.type.shape, DType.U8)
    return Tensor(f"{learned.name}_spare", type_, Role.STATE, np.zeros(type_.shape, np.uint8))


SPARE = Companion("spare", "spares", spare_of, Digest.NONE, is_beside=True)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = (*COMPANIONS, COUNTER, SPARE)
    monkeypatch.setattr("mcutrain.trainer.autodiff.COMPANIONS", kinds)


@pytest.fixture(params=[1, 2], ids=["every-step", "sums"])
def plan(request: pytest.FixtureRequest) -> TrainingPlan:
    formats = Formats(accumulate=request.param)
    return make_plan(parse(residual_model(), "small"), formats.within(PlanOptions("last:2")))


def counters(plan: TrainingPlan) -> dict[Tensor, Tensor]:
    return plan.learning.companions.of(COUNTER)


def trained(plan: TrainingPlan, steps: int) -> Interpreter:
    reference = Interpreter(plan, seed=3)
    for k, sample in enumerate(samples(plan.task.input.type.shape, steps, seed=1)[:steps]):
        reference.step(sample, k % CLASSES)
    return reference


def test_each_learned_tensor_has_one_in_the_state(plan: TrainingPlan) -> None:
    assert list(counters(plan)) and set(counters(plan)) == set(plan.learned)
    assert set(counters(plan).values()) <= set(plan.learning.state)
    assert not set(counters(plan).values()) & set(plan.learned)


def test_its_operator_follows_each_update(plan: TrainingPlan) -> None:
    state = trained(plan, 5).state

    assert {tuple(state[t]) for t in counters(plan).values()} == {(7, 5, 0, 0)}


def test_the_digest_covers_it(plan: TrainingPlan) -> None:
    state = trained(plan, 3).state
    before = state_digest(plan, state)
    for tensor in counters(plan).values():
        changed = state | {tensor: state[tensor] + np.uint32(1)}

        assert state_digest(plan, changed) != before


def test_generated_c_keeps_it_bit_for_bit(plan: TrainingPlan, tmp_path: Path) -> None:
    assert_steps_are_equal(plan, tmp_path, 6)


def test_the_device_asks_for_it(plan: TrainingPlan, tmp_path: Path) -> None:
    device = NativeModel(plan, tmp_path)
    assert device.call("state_is_valid") & 0xFF
    device[next(iter(counters(plan).values()))][0] = MOST + 1
    assert not device.call("state_is_valid") & 0xFF


def test_the_manifest_names_it(plan: TrainingPlan) -> None:
    described = {t["name"]: t for t in manifest(lay_out(plan), bytes(8))["tensors"]}
    for learned, tensor in counters(plan).items():
        assert described[learned.name]["counter"] == tensor.name
        assert tensor.name in described


def test_one_that_nothing_reads_is_kept_and_not_digested(plan: TrainingPlan) -> None:
    spares = plan.learning.companions.of(SPARE)
    offsets = plan.memory.state
    assert set(spares) == set(plan.learned)
    for learned, tensor in spares.items():
        assert tensor not in plan.digested
        between = [
            t for t in plan.learning.state if offsets[learned] < offsets[t] < offsets[tensor]
        ]
        assert set(between) <= set(plan.learning.companions.beside(learned).values())
    assert state_bytes(plan)["spares"] == sum(t.type.size for t in plan.learned)


def test_its_bytes_are_counted(plan: TrainingPlan) -> None:
    nbytes = 16 * len(plan.learned)

    assert state_bytes(plan)["update counters"] == nbytes
    assert format_bytes(plan)["update counters"] == nbytes
    assert sum(state_bytes(plan).values()) == plan.memory.state_bytes


def test_it_is_saved_and_goes_on(plan: TrainingPlan) -> None:
    state = trained(plan, 4).state
    assert unpack_state(plan, pack_state(plan, state)).keys() == state.keys()

    for tensor in plan.learned:
        tensor.data = state[tensor]
    stored = TrainingState.unpack(TrainingState.of(plan, state, {}).pack())
    again = Interpreter(resumed(plan, stored), seed=stored.seed)

    assert {tuple(again.state[t]) for t in counters(plan).values()} == {(7, 4, 0, 0)}


def test_a_stored_value_that_training_never_leaves_is_refused(plan: TrainingPlan) -> None:
    state = trained(plan, 1).state
    for tensor in plan.learned:
        tensor.data = state[tensor]
    spoilt = next(iter(counters(plan).values()))
    state[spoilt] = np.array([MOST + 1, 1, 0, 0], np.uint32)
    with pytest.raises(ModelError, match=f"{spoilt.name} has a wrong count"):
        resumed(plan, TrainingState.of(plan, state, {}))


def test_without_it_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    plan = make_plan(parse(residual_model(), "small"), PlanOptions("last:2"))

    # Of those there are: no sums.
    assert {kind for kind, _ in plan.learning.companions} == {FRACTION, INPUT_SHIFT}
    assert SUM in plan.learning.companions.kinds
