# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks``: trains the accuracy benchmarks and writes their tables and plots."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks import (
    augmentation,
    balance,
    enrolment,
    forgetting,
    forward_cost,
    guard,
    overall,
    precondition,
    rate,
)
from benchmarks.comparison import RESULTS_DIR, run_task
from benchmarks.data.fetch import DataUnavailable
from benchmarks.document import DOCUMENT, put_section
from benchmarks.tables import markdown, plot, rows_of
from benchmarks.task import Task

QUICK = ("watch", "hapt", "digits", "vibration", "machine")  # some ten minutes on two cores
TASKS = (*QUICK, "fashion", "incremental", "cifar", "calibrated", "mcunet")
OTHERS = {
    "forward": forward_cost.markdown,
    "guard": guard.markdown,
    "forgetting": forgetting.markdown,
    "enrolment": enrolment.markdown,
    "rate": rate.markdown,
    "balance": balance.markdown,
    "augmentation": augmentation.markdown,
    "precondition": precondition.markdown,
}
ALL = (*TASKS, *OTHERS)
err = Console(stderr=True)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class TaskNamed:
    """The task of a module of benchmarks.tasks, made by a call, also in other processes."""

    name: str
    short: bool = False
    most_seeds: int | None = None

    def __call__(self) -> Task:
        """Raises DataUnavailable."""
        task: Task = importlib.import_module(f"benchmarks.tasks.{self.name}").task()
        if self.short:
            task = task.shortened()
        return task if self.most_seeds is None else task.within(self.most_seeds)


@app.command(epilog="Example: python -m benchmarks watch cifar --jobs 2")
def main(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TASK]...",
            help=f"Of {', '.join(ALL)}; or quick: {', '.join(QUICK)}. Default: all of them.",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
    short: Annotated[
        bool, typer.Option("--short", help="Few steps: whether it runs, not what it shows.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Train again what was trained before.")
    ] = False,
    results: Annotated[Path, typer.Option(help="Folder of finished runs.")] = RESULTS_DIR,
    most_seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Of each group at most. Default: what decides, within a limit."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The document whose tables are replaced.")
    ] = None,
) -> None:
    """Accuracy of integer training against float training, paired by seed.

    Finished runs are kept: an interrupted benchmark goes on where it stopped.
    """
    if output is None and not short:
        output = DOCUMENT
    results = results / "short" if short else results
    for name in chosen(names):
        if fresh:
            (results / f"{name}.jsonl").unlink(missing_ok=True)
        try:
            if name in OTHERS:
                tell(name, OTHERS[name](short), output)
            else:
                measure(TaskNamed(name, short, most_seeds), jobs, results, output)
        except DataUnavailable as reason:
            print(f"skipped {name}: {reason}")
    told = overall.markdown(results)
    if told:
        tell("overall", told, output)


def chosen(names: list[str] | None) -> list[str]:
    """The tasks of these names. Raises BadParameter."""
    found: list[str] = []
    for name in names or ALL:
        if name != "quick" and name not in ALL:
            raise typer.BadParameter(f"'{name}': there are quick, {', '.join(ALL)}")
        found += QUICK if name == "quick" else (name,)
    return found


def measure(task_of: TaskNamed, jobs: int, results: Path, output: Path | None) -> None:
    """Train one task, print its table, and put it with its plot where it belongs."""
    name, task = task_of.name, task_of()
    with bars(name) as report:
        found = run_task(task_of, jobs, report, results)
    rows = rows_of(task, found.runs)
    text = markdown(found, rows)
    tuned = {scheme: asdict(of_scheme) for scheme, of_scheme in found.tuned.items()}
    told: dict[str, Any] = {"task": name, "tuned": tuned, "rows": [asdict(row) for row in rows]}
    (results / f"{name}.json").write_text(json.dumps(told, indent=1) + "\n")
    if output is not None:
        picture = output.parent / "plots" / f"{name}.png"
        plot(task, rows, picture)
        text += f"\n![{task.title}]({picture.relative_to(output.parent).as_posix()})\n"
    tell(name, text, output)


def tell(name: str, text: str, output: Path | None) -> None:
    """Print a section, and put it where it belongs."""
    print(text)
    if output is not None:
        put_section(output, name, text)


class bars:
    """A progress bar for each phase of a task."""

    def __init__(self, name: str) -> None:
        self.name, self.tasks = name, dict[str, Any]()
        columns = (
            TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(),
            TimeRemainingColumn(),
        )  # fmt: skip
        self.view = Progress(*columns, console=err)

    def __enter__(self) -> Callable[[str, int, int], None]:
        self.view.start()
        return self.report

    def __exit__(self, *raised: object) -> None:
        self.view.stop()

    def report(self, phase: str, done: int, total: int) -> None:
        if phase not in self.tasks:
            self.tasks[phase] = self.view.add_task(f"{self.name}: {phase}", total=total)
        self.view.update(self.tasks[phase], completed=done, total=total)


if __name__ == "__main__":
    app()
