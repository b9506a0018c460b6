# SPDX-License-Identifier: Apache-2.0
"""The runners: the NumPy reference, and devices on the link, simulated or real."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mcutrain.host.attached.choose import chosen_port
from mcutrain.host.building.firmware import Build
from mcutrain.host.building.source import plan_with_hash, step_calls
from mcutrain.host.building.target import TargetKind
from mcutrain.host.errors import MismatchError
from mcutrain.host.keys import Keys
from mcutrain.host.link.device import PATIENCE_S, REPLY_TIMEOUT_S, STEP_TIMEOUT_S, Device
from mcutrain.host.link.model_device import ModelDevice
from mcutrain.host.link.protocol import RamRegion
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.simulation.counts import write_counts
from mcutrain.host.simulation.function_device import FunctionDevice, Functions
from mcutrain.host.simulation.simulator import simulate
from mcutrain.host.training.latents import (
    DEVICE,
    HOST,
    CachedRunner,
    DeviceLatents,
    HostLatents,
    flash_slots,
)
from mcutrain.host.training.runner import LatentRunner, Runner
from mcutrain.host.training.trust import check_hello, checked_class, checked_step, read_state
from mcutrain.host.training.verify import read_tensor, write_step, write_target
from mcutrain.trainer.chip import GENERIC, Chip
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.interpreter import Interpreter, StepRecord, unpack_state
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.training_plan import TrainingPlan

if TYPE_CHECKING:
    from mcutrain.host.simulation.counts import Owned
    from mcutrain.host.simulation.painted_stack import PaintedStack

COUNTING_STEP_TIMEOUT_S = 600.0  # a repeated request would interrupt the step that is counted


class ReferenceRunner:
    """The reference itself."""

    def __init__(self, plan: TrainingPlan) -> None:
        self.plan, self.reference = plan, Interpreter(plan)
        self.at_latent = False
        self._logits: Array | None = None

    def reset(self, seed: int) -> None:
        self.reference.reset(seed)

    def set_learning_rate(self, rate: LearningRate) -> None:
        self.reference.set_learning_rate(rate)

    def set_classes(self, classes: int) -> None:
        self.reference.set_classes(classes)

    def step(self, sample: Array, target: Array, wants_digest: bool) -> tuple[StepRecord, int]:
        loss, self.at_latent = self.reference.step(sample, target), False
        return loss, self.reference.digest() if wants_digest else 0

    def announce(self, sample: Array, target: Array) -> None:
        """Nothing has to be sent."""

    def predict(self, sample: Array) -> int:
        return self._predicted(self.reference.outputs(sample))

    def infer(self, sample: Array) -> Array:
        self._predicted(self.reference.outputs(sample))
        return self.logits()

    def logits(self) -> Array:
        assert self._logits is not None, "no inference was made"
        return self._logits

    def _predicted(self, outputs: Mapping[Tensor, Array]) -> int:
        """The class of a forward pass, whose logits are kept; 0 where there are none."""
        self._logits = outputs[self.plan.task.logits].reshape(-1)
        predicted = self.plan.task.predicted
        return 0 if predicted is None else int(outputs[predicted][0])

    def latent_of(self, sample: Array) -> Array:
        return self.reference.latent_of(sample)

    def step_from_latent(
        self, latent: Array, target: Array, wants_digest: bool
    ) -> tuple[StepRecord, int]:
        loss, self.at_latent = self.reference.step_from_latent(latent, target), True
        return loss, self.reference.digest() if wants_digest else 0

    def predict_from_latent(self, latent: Array) -> int:
        return self._predicted(self.reference.outputs_from_latent(latent))

    def infer_from_latent(self, latent: Array) -> Array:
        self._predicted(self.reference.outputs_from_latent(latent))
        return self.logits()

    def digest(self) -> int:
        return self.reference.digest()

    def state(self) -> bytes:
        return self.reference.state_bytes()

    def load(self, state: bytes) -> None:
        self.reference.state = unpack_state(self.reference.plan, state)


class DeviceRunner:
    """A device that runs the plan's firmware. ``sends_ahead``: an announced sample is sent while
    the step before it runs, to a build that receives ahead."""

    def __init__(self, device: ModelDevice, plan: TrainingPlan) -> None:
        """Raises ProtocolError for a device whose sizes are not the plan's."""
        check_hello(device, plan)
        self.device, self.plan = device, plan
        self.at_latent = False
        # The latent that PREFIX left for the next step, or the slot that it was kept in.
        self._in_place: Array | int | None = None
        self.sends_ahead = plan.options.receive_ahead
        self._announced: tuple[Array, Array] | None = None
        self._waiting: tuple[Array, Array, int] | None = None  # on the device, with its label

    def reset(self, seed: int) -> None:
        self._in_place = self._announced = self._waiting = None
        self.device.reset(seed)

    def set_learning_rate(self, rate: LearningRate) -> None:
        self.device.set_learning_rate(rate.multiplier, rate.shift)

    def set_classes(self, classes: int) -> None:
        self.device.set_classes(classes)

    def step(self, sample: Array, target: Array, wants_digest: bool) -> tuple[StepRecord, int]:
        label, self.at_latent = self._place(sample, target), False
        following, self._announced = self._announced, None
        if following is None:
            return self._step(label, wants_digest)
        self._in_place = None
        self.device.start(label)
        self._waiting = (*following, write_step(self.device, self.plan, *following))
        return checked_step(self.device, self.plan, self.device.finish(wants_digest))

    def announce(self, sample: Array, target: Array) -> None:
        if self.sends_ahead:
            self._announced = sample, target

    def _place(self, sample: Array, target: Array) -> int:
        """Write what a step takes, unless it waits on the device; the label to give it."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            was_sample, was_target, label = waiting
            if np.array_equal(was_sample, sample) and np.array_equal(was_target, target):
                return label
        return write_step(self.device, self.plan, sample, target)

    def predict(self, sample: Array) -> int:
        self._write_sample(sample)
        return self._infer()

    def infer(self, sample: Array) -> Array:
        self.predict(sample)
        return self.logits()

    def latent_of(self, sample: Array) -> Array:
        assert self.plan.latents.tensor is not None
        if not self.device.info.shows_arena:
            return self._here.latent_of(sample)  # of constants and the sample alone
        self._write_sample(sample)
        self.device.run_prefix()
        latent = self._in_place = self._read(self.plan.latents.tensor)
        return latent

    def step_from_latent(
        self, latent: Array, target: Array, wants_digest: bool
    ) -> tuple[StepRecord, int]:
        label = write_target(self.device, self.plan, target)
        self._write_latent(latent)
        self.at_latent = True
        return self._step(label, wants_digest)

    def predict_from_latent(self, latent: Array) -> int:
        self._write_latent(latent)
        return self._infer()

    def infer_from_latent(self, latent: Array) -> Array:
        self.predict_from_latent(latent)
        return self.logits()

    def keep(self, slot: int, sample: Array, label: int) -> None:
        """Compute a latent and store it in a slot of the device, where it also is in place."""
        self._write_sample(sample)
        self.device.run_prefix()
        self.device.keep_latent(slot, label)
        self._in_place = slot

    def step_from_slot(
        self, slot: int, target: Array, wants_digest: bool
    ) -> tuple[StepRecord, int]:
        label = write_target(self.device, self.plan, target)
        self._recall(slot)
        self.at_latent = True
        return self._step(label, wants_digest)

    def predict_from_slot(self, slot: int) -> int:
        self._recall(slot)
        return self._infer()

    def infer_from_slot(self, slot: int) -> Array:
        self.predict_from_slot(slot)
        return self.logits()

    def logits(self) -> Array:
        return self._read(self.plan.task.logits)

    @cached_property
    def _here(self) -> Interpreter:
        """Computes in this process what the device does not show."""
        return Interpreter(self.plan)

    def _write_sample(self, sample: Array) -> None:
        """Write it in place of what was there, or waits."""
        self._in_place = self._waiting = None
        self.device.write_sample(sample.tobytes())

    def _recall(self, slot: int) -> None:
        if not isinstance(self._in_place, int) or slot != self._in_place:
            self.device.recall_latent(slot)
        self._in_place = self._waiting = None

    def _write_latent(self, latent: Array) -> None:
        """Write it, unless it is the one that the device has just computed; it is used up then."""
        if latent is not self._in_place:
            self.device.write_latent(latent.tobytes())
        self._in_place = self._waiting = None

    def _step(self, label: int, wants_digest: bool) -> tuple[StepRecord, int]:
        self._in_place = self._waiting = None
        return checked_step(self.device, self.plan, self.device.step(label, wants_digest))

    def _infer(self) -> int:
        return checked_class(self.device, self.plan, self.device.infer())

    def _read(self, tensor: Tensor) -> Array:
        return read_tensor(self.device, self.plan, tensor).reshape(-1)

    def digest(self) -> int:
        return self.device.digest().digest

    def state(self) -> bytes:
        return read_state(self.device, self.plan)

    def load(self, state: bytes) -> None:
        self.reset(0)  # no step may be under way
        self.device.write(RamRegion.STATE, state)


def with_latents(runner: LatentRunner, place: str) -> Runner:
    """The runner, with latents kept in ``place``: one of host.training.latents.PLACES."""
    if place == HOST:
        return CachedRunner(runner.plan, runner, HostLatents(runner))
    if place == DEVICE:
        assert isinstance(runner, DeviceRunner)
        slots = runner.plan.options.latent_slots
        fixed = flash_slots(runner.plan)
        return CachedRunner(runner.plan, runner, DeviceLatents(runner), slots, fixed)
    return runner


class Stack(Protocol):
    """A stack that is seen from outside."""

    def used_bytes(self) -> int: ...


class SimulatedRunner(DeviceRunner):
    """A device on this computer; on a simulated board and a core its stack is painted, if the
    emulator can show it."""

    def __init__(self, device: ModelDevice, plan: TrainingPlan, stack: Stack | None) -> None:
        super().__init__(device, plan)
        self._stack = stack

    def stack_used_bytes(self) -> int | None:
        """What of the stack has been written so far; None if that is not known."""
        return None if self._stack is None else self._stack.used_bytes()


@contextmanager
def simulated(
    build: Build,
    counts: Path | None = None,
    owners: Iterable[Owned] = (),
    *,
    kinds: bool = False,
    image: Path | None = None,
) -> Iterator[SimulatedRunner]:
    """The build on its simulator; what that counts goes to the file ``counts`` at the end, by
    owner if there are any, and by ``kinds``. ``image`` is a file that is its flash."""
    if not build.target.has_link:
        with in_this_process(build, counts) as runner:
            yield runner
        return
    args: tuple[str, ...] = ()
    if counts:
        from mcutrain.host.simulation.counting import counter_args

        board, model = build.target.board, build.plan.name
        args = counter_args(board, build.elf, model, counts, owners, kinds=kinds)
    with running(build, args, image) as (port, stack):
        transport = SerialTransport(port)
        hashes = build.build_hash, build.plan.numerics_hash
        step_timeout_s, patience_s = STEP_TIMEOUT_S, PATIENCE_S
        if counts:
            step_timeout_s = patience_s = COUNTING_STEP_TIMEOUT_S
        device = Device.open(
            transport, *hashes, REPLY_TIMEOUT_S, step_timeout_s, patience_s,
            hello_patience_s=PATIENCE_S,  # on a busy computer it starts slowly
            adapts=not counts, keys=build.keys,
        )  # fmt: skip
        try:
            runner = SimulatedRunner(device, build.plan, stack)
            runner.sends_ahead &= not counts  # which counts whole steps
            yield runner
        finally:
            device.close()


@contextmanager
def in_this_process(build: Build, counts: Path | None) -> Iterator[SimulatedRunner]:
    """The same, for a build of the model's functions alone, which are called here."""
    counted: dict[str, list[int]] | None = None if counts is None else {}
    functions, stack = functions_of(build)
    calls = step_calls(build.plan)
    device = FunctionDevice(functions, build.plan, calls, build.build_hash, counted)
    device.reset(0)
    yield SimulatedRunner(device, build.plan, stack)
    if counts is not None and counted is not None:
        write_counts(counts, counted)


