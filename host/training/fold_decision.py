# SPDX-License-Identifier: Apache-2.0
"""Whether a training helps, by held-out samples before and after it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mcutrain.host.training.data_notes import labels
from mcutrain.trainer.graph.tensor import Array

# Chosen on digits, clean and changed, and on people of HAPT (docs/adr/0057-folds.md). If all states
# were asked for KNOWING_CHANCE, six of 18 trainings that help by 14 points would be refused with 5
# samples of a class. If any fall of the loss were enough, two points could be lost where 95 % are
# right.
CHANCE = 0.2  # of a gain by accident, below which it is believed
KNOWING = 0.9  # share that is right, above which a state has little to gain and something to lose
KNOWING_CHANCE = 0.05  # what CHANCE is for such a state
BEYOND = 1.65  # standard errors that its mean loss must fall by, as it does in 5 % by accident


@dataclass(frozen=True)
class Judged:
    """What a state makes of samples, (N,) each: whether the class is right, and the loss.

    Where the target is not a label nothing is right.
    """

    right: Array
    loss: Array

    @classmethod
    def all(cls, parts: Sequence[Judged]) -> Judged:
        right, loss = ([getattr(part, name) for part in parts] for name in ("right", "loss"))
        return cls(np.concatenate(right), np.concatenate(loss))

    @property
    def mean_loss(self) -> float:
        return float(self.loss.mean())

    def value(self, metric: str) -> float:
        return float(self.right.mean()) if metric == "accuracy" else self.mean_loss


def chance_of(gained: int, lost: int) -> float:
    """The probability that so many of those that differ are ``gained``, or more, if training does
    nothing: exact, by McNemar's test; of losses that fell and rose it is the sign test.

    >>> chance_of(5, 0), chance_of(0, 0), chance_of(1, 1)
    (0.03125, 1.0, 0.75)
    """
    differing = gained + lost
    ways, of_one = 0, math.comb(differing, gained)
    for k in range(gained, differing + 1):
        ways += of_one
        of_one = (
            of_one * (differing - k) // (k + 1)
        )  # comb(differing, k + 1), at a tenth of its time
    return ways / (1 << differing)


@dataclass(frozen=True)
class FoldDecision:
    """What the folds say of held-out samples, by the first state and after training.

    ``classes`` counts the samples of each class; empty where the target is not a label. ``absent``
    are the classes in use that have none.
    """

    metric: str  # as of host.training.guard.guard_metric
    before: Judged
    after: Judged
    classes: Mapping[int, int]
    trainings: int
    steps: int
    seconds: float
    absent: Sequence[int] = ()
    shortened: int | None = None  # steps of a run on all samples that a fold's was cut to
    alike: bool = False  # all samples, of which targets are asked: only those can be learned

    @property
    def changed(self) -> tuple[int, int]:
        """How many samples training makes right, and how many wrong; whose loss falls and rises,
        where nothing is right or wrong."""
        before, after = self.before, self.after
        if self.metric == "accuracy":
            better, worse = after.right & ~before.right, before.right & ~after.right
        else:
            better, worse = after.loss < before.loss, before.loss < after.loss
        return int(better.sum()), int(worse.sum())

    @property
    def chance(self) -> float:
        return chance_of(*self.changed)

    @property
    def unjudged(self) -> list[int]:
        """The classes of which no sample was held out, since there is only one."""
        return [label for label, count in self.classes.items() if count == 1]

    @property
    def fall(self) -> float:
        """By how many of its standard errors the mean loss fell."""
        falls = self.before.loss - self.after.loss
        mean = float(falls.mean())
        error = float(falls.std(ddof=1)) / math.sqrt(len(falls)) if len(falls) > 1 else math.inf
        return mean / error if error else math.copysign(math.inf, mean) if mean else 0.0

    @property
    def helps(self) -> bool:
        """Whether training is kept: if more is right than CHANCE explains; or not less is, and the
        mean loss fell, in which each sample has a part. Where the first state is KNOWING both
        ask for more: KNOWING_CHANCE, and a loss that fell BEYOND.

        Values have no such measure: their mean loss, which is the metric, must have fallen, and
        that beyond chance, or for more samples than CHANCE explains: a few that are far off can
        make a mean and its error what they like. One class alone says nothing of the others, nor
        do samples that are ``alike``: the most frequent answer is all that they teach.
        """
        if len(self.classes) == 1 or self.alike:
            return False
        gained, lost = self.changed
        is_beyond = self.fall > BEYOND
        if self.metric != "accuracy":
            return self.fall > 0 and (is_beyond or self.chance < CHANCE)
        if self.before.value(self.metric) > KNOWING:
            return self.chance < KNOWING_CHANCE or (gained >= lost and is_beyond)
        return self.chance < CHANCE or (gained >= lost and self.fall > 0)

    def text(self, judged: Judged) -> str:
        value = judged.value(self.metric)
        return f"{100 * value:.1f} %" if self.metric == "accuracy" else f"{self.metric} {value:.4g}"

    def told(self) -> str:
        """What was decided, why, and what it cost, in a line."""
        gained, lost = self.changed
        now = ("newly right", "newly wrong") if self.metric == "accuracy" else ("nearer", "farther")
        return (
            f"guard: {self.verdict()}: {self.text(self.before)} before, {self.text(self.after)} "
            f"after on {len(self.before.loss)} held-out samples ({gained} {now[0]}, {lost} "
            f"{now[1]}; loss {self.before.mean_loss:.4g} before, {self.after.mean_loss:.4g} after)"
            f"{self.unseen()}; {self.trainings} trainings on this computer{self.length()}, "
            f"{self.seconds:.1f} s"
        )

    def length(self) -> str:
        if self.shortened is None:
            return ""
        return f" of the first {self.shortened:,} steps each (--guard-minutes gives more)"

    def verdict(self) -> str:
        if self.helps:
            return "training helps, and all samples are learned"
        reason = "training does not help"
        if len(self.classes) == 1:
            reason = f"label {next(iter(self.classes))} alone says nothing of the other classes"
        elif self.alike:
            reason = "all samples are alike, and nothing in them tells one answer from another"
        return f"the first state stays, since {reason} (--no-guard trains)"

    def unseen(self) -> str:
        alone, absent = self.unjudged, self.absent
        return (f"; not judged, with one sample each: {labels(alone)}" if alone else "") + (
            f"; not judged, without samples: {labels(absent)}" if absent else ""
        )

    def to_json(self) -> dict[str, Any]:
        gained, lost = self.changed
        return {
            "folds": self.trainings,
            "samples": len(self.before.loss),
            f"{self.metric}_before": self.before.value(self.metric),
            f"{self.metric}_after": self.after.value(self.metric),
            "loss_before": self.before.mean_loss,
            "loss_after": self.after.mean_loss,
            "gained": gained,
            "lost": lost,
            "chance": self.chance,
            "unjudged_classes": self.unjudged,
            "absent_classes": list(self.absent),
            "samples_alike": self.alike,
            "rolled_back": not self.helps,
            "steps": self.steps,
            "shortened_to": self.shortened,
            "seconds": round(self.seconds, 3),
        }
