# SPDX-License-Identifier: Apache-2.0
"""Trains a plan."""

from __future__ import annotations

import operator
import os
import signal
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mcutrain.host.api.callbacks import Callback, CallbackReporter
from mcutrain.host.api.data import Data, load_data
from mcutrain.host.api.errors import errors_in_python, raises_errors
from mcutrain.host.api.keys import keys_of
from mcutrain.host.api.plan import Plan
from mcutrain.host.api.run import Run
from mcutrain.host.building.target import REFERENCE, Target
from mcutrain.host.defaults import (
    AUTO,
    BAUD,
    GUARD_MINUTES,
    PATIENCE,
    RATE_MINUTES,
    RATIO,
    RECONNECT_S,
    SCHEDULE,
)
from mcutrain.host.record.writer import RecordWriter, chained
from mcutrain.host.training.interrupt import StopTraining
from mcutrain.host.training.job import asked_job
from mcutrain.host.training.keeping import Keeper
from mcutrain.host.training.learned import FRESH, GO_ON
from mcutrain.host.training.run import check_together, run_job
from mcutrain.trainer.errors import Error
from mcutrain.trainer.notes import WARNING

Place = str | os.PathLike[str]


class Trainer:
    """Trains a plan on data: in the reference, natively, on a simulated board or on a real one.

    Attributes:
        run: What came of the last ``fit``; None before, and where nothing was learned.
    """

    run: Run | None

    @raises_errors
    def __init__(
        self,
        plan: Plan,
        data: Data,
        *,
        target: str | None = None,
        port: str | None = None,
        epochs: int | None = None,
        steps: int | None = None,
        minutes: float | None = None,
        lr: float | str = AUTO,
        lr_minutes: float = RATE_MINUTES,
        schedule: str = SCHEDULE,
        seed: int | None = None,
        verify: bool = False,
        guard: bool = True,
        guard_minutes: float = GUARD_MINUTES,
        patience: int = PATIENCE,
        validate_on: str = "device",
        balance: str = "auto",
        augment: str | None = None,
        latents: str | None = None,
        replay: int | None = None,
        replay_ratio: int = RATIO,
        count_instructions: bool = False,
        begin: str | None = None,
        baud: int = BAUD,
        key: Place | None = None,
        state: Place | None = None,
        save: Place | None = None,
        export: Place | None = None,
        record: Place | None = None,
        checkpoint: Place | None = None,
        checkpoint_steps: int | None = None,
        reconnect: float = RECONNECT_S,
        callbacks: Callback | Iterable[Callback] = (),
    ) -> None:
        """Say what is to be trained, and how. Nothing is trained yet.

        Args:
            plan: The plan. For another target than its own it is made anew.
            data: The data, their path, or a dict of arrays.
            target: Where to train: ``"reference"``, ``"native"`` or ``"sim:BOARD"``. By default
                the plan's.
            port: The serial port of a flashed board, in place of a target.
            epochs: Passes over the training samples. By default 10, or as ``steps`` or ``minutes``
                say.
            steps: Steps at most, in place of whole epochs.
            minutes: Minutes to train, in place of ``epochs`` and ``steps``.
            lr: The learning rate, from 2**-100 to 255; ``"auto"`` finds it by trainings on this
                computer.
            lr_minutes: At most so long for these trainings on a computer that does 10^9
                multiply-accumulates a second: every computer then finds the same rate.
            schedule: ``"cooldown"`` (the rate falls to 0 in the second half), ``"step"`` (a quarter
                of it in the last third), ``"constant"`` or ``"cosine"``.
            seed: The seed of order and rounding; None is 0, or what a ``state`` has.
            verify: Whether each step is compared with the reference.
            guard: Whether it trains only if that helps, by validation samples or by folds.
            guard_minutes: At most so long for the trainings of these folds, counted as
                ``lr_minutes`` are.
            patience: Epochs without anything better after which validation ends the training.
            validate_on: Who computes with validation samples: ``"device"`` or ``"host"``.
            balance: Whether classes get as many steps each: ``"auto"``, ``"on"`` or ``"off"``.
            augment: How samples are changed, such as ``"shift=0.1,noise=0.1"``.
            latents: Where the outputs of frozen layers are kept: ``"host"``, ``"device"`` or
                ``"off"``.
            replay: Slots of a replay buffer, 65,535 at most: the training samples are a stream
                then, which passes once.
            replay_ratio: Replayed samples for each new one, 100 at most.
            count_instructions: Whether a simulated board counts its instructions, or its cycles if
                its emulator counts those: ``Run.instructions`` or ``Run.cycles``.
            begin: What becomes of what a board at ``port`` has learned already: ``"go-on"`` or
                ``"fresh"``.
            baud: The speed of the port.
            key: The file of the keys that the board's firmware was built with, or of those of its
                rights that training takes. A target is then built with them.
            state: What ``Run.save`` wrote, to go on from.
            save: Where what is learned is kept as soon as it is known, as ``Run.save`` does.
            export: The same, as ``Run.export`` does.
            record: Where a record of every step is written, for ``mcutrain.audit``. A plan that
                begins anew then has ``chain``.
            checkpoint: Where all of the run is kept after each epoch. ``fit`` goes on from what is
                there, and ends as if nothing had stopped the run.
            checkpoint_steps: How many steps lie between two checkpoints, beside those.
            reconnect: Seconds for which a device at ``port`` that is gone is looked for.
            callbacks: What is called while it trains, in this order.

        Raises:
            Error: Values that there are not, or that contradict each other.
        """
        if not isinstance(plan, Plan):
            raise Error(f"the plan is {type(plan).__name__}: make one by mcutrain.plan(model, ...)")
        if begin not in (None, FRESH, GO_ON):
            raise Error(f"begin is {begin!r}: give '{FRESH}' or '{GO_ON}'")
        given = (callbacks,) if isinstance(callbacks, Callback) else tuple(callbacks)
        self.plan, self.data, self.callbacks = plan, load_data(data), given
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise Error(f"{callback!r} is no callback: derive its class from mcutrain.Callback")
        self._record, request = path_of(record), plan.request
        if self._record is not None:
            request = chained(request, port, path_of(state))
        where = target or (plan.target if port is None else REFERENCE)
        with wrong_kinds():
            self._job = asked_job(
                request, self.data.path, where, port=port, epochs=count("epochs", epochs),
                steps=count("steps", steps), minutes=minutes, lr=str(lr), lr_minutes=lr_minutes,
                schedule=schedule, seed=count("seed", seed), verify=verify, guard=guard,
                guard_minutes=guard_minutes, patience=patience, validate_on=validate_on,
                balance=balance, augment=augment, latents=latents,
                replay=count("replay", replay, 1),
                replay_ratio=count("replay_ratio", replay_ratio) or 0,
                count_instructions=count_instructions, beginning=begin, baud=baud,
                keys=keys_of(key),
                checkpoint=path_of(checkpoint),
                checkpoint_steps=count("checkpoint_steps", checkpoint_steps), reconnect_s=reconnect,
                state=path_of(state), save=path_of(save), export=path_of(export),
                flash_latents=plan.flash_latents and plan.flash_latents.path,
                reading=self.data.reading,
            )  # fmt: skip
        check_together(self._job, Target.parse(where))
        self.run = None

    def fit(self) -> Run:
        """Train, and measure before and after.

        Ctrl-C ends the training between two steps: what was learned until then is returned, and
        ``Run.interrupted`` says so; a loop over several trainings should end there. Before the
        first step it raises KeyboardInterrupt. SIGTERM and SIGHUP do the same, and then raise
        SystemExit with the status that a shell expects, so that the program ends.

        What is said of data that do not fit, such as samples that are clipped, is a UserWarning.

        Returns:
            The run. It warns where something asked for did not hold; see ``Run.failure``.

        Raises:
            Error: The plan does not fit the target, the data do not fit the model, the link fails,
                or a file of ``save`` or ``export`` cannot be written.
            Exception: What a callback has raised, after the training has ended in good order.
        """
        job, reporter, self.run = self._job, CallbackReporter(self.callbacks), None
        recorder = None if self._record is None else RecordWriter(self._record)
        keeper = Keeper(job.save, job.export, recorder)
        try:
            with errors_in_python():
                outcome = run_job(job, reporter, keeper)
            self.run = run = Run(outcome, self.data, reporter.epochs, reporter.said)
            self._tell_the_end(run, reporter)
        except KeyboardInterrupt as stopped:
            ends_the_program(*stopped.args)
            raise
        finally:
            for callback in self.callbacks:
                callback.close()
        if reporter.failure is not None:
            raise reporter.failure
        with errors_in_python():
            if keeper.failures:
                raise keeper.failures[0]
        if run.failure:
            warnings.warn(run.failure, RuntimeWarning, stacklevel=2)
        for note in outcome.notes:
            if note.level == WARNING:
                warnings.warn(note.text, UserWarning, stacklevel=2)
        ends_the_program(outcome.result.signal)
        return run

    def _tell_the_end(self, run: Run, reporter: CallbackReporter) -> None:
        """Tell all callbacks, also those behind one that fails."""
        for callback in self.callbacks:
            try:
                callback.on_end(run)
            except StopTraining:
                pass
            except Exception as error:
                reporter.failure = reporter.failure or error

    def __repr__(self) -> str:
        return f"Trainer({self.plan!r}, {self.data!r}, on {self._job.port or self._job.target})"


def ends_the_program(number: int = signal.SIGINT) -> None:
    """Raises SystemExit for a signal that asks the program to end, as others than Ctrl-C do."""
    if number not in (0, signal.SIGINT):
        raise SystemExit(128 + number)


def path_of(value: Place | None) -> Path | None:
    return None if value is None else Path(value)


def count(name: str, value: Any, least: int = 0) -> int | None:
    """A whole number, or None. Raises Error."""
    if value is None:
        return None
    try:
        found = operator.index(value)
    except TypeError:
        found = least - 1
    if found < least:
        raise Error(f"{name} is {value!r}: give a whole number, {least} or greater")
    return found


@contextmanager
def wrong_kinds() -> Iterator[None]:
    """What Python says of a value of the wrong kind becomes an Error."""
    try:
        yield
    except (TypeError, AttributeError) as error:
        raise Error(f"one of the values is of the wrong kind: {error}") from error
