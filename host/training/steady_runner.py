# SPDX-License-Identifier: Apache-2.0
"""A device at a port that is found again when it is gone: its cable was out, or it was reset.

What is asked of it is one change of its state, or none. If the device is lost meanwhile, its port
is opened anew, and its step number, digest and state tell whether the change has happened: then the
run goes on; or not, then it is asked again. If the device has another state, since it was reset, it
gets the one from before, which the host computes (journal.py). So the run learns what it would have
learned undisturbed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from mcutrain.host.attached.again import port_again, usb_identity
from mcutrain.host.errors import DeviceError, MismatchError, ProtocolError, TransportError
from mcutrain.host.keys import Keys
from mcutrain.host.link.device import Device
from mcutrain.host.link.protocol import RamRegion, ResetCause, Status, StepResult
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.training.journal import Change, Journal, Moment
from mcutrain.host.training.runners import DeviceRunner
from mcutrain.host.training.trust import checked_step
from mcutrain.trainer.errors import Error
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import StepRecord
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.training_plan import TrainingPlan

HELLO_S = 2.0  # for which a port that is there is asked, before it is opened anew
AGAIN_S = 0.1
MOST_LOSSES = 3  # in a row, without a change that came through

T = TypeVar("T")


@dataclass
class Reconnects:
    """``patience_s`` is how long a device that is gone is looked for; 0 gives up at once."""

    patience_s: float
    say: Callable[[str], None]
    done: int = 0
    is_ended: Callable[[], bool] = field(default=lambda: False)  # somebody asked to stop
    in_a_row: int = field(default=0, init=False)


def is_loss(error: Error) -> bool:
    """Whether an error says that the device is gone, or has started anew."""
    is_new = isinstance(error, DeviceError) and error.status == Status.SESSION
    return is_new or isinstance(error, TransportError)


def what(error: Error, port: str) -> str:
    """What an error says of a port, without its name and without advice.

    >>> what(TransportError("/dev/x: the port has gone (input error); plug it in"), "/dev/x")
    'the port has gone (input error)'
    """
    if isinstance(error, DeviceError):
        return "it has restarted"
    return str(error).removeprefix(f"{port}: ").partition("; ")[0]


class SteadyRunner(DeviceRunner):
    """The device of a port, through losses. A context manager that closes its session."""

    device: Device

    def __init__(
        self,
        device: Device,
        plan: TrainingPlan,
        baud: int,
        reconnects: Reconnects,
        keys: Keys | None = None,
    ) -> None:
        super().__init__(device, plan)
        self.keys = keys
        self.baud, self.reconnects, self.journal = baud, reconnects, Journal(plan)
        self._slots: dict[int, tuple[Array, int]] = {}  # what it keeps latents of
        self._asked: Callable[[], int] | None = None  # the last inference
        self._is_asked = False  # and its logits are there
        self._usb = usb_identity(device.name)

    def __enter__(self) -> SteadyRunner:
        return self

    def __exit__(self, *about: object) -> None:
        self.device.close()

    def reset(self, seed: int) -> None:
        self._asks(lambda: super(SteadyRunner, self).reset(seed), restores=False)
        self.journal.reset(seed)

    def load(self, state: bytes) -> None:
        def load() -> None:
            super(SteadyRunner, self).reset(0)  # no step may be under way
            self.device.write(RamRegion.STATE, state)

        self._asks(load, restores=False)
        self.journal.begin(state)

    def set_learning_rate(self, rate: LearningRate) -> None:
        self._change(
            lambda: super(SteadyRunner, self).set_learning_rate(rate),
            lambda runner: runner.set_learning_rate(rate),
        )

    def set_classes(self, classes: int) -> None:
        self._change(
            lambda: super(SteadyRunner, self).set_classes(classes),
            lambda runner: runner.set_classes(classes),
        )

    def step(self, sample: Array, target: Array, wants_digest: bool) -> tuple[StepRecord, int]:
        return self._train(
            lambda: super(SteadyRunner, self).step(sample, target, wants_digest),
            lambda runner: runner.step(sample, target, False),
        )

    def step_from_latent(
        self, latent: Array, target: Array, wants_digest: bool
    ) -> tuple[StepRecord, int]:
        return self._train(
            lambda: super(SteadyRunner, self).step_from_latent(latent, target, wants_digest),
            lambda runner: runner.step_from_latent(latent, target, False),
        )

    def step_from_slot(
        self, slot: int, target: Array, wants_digest: bool
    ) -> tuple[StepRecord, int]:
        sample = self._sample_in(slot)
        return self._train(
            lambda: super(SteadyRunner, self).step_from_slot(slot, target, wants_digest),
            lambda runner: runner.step_from_latent(runner.latent_of(sample), target, False),
        )

    def latent_of(self, sample: Array) -> Array:
        return self._asks(lambda: super(SteadyRunner, self).latent_of(sample))

    def keep(self, slot: int, sample: Array, label: int) -> None:
        self._asks(lambda: super(SteadyRunner, self).keep(slot, sample, label))
        self._slots[slot] = sample, label

    def predict(self, sample: Array) -> int:
        return self._infers(lambda: super(SteadyRunner, self).predict(sample))

    def predict_from_latent(self, latent: Array) -> int:
        return self._infers(lambda: super(SteadyRunner, self).predict_from_latent(latent))

    def predict_from_slot(self, slot: int) -> int:
        return self._infers(lambda: super(SteadyRunner, self).predict_from_slot(slot))

    def logits(self) -> Array:
        def ask() -> Array:
            if not self._is_asked and self._asked is not None:
                self._asked()
            return super(SteadyRunner, self).logits()

        return self._asks(ask)

    def digest(self) -> int:
        return self._asks(lambda: super(SteadyRunner, self).digest())

    def state(self) -> bytes:
        state = self._asks(lambda: super(SteadyRunner, self).state())
        self.journal.begin(state)
        return state

    def _infers(self, ask: Callable[[], int]) -> int:
        self._asked = ask
        found = self._asks(ask)
        self._is_asked = True
        return found

    def _change(self, ask: Callable[[], None], change: Change) -> None:
        self._asks(ask)
        self.journal.changes.append(change)

    def _train(
        self, ask: Callable[[], tuple[StepRecord, int]], step: Change
    ) -> tuple[StepRecord, int]:
        while True:
            try:
                found = ask()
            except Error as error:
                done = self._bring_back(error, step)
                if done is None:
                    continue
                found = done
            self.journal.changes.append(step)
            self.reconnects.in_a_row = 0
            return found

    def _asks(self, ask: Callable[[], T], restores: bool = True) -> T:
        """What may be asked again, as soon as the device has its state again."""
        while True:
            try:
                found = ask()
            except Error as error:
                if restores:
                    self._bring_back(error)
                else:
                    self._find(error)
                continue
            self.reconnects.in_a_row = 0
            return found

    def _sample_in(self, slot: int) -> Array:
        """Whose latent a slot has, in RAM or in flash."""
        if slot in self._slots:
            return self._slots[slot][0]
        assert self.plan.latents.flash is not None
        return np.asarray(self.plan.latents.flash.samples[slot - self.plan.options.latent_slots])

    def _bring_back(
        self, error: Error, step: Change | None = None
    ) -> tuple[StepRecord, int] | None:
        """Find the device and give it the state that it had; what ``step`` gave if it was done.
        Raises ``error`` if it is no loss, or nothing is known to go on from."""
        while True:
            if not self.journal.knows:
                raise error
            self._find(error)
            try:
                return self._restore(step)
            except Error as again:
                error = again

    def _find(self, error: Error) -> None:
        """Open the port anew. Raises ``error`` if that is no loss; TransportError."""
        known, name = self.reconnects, self.device.name
        if not is_loss(error) or not known.patience_s:
            raise error
        known.in_a_row += 1
        lost = what(error, name)
        if known.in_a_row >= MOST_LOSSES:
            raise TransportError(
                f"{name}: the device was lost {known.in_a_row} times without a step between "
                f"({lost}{self._why()}): look at its supply, its cable and its firmware"
            ) from error
        patience = f"trying for {known.patience_s:g} s (--reconnect S)"
        known.say(f"{name}: the device is lost: {lost}; {patience}")
        with suppress(Error):
            self.device.close()
        self._is_asked, self._in_place = False, None
        self._announced = self._waiting = None
        device = self._opened(time.monotonic() + known.patience_s)
        device.traffic.add(self.device.traffic)
        self.device = device
        known.done += 1

    def _opened(self, until: float) -> Device:
        """A new session with the same device. Raises TransportError if it is not there in time."""
        info, patience_s = self.device.info, self.reconnects.patience_s
        while True:
            port = port_again(self.device.name, self._usb)
            try:
                transport = SerialTransport(port, self.baud)
                hashes = info.build_hash, info.numerics_hash
                device = Device.open(transport, *hashes, hello_patience_s=HELLO_S, keys=self.keys)
            except (TransportError, ProtocolError) as error:
                if time.monotonic() > until or self.reconnects.is_ended():
                    raise TransportError(
                        f"{self.device.name}: the device was not found again in {patience_s:g} s "
                        f"({what(error, port)}); plug it in, or wait longer (--reconnect S)"
                    ) from error
                time.sleep(AGAIN_S)
                continue
            if device.info.device_id != info.device_id:
                device.close()
                raise MismatchError(
                    f"{port}: another device is there, with the id {device.info.id_text or 'none'} "
                    f"and not {info.id_text or 'none'}: plug in the one that was trained"
                )
            return device

    def _restore(self, step: Change | None) -> tuple[StepRecord, int] | None:
        """Compare the device's state with what it should be, and write that unless it is there;
        what ``step`` gave if the device has done it."""
        with suppress_idle():
            self.device.run(self.device.info.calls)  # a step that it has begun
        now, behind, record = self.journal.replay(step)
        told, say, name = self.device.digest(), self.reconnects.say, self.device.name
        if behind is not None and record is not None and self._has(behind, told):
            result = checked_step(self.device, self.plan, told)
            if result[0] == record:
                say(f"{name}: the device is back, and has done step {behind.steps:,}")
                self._keep_again()
                return result
        if self._has(now, told):
            say(f"{name}: the device is back, and goes on after step {now.steps:,}")
        else:
            self.device.reset(0)
            self.device.write(RamRegion.STATE, now.state)
            say(
                f"{name}: the device is back{self._why()}, and got the state of step "
                f"{now.steps:,} again"
            )
        self._keep_again()
        return None

    def _has(self, expected: Moment, told: StepResult) -> bool:
        """Whether the device is in that state, to the byte; read if what it tells is right."""
        if (told.steps, told.digest) != (expected.steps, expected.digest):
            return False
        return self.device.read(RamRegion.STATE) == expected.state

    def _keep_again(self) -> None:
        """Slots are no training state, and a reset may have emptied them."""
        for slot, (sample, label) in self._slots.items():
            super().keep(slot, sample, label)
        self._in_place = None

    def _why(self) -> str:
        """What the device says of its last reset, as part of a sentence."""
        info = self.device.info
        if info.reset_cause is ResetCause.UNKNOWN:
            return ""
        return f", reset {info.resets:,} times since power-on, the last by {info.reset_cause.words}"


@contextmanager
def suppress_idle() -> Iterator[None]:
    """Without a step under way there is none to end."""
    try:
        yield
    except DeviceError as error:
        if error.status != Status.IDLE:
            raise