def functions_of(build: Build) -> tuple[Functions, Stack | None]:
    """The functions of a build without a link, and their stack if it can be seen."""
    if build.target.kind is not TargetKind.CORE:
        from mcutrain.host.simulation.library_functions import LibraryFunctions

        return LibraryFunctions(build.plan, build.elf), None
    from mcutrain.host.simulation.unicorn.functions import ProgramFunctions
    from mcutrain.host.simulation.unicorn.program import load_program

    program = load_program(build.elf, build.plan.name, build.target.core.name)
    functions = ProgramFunctions(program, build.plan)
    return functions, functions.machine.stack


def profiling(
    build: Build, counts: Path | None, image: Path | None = None
) -> AbstractContextManager[SimulatedRunner]:
    """The same, for a profile: by node, and by kind where those have cycles."""
    from mcutrain.host.simulation.profile import owners, timing_of

    return simulated(build, counts, owners(build), kinds=timing_of(build) is not None, image=image)


@contextmanager
def running(
    build: Build, args: Sequence[str], image: Path | None = None
) -> Iterator[tuple[str, PaintedStack | None]]:
    """The port of a build's process, and its stack on a simulated board that shows it."""
    board = build.target.board
    if build.target.kind is TargetKind.SIMULATED:
        from mcutrain.host.simulation.painted_stack import simulate_painted

        with (
            flash_of(build, image) as flash,
            simulate_painted(board, build.elf, args, flash) as found,
        ):
            yield found
    else:
        with simulate(board, build.elf, args, image) as port:
            yield port, None


