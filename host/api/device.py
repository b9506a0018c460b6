# SPDX-License-Identifier: Apache-2.0
"""A device that a program trains step by step."""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from mcutrain.host.api.errors import errors_in_python, raises_errors
from mcutrain.host.api.firmware import Firmware, built_for, latents_of
from mcutrain.host.api.keys import keys_of
from mcutrain.host.api.plan import Plan
from mcutrain.host.attached.choose import chosen_port
from mcutrain.host.building.target import (
    NATIVE,
    REFERENCE,
    SIM,
    Target,
    TargetKind,
    check_runs_here,
)
from mcutrain.host.defaults import BAUD
from mcutrain.host.keys import Keys
from mcutrain.host.link.device import Device as LinkedDevice
from mcutrain.host.link.model_device import ModelDevice
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.training.dataset import check_label_maps, ends_of, label_maps, labels
from mcutrain.host.training.learned import planned_on, settle
from mcutrain.host.training.ranges import quantised
from mcutrain.host.training.rates import given_rate
from mcutrain.host.training.runners import (
    DeviceRunner,
    ReferenceRunner,
    connected,
    simulated,
)
from mcutrain.host.training.state import SavedState, save_state
from mcutrain.trainer.errors import DataError, Error
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import unpack_state
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.training_plan import TrainingPlan

STARTED = (REFERENCE, NATIVE)  # beside the boards that are simulated


