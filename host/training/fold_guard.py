# SPDX-License-Identifier: Apache-2.0
"""Decides before a run whether its training helps: trains without each fold of the samples, in
this process, and compares what it then makes of them with what the first state makes of them.

If it helps, the run learns from all samples. So nothing is held out of it, and each sample, and
each class that has two, has a part in the decision.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mcutrain.host.defaults import RATIO
from mcutrain.host.training.data_notes import labels
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.folds import Fold, Pool
from mcutrain.host.training.latents import CachedRunner, HostLatents
from mcutrain.host.training.loop import Progress, Report, TrainingOptions, begun, train
from mcutrain.host.training.replay import train_stream
from mcutrain.host.training.runner import LatentRunner, Runner
from mcutrain.host.training.validation import classes_in_use, judged_output
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.training_plan import TrainingPlan

SIGNIFICANCE = 0.05
MakeRunner = Callable[[TrainingPlan], AbstractContextManager[LatentRunner]]


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
    ways = sum(math.comb(differing, k) for k in range(gained, differing + 1))
    return ways / (1 << differing)


@dataclass(frozen=True)
class FoldDecision:
    """What the folds say of held-out samples, by the first state and after training.

    ``classes`` counts the samples of each class; empty where the target is not a label.
    """

    metric: str  # accuracy, or mse in squared real units
    before: Judged
    after: Judged
    classes: Mapping[int, int]
    trainings: int
    steps: int
    seconds: float

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
    def helps(self) -> bool:
        """Whether training is kept: more is right than chance explains; or not less is, and the
        mean loss fell, which each sample has a part in. One class alone says nothing of others."""
        gained, lost = self.changed
        fell = self.after.mean_loss < self.before.mean_loss
        if len(self.classes) == 1:
            return False
        if self.metric == "accuracy" and self.chance < SIGNIFICANCE:
            return True
        return gained >= lost and fell

    def text(self, judged: Judged) -> str:
        value = judged.value(self.metric)
        return f"{100 * value:.1f} %" if self.metric == "accuracy" else f"mse {value:.4g}"

    def told(self) -> str:
        """What was decided, why, and what it cost, in a line."""
        gained, lost = self.changed
        now = ("right now", "wrong") if self.metric == "accuracy" else ("nearer now", "farther")
        return (
            f"guard: {self.verdict()}: {self.text(self.before)} before, {self.text(self.after)} "
            f"after on {len(self.before.loss)} held-out samples ({gained} {now[0]}, {lost} "
            f"{now[1]}; loss {self.before.mean_loss:.4g} before, {self.after.mean_loss:.4g} after)"
            f"{self.unseen()}; {self.trainings} trainings on this computer, {self.seconds:.1f} s"
        )

    def verdict(self) -> str:
        if self.helps:
            return "training helps, and all samples are learned"
        reason = "training does not help"
        if len(self.classes) == 1:
            reason = f"label {next(iter(self.classes))} alone says nothing of the other classes"
        return f"the first state stays, since {reason} (--no-guard trains)"

    def unseen(self) -> str:
        return (
            f"; not judged, with one sample each: {labels(self.unjudged)}" if self.unjudged else ""
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
            "rolled_back": not self.helps,
            "steps": self.steps,
            "seconds": round(self.seconds, 3),
        }


def undecidable(plan: TrainingPlan, pool: Pool) -> str:
    """Why folds can say nothing of these samples; "" if they can."""
    if any(len(members) > 1 for members in pool.strata(plan)):
        return ""
    of = "each class has only one sample" if plan.takes_label else "there is only one sample"
    return f"{of}, so none can be held out to judge by; what is learned stays"


@dataclass
class FoldRun:
    """The trainings of a decision: what they share. ``replay`` is a stream's buffer, in slots."""

    plan: TrainingPlan
    pool: Pool
    options: TrainingOptions
    inner: LatentRunner
    state: bytes | None
    replay: int | None
    ratio: int
    steps: int = 0

    def __post_init__(self) -> None:
        self.runner: Runner = self.inner
        if self.plan.latents.tensor is not None and self.replay is None:
            # The frozen layers run once for all folds.
            self.runner = CachedRunner(self.plan, self.inner, HostLatents(self.inner))

    def learn(self, data: Dataset, steps: int | None, report: Report) -> None:
        """Train from the beginning."""
        options = replace(self.options, steps=steps)
        if self.replay is None:
            result = train(self.plan, data, self.runner, options, report, self.state)
        else:
            result, _ = train_stream(
                self.plan, data, self.inner, self.replay, options, report, self.ratio,
                state=self.state,
            )  # fmt: skip
        self.steps += result.steps

    def learn_fold(self, data: Dataset, fold: Fold, report: Report) -> None:
        """As long as with all samples, in epochs."""
        mine, limit = self.pool.without(data, fold), self.options.steps
        if not len(mine.x_train):  # a stream of which all that is new is held out
            return self.learn(data, 0, report)
        if limit is not None:
            limit = -(-limit * len(fold.learned) // len(self.pool.x))
        return self.learn(mine, limit, report)

    def judged(self, held: Array) -> Judged:
        """What the state there is makes of samples."""
        plan, pool = self.plan, self.pool
        classes = classes_in_use(plan, self.runner.state())
        found = [
            judged_output(plan, pool.x[k], pool.y[k], self.runner.infer(pool.x[k]), classes)
            for k in held
        ]
        right, loss = zip(*found, strict=True)
        return Judged(np.array(right), np.array(loss))


def decide(
    plan: TrainingPlan,
    data: Dataset,
    options: TrainingOptions,
    make_runner: MakeRunner,
    report: Report,
    state: bytes | None = None,
    replay: int | None = None,
    ratio: int = RATIO,
) -> FoldDecision:
    """Whether a run with these options, from ``state``, helps; with a rate, if one is not to be the
    default. ``plan`` is one that ``make_runner`` takes; ``replay`` the slots of a stream's buffer.

    There must be something to judge by: see ``undecidable``.
    """
    started = time.monotonic()
    pool, (seed, _) = Pool.of(data, replay is not None), begun(plan, options, state)
    folds = pool.folds(plan, seed, replay is not None)
    options = replace(options, verify=False, guard=False, monitor=False, measures=False)
    with make_runner(plan) as runner:
        run = FoldRun(plan, pool, options, runner, state, replay, ratio)
        run.learn(data, 0, lambda progress: None)
        before = run.judged(np.concatenate([fold.held for fold in folds]))
        after = []
        for k, fold in enumerate(folds):
            run.learn_fold(data, fold, of_fold(report, k, len(folds)))
            after.append(run.judged(fold.held))
    return FoldDecision(
        "accuracy" if plan.takes_label else "mse",
        before,
        Judged.all(after),
        pool.classes(plan),
        len(folds),
        run.steps,
        time.monotonic() - started,
    )


def of_fold(report: Report, fold: int, folds: int) -> Report:
    """Reports of one fold's training as percents of all, since folds differ in steps."""

    def told(progress: Progress) -> None:
        done = 100 * (fold * progress.total + progress.done) // (folds * progress.total)
        report(Progress("guard", done, 100, progress.loss))

    return told
