# SPDX-License-Identifier: Apache-2.0
"""Progress bars of a run, one for each phase, on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from mcutrain.host.training.loop import Progress
from mcutrain.trainer.training_plan import TrainingPlan


@contextmanager
def bars(console: Console, plan: TrainingPlan) -> Iterator[Callable[[Progress], None]]:
    """A progress bar for each phase, on a terminal."""
    columns = (
        TextColumn("{task.description:<9}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"), TimeRemainingColumn(),
    )  # fmt: skip
    names = {"rate": "find rate", "before": "evaluate", "after": "evaluate"}
    with Bars(*columns, console=console) as view:
        tasks: dict[str, Any] = {}
        average = None

        def report(progress: Progress) -> None:
            nonlocal average
            if progress.phase == "epoch":  # a moment, not work that takes time
                return
            if progress.phase not in tasks:
                name = names.get(progress.phase, progress.phase)
                tasks[progress.phase] = view.add_task(name, total=progress.total, note="")
            note = ""
            if progress.loss is not None:
                average = (
                    progress.loss if average is None else 0.95 * average + 0.05 * progress.loss
                )
                note = f"loss {average:.3f}"
            elif progress.metric is not None:
                value = progress.metric
                note = f"accuracy {100 * value:.1f} %" if plan.takes_label else f"mse {value:.4g}"
            view.update(
                tasks[progress.phase], completed=progress.done, total=progress.total, note=note
            )

        yield report
