# SPDX-License-Identifier: Apache-2.0
"""Tells on a console what a job is doing."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.text import Text

from mcutrain.host.search import command as searching
from mcutrain.host.training.bars import bars
from mcutrain.host.training.progress import Report
from mcutrain.host.training.reporter import Phase, Reporter, Update
from mcutrain.host.training.tell import tell
from mcutrain.trainer.notes import Note
from mcutrain.trainer.training_plan import TrainingPlan


class ConsoleReporter(Reporter):
    """Prints lines, and draws bars and questions where the console is a terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def tell(self, notes: Iterable[Note]) -> None:
        tell(notes, self.console)

    @contextmanager
    def working(self, text: str) -> Iterator[Update]:
        with self.console.status(text) as status:
            yield status.update

    def training(self, plan: TrainingPlan) -> AbstractContextManager[Report]:
        return bars(self.console, plan)

    def searching(self) -> AbstractContextManager[Phase]:
        return searching.bars(self.console)

    def choose(self, question: str, choices: tuple[str, ...]) -> str | None:
        while self.console.is_terminal and not self.console.quiet and sys.stdin.isatty():
            try:
                self.say(question)
                answer = self.console.input(Text(f"({'/'.join(choices)}) ")).strip().lower()
            except EOFError:
                break
            if answer in choices:
                return answer
        return None