class Device:
    """A device that infers and learns one sample at a time; a context manager, which closes it.

    A board at a port keeps what it has learned; what is started here begins anew.

    Attributes:
        name: Its port or its target.

    Example:
        with mcutrain.Device("native", plan) as device:
            device.step(x, 3)
            device.predict(x)
    """

    @raises_errors
    def __init__(
        self,
        where: str | os.PathLike[str] | Firmware,
        plan: Plan | None = None,
        *,
        seed: int = 0,
        baud: int = BAUD,
        key: str | os.PathLike[str] | None = None,
    ) -> None:
        """Open a device.

        Args:
            where: The serial port of a flashed board, or ``"auto"``, the one that answers; or
                ``"reference"``, ``"native"``, ``"sim:BOARD"`` or a ``Firmware``, of which a process
                is started.
            plan: The plan whose firmware runs there; a ``Firmware`` has one. A board at a port
                without a plan tells its digest and its number of steps, and predicts int8 samples.
            seed: The seed of rounding, where a device begins anew.
            baud: The speed of the port.
            key: The file of the keys of a board at a port, or of those of some rights. A native or
                simulated device is built with them; a ``Firmware`` has its own.

        Raises:
            Error: Nothing answers, or the board runs another plan's firmware.
        """
        self.name = where.target if isinstance(where, Firmware) else os.fspath(where)
        self._is_started = self.name in STARTED or self.name.startswith(SIM)
        self._runner: ReferenceRunner | DeviceRunner | None = None
        self._link: ModelDevice | None = None
        self._plan: TrainingPlan | None = None
        self._request = None if plan is None else plan.request
        with ExitStack() as stack:
            self._open(where, plan, baud, keys_of(key), stack)
            if self._runner is not None and self._is_started:
                self._runner.reset(seed)
            self._open_until_closed: ExitStack | None = stack.pop_all()

    def _open(
        self,
        where: str | os.PathLike[str] | Firmware,
        plan: Plan | None,
        baud: int,
        keys: Keys | None,
        stack: ExitStack,
    ) -> None:
        """Open what ``where`` names, until the stack is closed."""
        if isinstance(where, Firmware):
            self._runner = stack.enter_context(simulated(where.built))
        elif self._is_started and plan is None:
            raise Error(f"a device on {self.name} needs a plan: Device('{self.name}', plan)")
        elif self._is_started and plan is not None:
            target = Target.parse(self.name)
            check_runs_here(target)
            if target.kind is TargetKind.REFERENCE:
                self._runner = ReferenceRunner(plan.details)
            else:
                self._runner = stack.enter_context(simulated(built_for(plan, self.name, keys)))
        elif plan is not None:
            plans = partial(planned_on, plan.request, latents_of(plan))
            self._runner = stack.enter_context(connected(self.name, plans, baud, keys))
            settle(self._runner)
        else:
            port = chosen_port(self.name, baud)
            self._link = LinkedDevice.open(SerialTransport(port, baud), None, None, keys=keys)
            stack.callback(self._link.close)
        if isinstance(self._runner, DeviceRunner):
            self._link = self._runner.device
        if self._link is not None and not self._is_started:
            self.name = self._link.name  # of the port that was found
        self._plan = None if self._runner is None else self._runner.plan

    @raises_errors
    def predict(self, x: Any) -> int:
        """The class of a sample.

        Args:
            x: int8 as the model takes it, or float in the model's real units.

        Raises:
            Error: The sample does not fit the model, or the model has no classes.
        """
        self._check_open()
        if self._runner is None:
            assert self._link is not None
            sample = np.asarray(x)
            if sample.dtype != np.int8:
                raise DataError(f"x is {sample.dtype}: without a plan a sample must be int8")
            self._link.write_sample(sample.tobytes())
            return self._link.infer()
        if not self._runner.plan.takes_label:
            raise DataError("a sample has no class of its own: infer(x) gives the outputs")
        return self._runner.predict(self._sample(x))

    @raises_errors
    def infer(self, x: Any) -> Array:
        """The outputs for a sample.

        Args:
            x: int8 as the model takes it, or float in the model's real units.

        Returns:
            (output size,) float64 in real units: the logits of a classifier.

        Raises:
            Error: The sample does not fit the model.
        """
        runner = self._trained()
        kind = runner.plan.task.logits.type
        return np.asarray(
            (runner.infer(self._sample(x)).astype(float) - kind.zero_point) * kind.scale
        )

    @raises_errors
    def step(self, x: Any, y: Any = None) -> float:
        """Learn from one sample.

        Args:
            x: int8 as the model takes it, or float in the model's real units.
            y: Its label, or the wanted outputs. A model that learns its own input takes none.

        Returns:
            The loss in real units, before it learned.

        Raises:
            Error: The sample or its target does not fit the model.
        """
        runner = self._trained()
        record, _ = runner.step(self._sample(x), self._target(y), False)
        return record.real(runner.plan)

    @raises_errors
    def set_rate(self, rate: float) -> None:
        """Learn at this rate, from 2**-100 to 255.

        Raises:
            Error: It is out of range.
        """
        found = given_rate(str(rate))
        if found is None:
            raise Error("a device cannot find its own rate: give a number")
        self._trained().set_learning_rate(LearningRate.from_real(found))

    @raises_errors
    def reset(self, seed: int = 0) -> None:
        """Forget all that was learned, and begin anew.

        Args:
            seed: The seed of rounding.
        """
        self._trained().reset(seed)

    @property
    @raises_errors
    def digest(self) -> int:
        """A CRC-32 of all that was learned: equal to the reference's after the same steps."""
        self._check_open()
        if self._runner is not None:
            return self._runner.digest()
        assert self._link is not None
        return self._link.digest().digest

    @property
    @raises_errors
    def steps(self) -> int:
        """How many steps it has learned in."""
        self._check_open()
        if self._link is not None:
            return self._link.digest().steps
        runner = self._trained()
        return int(unpack_state(runner.plan, runner.state())[runner.plan.learning.sgd][1])

    @property
    @raises_errors
    def state(self) -> dict[str, Array]:
        """All that it has learned: each tensor by its name."""
        runner = self._trained()
        return {t.name: value for t, value in unpack_state(runner.plan, runner.state()).items()}

    @raises_errors
    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write what it has learned as an .npz file, with which ``Trainer(state=...)`` goes on.

        Returns:
            The same path.

        Raises:
            Error: The file cannot be written, or the device was opened without a ``Plan``.
        """
        runner = self._trained()
        if self._request is None:
            raise Error("what is saved names its plan: give it, Device(where, plan)")
        save_state(Path(path), runner.plan, runner.state(), self._request.resolved())
        return Path(path)

    @raises_errors
    def load(self, path: str | os.PathLike[str]) -> None:
        """Take what an .npz file holds in place of what was learned here.

        Args:
            path: What ``save``, ``Run.save`` or ``mcutrain train --save`` wrote, of the same plan.

        Raises:
            Error: There is no such file, or it is of another plan.
        """
        runner = self._trained()
        runner.load(SavedState.read(Path(path)).state(runner.plan))

    def close(self) -> None:
        """End the session, and the process of a device that was started here."""
        if self._open_until_closed is not None:
            open_until_closed, self._open_until_closed = self._open_until_closed, None
            with errors_in_python():
                open_until_closed.close()

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._open_until_closed is None else "open"
        return f"Device({self.name}, {state})"

    def _check_open(self) -> None:
        if self._open_until_closed is None:
            raise Error(f"{self.name}: the device is closed: open it again")

    def _trained(self) -> ReferenceRunner | DeviceRunner:
        """What runs the plan. Raises Error without one."""
        self._check_open()
        if self._runner is None:
            raise Error(f"{self.name}: this needs a plan: Device('{self.name}', plan)")
        return self._runner

    def _sample(self, x: Any) -> Array:
        runner = self._trained()
        return one(quantised(one_of(x), "x", ends_of(runner.plan)[0]).codes)

    def _target(self, y: Any) -> Array:
        plan = self._trained().plan
        if plan.task.target is None:
            if y is not None:
                raise DataError("the model learns its own input: leave y out")
            return np.zeros(0, np.int8)
        if y is None:
            wanted = "labels" if plan.takes_label_map else "values"
            raise DataError(f"y is missing: give {'a label' if plan.takes_label else wanted}")
        if plan.takes_label_map:
            maps = one_of(y)
            check_label_maps(maps, "y", plan)
            return one(label_maps(maps, "y", plan.classes))
        if not plan.takes_label:
            return one(quantised(one_of(y), "y", ends_of(plan)[1]).codes)
        label = np.asarray(y)
        if label.shape != () or label.dtype.kind not in "iu":
            raise DataError(f"y is {y!r}: give one whole number, the label")
        return one(labels(one_of(label), "y", plan.classes))


def one_of(values: Any) -> Array:
    """The values of one sample as an array of samples."""
    return np.asarray(values)[np.newaxis]


def one(samples: Array) -> Array:
    return np.asarray(samples[0])
