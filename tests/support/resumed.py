# SPDX-License-Identifier: Apache-2.0
"""Runs that die at a step, and go on from their checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mcutrain.host.request import Request
from mcutrain.host.training.job import Outcome, asked_job
from mcutrain.host.training.progress import Progress
from mcutrain.host.training.reporter import Reporter
from mcutrain.host.training.run import run_job

# What differs between a run in one go and one in parts: times, latents that are computed again, and
# the most stack, which depends on where the program is when the line interrupts it.
OWN = (
    "seconds", "step_seconds", "resumed_from", "latents", "link", "reconnects", "stack_used_bytes",
)  # fmt: skip


class Died(BaseException):
    """Stands for a process that is killed: nothing catches it, so nothing is put right."""


class Dying(Reporter):
    """Dies when a run has done so many steps, or in ``phase`` when so much of it is done."""

    def __init__(self, at: int | None = None, phase: str = "train") -> None:
        self.at, self.phase = at, phase
        self.said: list[str] = []
        self.phases: set[str] = set()

    def say(self, text: str) -> None:
        self.said.append(text)

    @contextmanager
    def training(self, plan: Any) -> Any:
        yield self.told

    def told(self, progress: Progress) -> None:
        self.phases.add(progress.phase)
        if progress.phase == self.phase and progress.done == self.at:
            raise Died


def run(
    request: Request, data: Path, folder: Path, target: str = "reference",
    reporter: Reporter | None = None, **options: Any,
) -> Outcome:  # fmt: skip
    """A run whose learned state goes to ``folder``."""
    asked: dict[str, Any] = {
        "lr": "0.015625",
        "guard": False,
        "epochs": None if "replay" in options else 3,
        **options,
    }
    job = asked_job(request, data, target, save=folder / "s.npz", **asked)
    return run_job(job, reporter or Reporter())


def in_parts(
    folder: Path, deaths: list[int], begin: Callable[..., Outcome], **options: Any
) -> tuple[Outcome, list[Dying]]:
    """``begin`` with a checkpoint, dying at each of these steps in turn, and then to its end; and
    what was said in each part."""
    reporters = []
    for at in [*deaths, None]:
        reporters.append(Dying(at))
        try:
            outcome = begin(folder, reporter=reporters[-1], checkpoint=folder / "c.npz", **options)
        except Died:
            continue
    return outcome, reporters


def arrays(path: Path) -> dict[str, Any]:
    """All that a file of --save holds."""
    with np.load(path) as file:
        return {key: file[key].tolist() for key in file.files}


def figures(outcome: Outcome) -> dict[str, Any]:
    """What is told of a run, but for OWN and the times of what was found before it."""
    found = {key: value for key, value in outcome.to_json().items() if key not in OWN}
    for key in ("rate", "guard"):
        if isinstance(found[key], dict):
            found[key].pop("seconds", None)
    return found
