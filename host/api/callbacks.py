# SPDX-License-Identifier: Apache-2.0
"""What a program may do while it trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mcutrain.host.api.progress import Epoch, Step
from mcutrain.host.training.interrupt import StopTraining
from mcutrain.host.training.progress import Progress, Report
from mcutrain.host.training.reporter import Reporter
from mcutrain.trainer.training_plan import TrainingPlan

__all__ = ["Callback", "CallbackReporter", "StopTraining"]

if TYPE_CHECKING:
    from mcutrain.host.api.run import Run


class Callback:
    """Is called while ``Trainer.fit`` trains. Derive from it, and override what you need.

    A callback ends the training early by raising ``StopTraining``: what was learned so far is
    measured and returned, as at the end. Any other exception ends it in the same way, and ``fit``
    raises that exception then; ``Trainer.run`` has what was learned.
    """

    def on_step(self, step: Step) -> None:
        """A step was done."""

    def on_epoch(self, epoch: Epoch) -> None:
        """An epoch has ended, and was validated where there are validation samples."""

    def on_end(self, run: Run) -> None:
        """The training has ended, and was measured."""

    def close(self) -> None:
        """Nothing follows. This is called last, also where the training has failed."""


class CallbackReporter(Reporter):
    """Calls callbacks as steps are done, and keeps what it was told.

    Attributes:
        epochs: Those that have ended.
        said: Sentences for the user.
        failure: The exception by which a callback has ended the training, or None.
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = callbacks
        self.epochs: list[Epoch] = []
        self.said: list[str] = []
        self.failure: BaseException | None = None
        self._step = 0

    def say(self, text: str) -> None:
        self.said.append(text)

    @contextmanager
    def training(self, plan: TrainingPlan) -> Iterator[Report]:
        yield self._report

    def _report(self, progress: Progress) -> None:
        loss, epoch = progress.loss, progress.epoch
        if loss is None or epoch is None:
            return
        if progress.phase == "train":
            assert progress.rate is not None
            self._step = progress.done
            step = Step(progress.done, progress.total, loss, progress.rate, epoch)
            with self._kept():
                for callback in self.callbacks:
                    callback.on_step(step)
        elif progress.phase == "epoch":
            ended = Epoch(progress.done, progress.total, loss, progress.metric, self._step)
            self.epochs.append(ended)
            with self._kept():
                for callback in self.callbacks:
                    callback.on_epoch(ended)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """An exception of a callback is kept, and ends the training."""
        try:
            yield
        except StopTraining:
            raise
        except Exception as error:
            self.failure = error
            raise StopTraining from error
