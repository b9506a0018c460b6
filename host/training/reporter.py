# SPDX-License-Identifier: Apache-2.0
"""Who is told what a job is doing: the command line draws it, the Python API calls callbacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

from mcutrain.host.training.progress import Report
from mcutrain.trainer.notes import Note
from mcutrain.trainer.training_plan import TrainingPlan

Update = Callable[[str], None]  # says what is being done now
Phase = Callable[[str, int, int], None]  # phase of a search, done, total


def nothing(*told: object) -> None:
    """Takes what it is told and does nothing with it."""


class Reporter:
    """Is told what a job is doing. This one is silent; children override what they show."""

    def say(self, text: str) -> None:
        """A sentence for the user."""

    def tell(self, notes: Iterable[Note]) -> None:
        """What a user would want to know of a plan and its data."""

    def working(self, text: str) -> AbstractContextManager[Update]:
        """Work that says in words what it is doing, ``text`` at first."""
        return nullcontext(nothing)

    def training(self, plan: TrainingPlan) -> AbstractContextManager[Report]:
        """Work that says how far it is: trainings of ``plan``, and what comes before them."""
        return nullcontext(nothing)

    def searching(self) -> AbstractContextManager[Phase]:
        """A search, which says how far each of its phases is."""
        return nullcontext(nothing)

    def choose(self, question: str, choices: tuple[str, ...]) -> str | None:
        """The user's answer, one of ``choices``; None if there is nobody to ask."""
        return None


SILENT = Reporter()
