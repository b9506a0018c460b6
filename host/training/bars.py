# SPDX-License-Identifier: Apache-2.0
"""The live view of a training: what its progress is in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from mcutrain.host.training.live_view import live_view
from mcutrain.host.training.progress import Progress
from mcutrain.host.training.rate_choice import rate_text
from mcutrain.trainer.training_plan import TrainingPlan

NAMES = {"rate": "find rate", "before": "evaluate before", "after": "evaluate after"}


@contextmanager
def bars(console: Console, plan: TrainingPlan) -> Iterator[Callable[[Progress], None]]:
    """Shows what is reported, on a terminal; elsewhere a line for each phase at the end."""
    with live_view(console) as view:

        def report(progress: Progress) -> None:
            if progress.phase == "epoch":  # a moment, not work that takes time
                return
            facts: dict[str, str] = {}
            name, note = NAMES.get(progress.phase, progress.phase), ""
            if progress.epoch is not None:
                facts["epoch"] = f"epoch {progress.epoch}/{progress.epochs}"
            if progress.rate is not None:
                facts["rate"] = f"rate {rate_text(progress.rate)}"
            if progress.traffic is not None:
                resent, damaged = progress.traffic.resent, progress.traffic.damaged
                facts["link"] = f"link: {resent:,} resent, {damaged:,} damaged"
            if progress.metric is not None:
                value = progress.metric
                note = f"accuracy {100 * value:.1f} %" if plan.classes else f"mse {value:.4g}"
                if progress.phase == "validate":
                    facts["validation"] = f"validation {note}"
                    note = ""
            view.show(name, progress.done, progress.total, progress.loss, note, **facts)

        yield report
