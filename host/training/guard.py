# SPDX-License-Identifier: Apache-2.0
"""Decides after each epoch whether to keep the weights, and keeps the best of them.

The decisions are those of firmware/learning/guard.c, which a device without a host uses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from mcutrain.host.defaults import PATIENCE
from mcutrain.trainer.training_plan import TrainingPlan


class Verdict(IntEnum):
    """What a report comes to. Twin of mct_guard_verdict."""

    IMPROVED = 0
    GO_ON = 1
    STOP = 2


@dataclass(frozen=True)
class ValidationScore:
    """What the validation samples say: how many are right, and their mean loss.

    Where the target is not a label nothing is right or wrong: ``correct`` is 0, the loss decides.
    """

    correct: int
    total: int
    loss: float = 0.0


def chance(score: ValidationScore) -> int:
    """Right answers that come and go by chance: two standard deviations of a binomial, floored.

    Two, since the best of many epochs is looked for: with one, an epoch that was lucky with 20
    samples was kept that cost 8 points on hundreds (`benchmarks.guard`).

    >>> [chance(ValidationScore(right, 60)) for right in (58, 30, 0)]
    [2, 7, 0]
    """
    correct, total = min(score.correct, score.total), score.total
    return math.isqrt(4 * correct * (total - correct) // total) if total else 0


def is_better(score: ValidationScore, best: ValidationScore) -> bool:
    """Whether ``score`` beats ``best``, with one number of samples.

    Never with fewer right. With more than chance explains: yes. Between, chance may have chosen
    them, and the lower loss decides, which each sample has a part in. A loss that is not a
    number is worse than any other.
    """
    if score.correct < best.correct:
        return False
    if score.correct - best.correct > chance(best):
        return True
    return score.loss < best.loss or (math.isnan(best.loss) and not math.isnan(score.loss))


class Guard:
    """The best state so far; the first report is the state before training.

    ``patience`` is how many reports in a row may bring nothing better; 0 never stops.
    """

    def __init__(self, patience: int = PATIENCE) -> None:
        self.patience = patience
        self.best: ValidationScore | None = None
        self.state = b""
        self.stale = 0

    def report(
        self, score: ValidationScore, state: Callable[[], bytes], counts: bool = True
    ) -> Verdict:
        """Judge the state now; ``state`` is asked for it if it is to be kept.

        Without ``counts`` patience is not tried.
        """
        if self.best is None or is_better(score, self.best):
            self.best, self.state, self.stale = score, state(), 0
            return Verdict.IMPROVED
        self.stale += counts
        is_over = counts and 0 < self.patience <= self.stale
        return Verdict.STOP if is_over else Verdict.GO_ON


def guard_metric(plan: TrainingPlan) -> str:
    """What decides whether a training helps: accuracy; mse, in squared real units; or loss, where
    each position has a label. There most positions are often of one class, and those of a sample
    are alike: more that are right may be chance, or background alone."""
    if plan.takes_label:
        return "accuracy"
    return "loss" if plan.takes_label_map else "mse"


@dataclass
class Guarded:
    """What a guard saw in a run, and what it did.

    ``curve`` holds (step number, score) before training and after each epoch; ``best`` is the
    index of the state that was kept.
    """

    metric: str  # as of guard_metric
    curve: list[tuple[int, ValidationScore]] = field(default_factory=list)
    best: int = 0
    stopped_early: bool = False

    @property
    def rolled_back(self) -> bool:
        """Whether training brought nothing better than there was before."""
        return self.best == 0 and len(self.curve) > 1

    def values(self) -> list[float]:
        """The metric along the curve."""
        return [self.value(score) for _, score in self.curve]

    def value(self, score: ValidationScore) -> float:
        return score.correct / score.total if self.metric == "accuracy" else score.loss

    def text(self, score: ValidationScore) -> str:
        value = self.value(score)
        return f"{100 * value:.1f} %" if self.metric == "accuracy" else f"{self.metric} {value:.4g}"

    def told(self) -> str:
        """What was done, in a line."""
        if not self.curve:
            return "guard: stopped before it had measured anything"
        before, best = self.curve[0][1], self.curve[self.best][1]
        samples = f"{before.total} validation samples"
        epochs = len(self.curve) - 1
        if not epochs:
            return f"guard: no epoch was trained; {self.text(before)} on {samples}"
        early = f"; stopped early, after epoch {epochs}" if self.stopped_early else ""
        if self.rolled_back:
            return (
                f"guard: rolled back: no epoch was better than the {self.text(before)} before, "
                f"on {samples}{early}"
            )
        return (
            f"guard: kept epoch {self.best} of {epochs}: {self.text(best)} on {samples}, "
            f"{self.text(before)} before{early}"
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "samples": self.curve[0][1].total if self.curve else 0,
            "curve": [
                {"epoch": k, "step": step, self.metric: self.value(score), "loss": score.loss}
                for k, (step, score) in enumerate(self.curve)
            ],
            "best_epoch": self.best,
            "best_step": self.curve[self.best][0] if self.curve else None,
            "stopped_early": self.stopped_early,
            "rolled_back": self.rolled_back,
        }
