# SPDX-License-Identifier: Apache-2.0
"""Decides before a run whether its training helps: trains without each fold of the samples, in
this process, and compares what it then makes of them with what the first state makes of them.

If it helps, the run learns from all samples. So nothing is held out of it, and each class that has
two samples has a part in the decision.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np

from mcutrain.host.defaults import GUARD_MINUTES, RATIO
from mcutrain.host.training.absent import absent_classes
from mcutrain.host.training.counted_time import steps_within
from mcutrain.host.training.data_notes import are_alike
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.evaluation import classes_in_use, evaluation
from mcutrain.host.training.fold_decision import FoldDecision, Judged
from mcutrain.host.training.folds import Fold, Pool
from mcutrain.host.training.guard import guard_metric
from mcutrain.host.training.in_process import with_host_latents
from mcutrain.host.training.loop import begun, train
from mcutrain.host.training.progress import Progress, Report
from mcutrain.host.training.replay import train_stream
from mcutrain.host.training.runner import LatentRunner, Runner, answer
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.options import RECONSTRUCTION
from mcutrain.trainer.training_plan import TrainingPlan

MakeRunner = Callable[[TrainingPlan, int], AbstractContextManager[LatentRunner]]  # for steps


def borrowed(runner: LatentRunner) -> MakeRunner:
    """Makes none: ``runner`` is there already, and whoever has it goes on with it."""
    return lambda plan, steps: nullcontext(runner)


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
        if self.replay is None and self.options.augment is None:
            # The frozen layers run once for all folds.
            self.runner = with_host_latents(self.plan, self.inner)

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
        answers = (answer(plan, self.runner, pool.x[k]) for k in held)
        found = evaluation(plan, pool.x[held], pool.y[held], classes, answers)
        return Judged(found.right, found.losses)


def decide(
    plan: TrainingPlan,
    data: Dataset,
    options: TrainingOptions,
    make_runner: MakeRunner,
    report: Report,
    state: bytes | None = None,
    replay: int | None = None,
    ratio: int = RATIO,
    minutes: float = GUARD_MINUTES,
) -> FoldDecision:
    """Whether a run with these options, from ``state``, helps; with a rate, if one is not to be the
    default. ``make_runner`` takes ``plan``, as in_process_plan gives it with ``state``, and the
    steps that are ahead; ``replay`` are the slots of a stream's buffer. Within ``minutes``, as
    counted_time counts them, each fold is trained as long as the run; else its beginning.

    There must be something to judge by: see ``undecidable``.
    """
    started = time.monotonic()
    pool, (seed, _) = Pool.of(data, replay is not None), begun(plan, options, state)
    folds = pool.folds(plan, seed, replay is not None)
    options = replace(options, verify=False, guard=False, monitor=False, tests=False)
    steps = run_steps(options, pool, replay, ratio)
    samples = len(pool.x) if options.augment is None else steps
    most = steps_within(plan, len(folds), steps, samples, minutes)
    if most < steps:
        options = replace(options, steps=most)
    with make_runner(plan, len(folds) * most) as runner:
        run = FoldRun(plan, pool, options, runner, state, replay, ratio)
        run.learn(data, 0, lambda progress: None)
        before = run.judged(np.concatenate([fold.held for fold in folds]))
        after = []
        for k, fold in enumerate(folds):
            run.learn_fold(data, fold, of_fold(report, k, len(folds)))
            after.append(run.judged(fold.held))
    return FoldDecision(
        guard_metric(plan),
        before,
        Judged.all(after),
        pool.classes(plan),
        len(folds),
        run.steps,
        time.monotonic() - started,
        absent_classes(plan, data, state, replay is not None),
        most if most < steps else None,
        plan.options.loss != RECONSTRUCTION and are_alike(pool.x),
    )


def run_steps(options: TrainingOptions, pool: Pool, replay: int | None, ratio: int) -> int:
    """Of a run on all samples; of a stream no fewer than it has."""
    passes = options.epochs if replay is None else 1 + ratio
    steps = passes * len(pool.x)
    return steps if options.steps is None else min(steps, options.steps)


def of_fold(report: Report, fold: int, folds: int) -> Report:
    """Reports of one fold's training as percents of all, since folds differ in steps."""

    def told(progress: Progress) -> None:
        done = 100 * (fold * progress.total + progress.done) // (folds * progress.total)
        report(Progress("guard", done, 100, progress.loss))

    return told
