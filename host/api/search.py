# SPDX-License-Identifier: Apache-2.0
"""Searches for what should learn, within a budget of bytes."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcutrain.host.api.curve import Line
from mcutrain.host.api.data import Data, load_data
from mcutrain.host.api.errors import raises_errors
from mcutrain.host.api.found_scheme import FoundScheme
from mcutrain.host.api.html import curve, page_table
from mcutrain.host.api.model import ModelFile, load
from mcutrain.host.api.plan import request_of, size_of
from mcutrain.host.building.target import REFERENCE
from mcutrain.host.defaults import AUTO
from mcutrain.host.files import write_whole
from mcutrain.host.search.budget import Limits
from mcutrain.host.search.command import Searched, SearchJob, run_search
from mcutrain.host.search.effort import SearchPlan
from mcutrain.host.search.report import described, scheme_file
from mcutrain.host.training.rates import given_rate
from mcutrain.host.training.reporter import SILENT
from mcutrain.trainer.errors import Error
from mcutrain.trainer.model import Model as ReadModel

if TYPE_CHECKING:
    from mcutrain.host.search.search import Trained


@dataclass(frozen=True)
class Front:
    """What a search has found. ``search`` makes one.

    Attributes:
        searched: All that is known of the search.
        model: The model that was searched for.
    """

    searched: Searched
    model: ReadModel

    @property
    def best(self) -> FoundScheme:
        """The scheme that was most accurate when the best ones were trained anew."""
        return found_scheme(self.searched.found.best)

    @property
    def head(self) -> FoundScheme:
        """The head alone, to compare with."""
        return found_scheme(self.searched.found.head)

    @property
    def schemes(self) -> tuple[FoundScheme, ...]:
        """The Pareto front: the schemes that no other beats in both score and bytes, by bytes."""
        return tuple(map(found_scheme, self.searched.found.front))

    @property
    def trials(self) -> tuple[FoundScheme, ...]:
        """All schemes that were trained: the head first, then in the order of the trials."""
        return tuple(map(found_scheme, self.searched.found.trained))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user would want to know of it, a sentence each."""
        return (*self.searched.found.notes, *map(str, self.searched.notes))

    def to_json(self) -> dict[str, Any]:
        """What ``mcutrain search --json`` prints."""
        return self.searched.to_json()

    @raises_errors
    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the best scheme as a scheme file, which ``plan(update=...)`` takes.

        Args:
            path: The file, whose name ends in ``.toml``.

        Returns:
            The same path.

        Raises:
            Error: It cannot be written.
        """
        file = Path(path)
        if file.suffix != ".toml":
            raise Error(f"{file}: a scheme file ends in .toml, so that a plan can take it")
        text = scheme_file(self.searched.found, self.model, self.searched.limits, COMMAND)
        write_whole(file, text)
        return file

    def __repr__(self) -> str:
        return f"Front({len(self.schemes)} schemes, best: {self.best.learns})"

    def _repr_html_(self) -> str:
        best, shown = self.best, self.schemes
        rows = [
            (one.learns + (", the best" if one == best else ""), one.ram_bytes, one.macs, one.trial,
             one.confirmed)
            for one in (*shown, *(() if best in shown else (best,)))
        ]  # fmt: skip
        trials = self.trials
        line = Line("trials", [one.trial for one in trials], [one.ram_bytes for one in trials])
        head = ("learns beside the head", "RAM, bytes", "MACs of a step", "trial", "confirmed")
        return page_table(repr(self), head, rows) + curve(
            "Score of each trial on validation samples, by bytes of RAM", [line], "bytes", dots=True
        )


COMMAND = "mcutrain.search"


def found_scheme(one: Trained) -> FoundScheme:
    def score(of: Any) -> float:
        return float(of.accuracy if of.mse is None else of.mse)

    confirmed = None if one.confirmed is None else score(one.confirmed)
    return FoundScheme(
        one.scheme, described(one.scheme), one.sram, one.macs, score(one.trial), confirmed
    )


@raises_errors
def search(
    model: ModelFile,
    data: Data,
    sram: int | str,
    *,
    trials: int = 24,
    promote: int = 4,
    folds: int = 3,
    epochs: int = 10,
    trial_steps: int | None = None,
    instructions: int | None = None,
    validation: float = 0.3,
    lr: float | str = AUTO,
    seed: int = 0,
    jobs: int = 1,
    target: str = REFERENCE,
    study: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Front:
    """Choose what learns: the most accurate scheme for your data within a budget of bytes.

    Args:
        model: The model, or its path.
        data: The data; the test samples are not looked at. An array ``group_train`` says whose
            each sample is: the scheme is then for one person at a time.
        sram: Bytes of RAM there are, such as ``65536`` or ``"64K"``.
        trials: How many schemes are trained.
        promote: How many of the best are trained anew to choose from.
        folds: Other ways to hold samples out, for these.
        epochs: Epochs of each training.
        trial_steps: Steps of a trial; by default all.
        instructions: Instructions that a step may take, as predicted for the chip.
        validation: The share of each class's training samples to judge with.
        lr: The learning rate, or ``"auto"``.
        seed: The seed of all that is drawn.
        jobs: Processes. More than one start this program's main module again, so that a script
            needs ``if __name__ == "__main__":``.
        target: ``"reference"``: bytes are arena and learned state. ``"native"`` or ``"sim:BOARD"``:
            stack, link and code of a build count, too.
        study: A folder that keeps what was measured, so that the same call goes on with it.
        **options: Options of the plan, as ``plan`` takes them, such as ``classes``.

    Returns:
        The front of schemes, and the best of them.

    Raises:
        Error: Nothing fits, the data do not fit the model, or the extra ``search`` is missing.
    """
    for name, value in (("trials", trials), ("promote", promote), ("folds", folds), ("jobs", jobs)):
        if value < 1:
            raise Error(f"{name} is {value}: give 1 or more")
    read = load(model, options.get("start"), options.get("end"))
    samples = load_data(data)
    limits = Limits(size_of("sram", sram), None, instructions)
    request = request_of(read, options)
    effort = SearchPlan(trials, promote, folds, epochs, trial_steps, seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mcutrain-search-")))
        job = SearchJob(
            request, samples.path, Limits(limits.sram, request.options.flash, instructions), effort,
            target, validation, given_rate(str(lr)), jobs,
            None if study is None else Path(study), None, folder / "scheme.toml",
            reading=samples.reading,
        )  # fmt: skip
        return Front(run_search(job, SILENT, COMMAND), read.content)
