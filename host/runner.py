# SPDX-License-Identifier: Apache-2.0
"""What trains a plan: the NumPy reference, or a device on the link. Both do the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from host.build import Build, board_of
from host.device import Device
from host.errors import MismatchError
from host.instructions import counter_args
from host.protocol import Region
from host.simulator import simulate
from host.transport import SerialTransport
from host.verify import write_step
from trainer.interpreter import Interpreter, StepRecord, unpack_state
from trainer.ops.sgd import LearningRate
from trainer.plan import TrainingPlan
from trainer.tensor import Array

COUNTING_STEP_TIMEOUT_S = 600.0  # a repeated request would interrupt the step that is counted


class Runner(Protocol):
    """One training run in progress."""

    def reset(self, seed: int) -> None: ...

    def set_learning_rate(self, rate: LearningRate) -> None: ...

    def set_classes(self, classes: int) -> None:
        """Take spare classes into use."""
        ...

    def step(self, sample: Array, target: Array, wants_digest: bool) -> tuple[StepRecord, int]:
        """(loss, digest of the state after the step, or 0). ``target``: see Dataset.y_train."""
        ...

    def predict(self, sample: Array) -> int: ...

    def infer(self, sample: Array) -> Array:
        """The logits, int8."""
        ...

    def digest(self) -> int: ...

    def state(self) -> bytes: ...

    def load(self, state: bytes) -> None:
        """Take up a state that ``state`` gave."""
        ...


class ReferenceRunner:
    """The reference itself."""

    def __init__(self, plan: TrainingPlan) -> None:
        self.reference = Interpreter(plan)

    def reset(self, seed: int) -> None:
        self.reference.reset(seed)

    def set_learning_rate(self, rate: LearningRate) -> None:
        self.reference.set_learning_rate(rate)

    def set_classes(self, classes: int) -> None:
        self.reference.set_classes(classes)

    def step(self, sample: Array, target: Array, wants_digest: bool) -> tuple[StepRecord, int]:
        loss = self.reference.step(sample, target)
        return loss, self.reference.digest() if wants_digest else 0

    def predict(self, sample: Array) -> int:
        return self.reference.predict(sample)

    def infer(self, sample: Array) -> Array:
        return self.reference.infer(sample)

    def digest(self) -> int:
        return self.reference.digest()

    def state(self) -> bytes:
        return self.reference.state_bytes()

    def load(self, state: bytes) -> None:
        self.reference.state = unpack_state(self.reference.plan, state)


class DeviceRunner:
    """A device that runs the plan's firmware."""

    def __init__(self, device: Device, plan: TrainingPlan) -> None:
        self.device, self.plan = device, plan

    def reset(self, seed: int) -> None:
        self.device.reset(seed)

    def set_learning_rate(self, rate: LearningRate) -> None:
        self.device.set_learning_rate(rate.multiplier, rate.shift)

    def set_classes(self, classes: int) -> None:
        self.device.set_classes(classes)

    def step(self, sample: Array, target: Array, wants_digest: bool) -> tuple[StepRecord, int]:
        label = write_step(self.device, self.plan, sample, target)
        result = self.device.step(label, wants_digest)
        return StepRecord(result.sum, result.distance, result.predicted), result.digest

    def predict(self, sample: Array) -> int:
        self.device.write_sample(sample.tobytes())
        return self.device.infer()

    def infer(self, sample: Array) -> Array:
        self.predict(sample)
        where = self.plan.memory.place(self.plan.logits)
        assert where is not None
        raw = self.device.read(Region.ARENA, where[1], self.plan.logits.type.nbytes)
        return np.frombuffer(raw, np.int8)

    def digest(self) -> int:
        return self.device.digest().digest

    def state(self) -> bytes:
        return self.device.read(Region.STATE)

    def load(self, state: bytes) -> None:
        self.device.reset(0)  # no step may be under way
        self.device.write(Region.STATE, state)


@contextmanager
def simulated(build: Build, counts: Path | None = None) -> Iterator[DeviceRunner]:
    """The build on its simulator; instruction counts go to the file ``counts`` at the end."""
    args = counter_args(build.elf, build.plan.name, counts) if counts else ()
    with simulate(build.target.board, build.elf, args) as port:
        transport = SerialTransport(port)
        hashes = build.build_hash, build.plan.numerics_hash
        if counts:
            timeout_s = COUNTING_STEP_TIMEOUT_S
            device = Device.open(transport, *hashes, step_timeout_s=timeout_s, patience_s=timeout_s)
        else:
            device = Device.open(transport, *hashes)
        try:
            yield DeviceRunner(device, build.plan)
        finally:
            device.close()


@contextmanager
def connected(port: str, plan: TrainingPlan, baud: int) -> Iterator[DeviceRunner]:
    """A device on a serial port. Raises MismatchError unless it runs a build of this plan."""
    device = Device.open(SerialTransport(port, baud), None, plan.numerics_hash)
    try:
        if board_of(plan, device.info.build_hash) is None:
            raise MismatchError(
                f"{port}: the device runs the build {device.info.build_hash.hex()}, which is not "
                "this version's build of the plan; run `mcutrain build` and flash what it names"
            )
        yield DeviceRunner(device, plan)
    finally:
        device.close()
