# SPDX-License-Identifier: Apache-2.0
"""What came of a training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mcutrain.host.api.curve import Line, running_mean
from mcutrain.host.api.data import Dataset
from mcutrain.host.api.errors import raises_errors
from mcutrain.host.api.html import Cell, curve, page_table
from mcutrain.host.api.progress import Epoch
from mcutrain.host.extras import require_extra
from mcutrain.host.simulation.counts import Unit
from mcutrain.host.training.evaluation import Evaluation
from mcutrain.host.training.export import check_exportable, export_state
from mcutrain.host.training.job import Outcome
from mcutrain.host.training.state import save_state
from mcutrain.trainer.errors import Error
from mcutrain.trainer.graph.tensor import Array


class Run:
    """A training that has ended. ``Trainer.fit`` returns one.

    Attributes:
        data: What it learned from and was tested with.
        epochs: The epochs that have ended, each with its mean loss.
        outcome: All that is known of it, as the command line has it.
    """

    def __init__(
        self, outcome: Outcome, data: Dataset, epochs: Sequence[Epoch], said: Sequence[str]
    ) -> None:
        self.outcome, self.epochs, self._said = outcome, tuple(epochs), tuple(said)
        self.data = data

    @property
    def target(self) -> str:
        """Where it ran: ``reference``, ``native``, ``sim:BOARD`` or a port."""
        return self.outcome.target

    @property
    def losses(self) -> list[float]:
        """The loss of each step in real units, before it learned."""
        return self.outcome.result.losses

    @property
    def steps(self) -> int:
        """How many steps were done."""
        return self.outcome.result.steps

    @property
    def rate(self) -> float | None:
        """The learning rate that it began with; None where nothing was trained."""
        found = self.outcome.job.rate
        return None if found is None else found.chosen

    @property
    def metric(self) -> str:
        """What ``before`` and ``after`` are: ``accuracy``, or ``mse`` where there are no labels."""
        return self.outcome.result.metric

    @property
    def accuracies(self) -> list[float]:
        """The metric of the validation samples after each epoch; empty without such samples."""
        return [each.metric for each in self.epochs if each.metric is not None]

    @property
    def before(self) -> float | None:
        """The metric of the test samples before training; None where it was not measured."""
        return self.outcome.result.before

    @property
    def after(self) -> float | None:
        """The metric of the test samples after training; None where it was not measured."""
        return self.outcome.result.after

    @cached_property
    def confusion(self) -> Array | None:
        """(classes, classes) counts of test samples after training: a row for each true class, a
        column for each predicted one. None where targets are no labels."""
        return confusion(self.outcome.result.evaluation_after)

    @cached_property
    def confusion_before(self) -> Array | None:
        """The same before training."""
        return confusion(self.outcome.result.evaluation_before)

    @property
    def verified_steps(self) -> int:
        """How many steps were compared with the reference, and were equal in all bits."""
        return self.outcome.result.verified_steps

    @property
    def bit_exact(self) -> bool | None:
        """Whether every step and every prediction was equal to the reference's; None if nobody
        compared them."""
        return self.outcome.result.bit_exact

    @property
    def failure(self) -> str:
        """What did not hold of what was asked for, such as the first difference from the reference;
        empty if all held."""
        return self.outcome.failure

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C has ended it; what was learned until then is here."""
        return self.outcome.result.interrupted

    @property
    def stopped(self) -> bool:
        """Whether a callback has ended it."""
        return self.outcome.result.stopped

    @property
    def seconds(self) -> float:
        """How long it took, without what was done before the first step."""
        return self.outcome.result.seconds

    @property
    def cost(self) -> dict[str, Any]:
        """Bytes of RAM and flash by kind, as ``mcutrain plan --json`` has them."""
        return self.outcome.cost

    @property
    def instructions(self) -> dict[str, dict[str, float | None]]:
        """Exact instructions that were counted, by what; empty unless they were asked for, and on a
        board whose emulator counts ``cycles``."""
        return self.outcome.counted_in(Unit.INSTRUCTIONS)

    @property
    def cycles(self) -> dict[str, dict[str, float | None]]:
        """Exact cycles of an emulator that counts those, by what; empty on all other boards."""
        return self.outcome.counted_in(Unit.CYCLES)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user would want to know of it, a sentence each: of the plan, of the data, how the
        learning rate was found, what the guard decided, which tensors saturate."""
        from mcutrain.host.show.outcome import notes

        return (*map(str, self.outcome.notes), *self._said, *notes(self.outcome))

    @raises_errors
    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write what was learned as an .npz file, with which ``Trainer(state=...)`` goes on.

        Returns:
            The same path.

        Raises:
            Error: Nothing was learned, or the file cannot be written.
        """
        outcome = self.outcome
        save_state(Path(path), outcome.plan, self._state(), outcome.job.request)
        return Path(path)

    @raises_errors
    def export(self, path: str | os.PathLike[str], resumable: bool = True) -> Path:
        """Write the trained model as a .tflite file.

        Args:
            path: The file.
            resumable: Whether the file keeps what training needs to go on.

        Returns:
            The same path.

        Raises:
            Error: The network cannot be a file, or the file cannot be written.
        """
        outcome = self.outcome
        check_exportable(outcome.job.request, outcome.plan)
        export_state(outcome.job.request, outcome.plan, self._state(), Path(path), resumable)
        return Path(path)

    @raises_errors
    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write a page about the run.

        Returns:
            The same path.

        Raises:
            Error: A package of the extra ``report`` is missing, or the file cannot be written.
        """
        require_extra("report")
        from mcutrain.host.show.training_page import write_report

        write_report(Path(path), [self.outcome])
        return Path(path)

    def to_json(self) -> dict[str, Any]:
        """What ``mcutrain train --json`` prints."""
        return self.outcome.to_json()

    def _state(self) -> bytes:
        if not self.outcome.result.state:
            raise Error("the run has learned nothing: there is nothing to save or to export")
        return self.outcome.result.state

    def __repr__(self) -> str:
        before, after = (self._text(value) for value in (self.before, self.after))
        return (
            f"Run({self.outcome.plan.name}, {self.outcome.plan.scheme.name}, {self.target}: "
            f"{self.metric} {before} to {after} in {self.steps:,} steps)"
        )

    def _text(self, value: float | None) -> str:
        if value is None:
            return "not measured"
        return f"{100 * value:.1f} %" if self.metric == "accuracy" else f"{value:.4g}"

    def _repr_html_(self) -> str:
        verified = "not verified"
        if self.bit_exact is not None:
            how = "equal in all bits" if self.bit_exact else self.failure
            verified = f"{self.verified_steps:,}, {how}"
        rows: list[tuple[str, Cell]] = [
            (f"{self.metric} before", self._text(self.before)),
            (f"{self.metric} after", self._text(self.after)),
            ("learning rate", self.rate),
            ("steps", self.steps),
            ("verified steps", verified),
            ("RAM, bytes", self.cost["sram_bytes"]),
            ("flash, bytes", self.cost["flash_bytes"]),
            ("seconds of training", round(self.seconds, 1)),
        ]
        plan = self.outcome.plan
        lines = [Line("loss of a step", self.losses), Line("mean", running_mean(self.losses))]
        return page_table(f"{plan.name}, {plan.scheme.name}", ("", self.target), rows) + curve(
            "Loss of each step, and its running mean", lines
        )


def confusion(found: Evaluation | None) -> Array | None:
    return None if found is None or not found.classes else found.confusion
