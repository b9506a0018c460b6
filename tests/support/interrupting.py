# SPDX-License-Identifier: Apache-2.0
"""Signals in the middle of a command's training."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from mcutrain.host.training import run as jobs
from mcutrain.host.training.loop import train
from mcutrain.host.training.progress import Progress


def interrupt_at(
    step: int,
    monkeypatch: pytest.MonkeyPatch,
    number: int = signal.SIGINT,
    phase: str = "train",
) -> None:
    """Ctrl-C, or another signal, when the command has done so many steps, or so much of another
    phase."""

    def with_interruption(plan: Any, data: Any, runner: Any, options: Any, report: Any, *rest: Any):
        def told(progress: Progress) -> None:
            report(progress)
            if progress.phase == phase and progress.done == step:
                signal.raise_signal(number)

        return train(plan, data, runner, options, told, *rest)

    monkeypatch.setattr(jobs, "train", with_interruption)
