# SPDX-License-Identifier: Apache-2.0
"""What a device says is compared with its plan before it is used or saved: a program that only
looks like the firmware, or memory that is overwritten, is refused in one line."""

from __future__ import annotations

from mcutrain.host.building.source import step_calls
from mcutrain.host.errors import ProtocolError
from mcutrain.host.link.model_device import ModelDevice
from mcutrain.host.link.protocol import RamRegion, StepResult
from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.interpreter import StepRecord, state_digest, unpack_state
from mcutrain.trainer.ops.loss import Loss
from mcutrain.trainer.training_plan import TrainingPlan
from mcutrain.trainer.training_state import check_state

ADVICE = "reset the device, or build and flash the firmware of this version anew"


def check_hello(device: ModelDevice, plan: TrainingPlan) -> None:
    """Raises ProtocolError for a device whose sizes are not the plan's."""
    info, regions = device.info, list(plan.memory.regions.values())
    for what, said, planned in (
        ("bytes of a sample", info.input_bytes, plan.task.input.type.nbytes),
        ("classes", info.classes, plan.classes),
        ("bytes of the arena", info.arena_bytes, regions[RamRegion.ARENA]),
        ("bytes of the state", info.state_bytes, regions[RamRegion.STATE]),
        ("kernel calls of a step", info.calls, step_calls(plan)),
    ):
        if said != planned:
            raise ProtocolError(
                f"{device.name}: the device tells of {said:,} {what}, and its plan has"
                f" {planned:,}; {ADVICE}"
            )


def checked_step(
    device: ModelDevice, plan: TrainingPlan, result: StepResult
) -> tuple[StepRecord, int]:
    """What a runner's step gives. Raises ProtocolError for a result that no step has."""
    loss = plan.task.loss.op
    assert isinstance(loss, Loss)
    if not loss.permits(result.sum, result.distance, plan.task.logits.type):
        raise ProtocolError(
            f"{device.name}: the device tells of a loss of {result.sum:,} and {result.distance:,},"
            f" which no step has; {ADVICE}"
        )
    predicted = checked_class(device, plan, result.predicted)
    return StepRecord(result.sum, result.distance, predicted), result.digest


def checked_class(device: ModelDevice, plan: TrainingPlan, predicted: int) -> int:
    """A predicted class; 0 where there are none. Raises ProtocolError for another number."""
    if predicted >= max(plan.classes, 1):
        raise ProtocolError(
            f"{device.name}: the device predicts the class {predicted:,} of {plan.classes};"
            f" {ADVICE}"
        )
    return predicted


def read_state(device: ModelDevice, plan: TrainingPlan) -> bytes:
    """The device's training state. Raises ProtocolError if it cannot be that of its training."""
    state = device.read(RamRegion.STATE)
    said, values = device.digest().digest, unpack_state(plan, state)
    found = state_digest(plan, values)
    if said != found:
        raise ProtocolError(
            f"{device.name}: the weights that were read have the digest {found:08x}, and the"
            f" device tells of {said:08x}; {ADVICE}"
        )
    try:
        check_state(plan, values)
    except ModelError as error:
        raise ProtocolError(f"{device.name}: {error}; {ADVICE}") from error
    return state