@contextmanager
def flash_of(build: Build, image: Path | None) -> Iterator[Path | None]:
    """The image of a simulated board's flash; of one with a store that is not kept, an image for
    as long as this context lasts."""
    if image is not None or not build.plan.options.store:
        yield image
        return
    with tempfile.TemporaryDirectory(prefix="mct-") as folder:
        yield Path(folder) / "flash"


class PortRunner(DeviceRunner):
    """A device on a serial port that runs the build of ``board``."""

    device: Device

    def __init__(self, device: Device, plan: TrainingPlan, board: str) -> None:
        super().__init__(device, plan)
        self.board = board


@contextmanager
def connected(
    port: str, plan_for: Callable[[Chip], TrainingPlan], baud: int, keys: Keys | None = None
) -> Iterator[PortRunner]:
    """A device on a serial port, which AUTO stands for if one alone answers. Raises MismatchError
    unless it runs a build of a plan that ``plan_for`` makes for a board's chip, RightError unless
    ``keys`` are those that it has."""
    port = chosen_port(port, baud)
    numerics = plan_for(GENERIC).numerics_hash
    device = Device.open(SerialTransport(port, baud), None, numerics, keys=keys)
    try:
        known = plan_with_hash(plan_for, device.info.build_hash, is_keyed=keys is not None)
        if known is None:
            device.digest()  # a device with a key refuses that, if none is given, and says so
            raise MismatchError(
                f"{port}: the device runs the build {device.info.build_hash.hex()}, which is not "
                "this version's build of the plan; run `mcutrain flash` with the plan's options"
            )
        yield PortRunner(device, *known)
    finally:
        device.close()
