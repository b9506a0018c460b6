# SPDX-License-Identifier: Apache-2.0
"""How long to train: as many steps as some minutes hold, by timing a few of them first.

The number of steps is settled before the first of them, so that the schedule knows its end, and a
run with that number of steps is the same again.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.loop import train
from mcutrain.host.training.progress import Progress
from mcutrain.host.training.runner import Runner
from mcutrain.host.training.time_budget import StepTimes, TimeBudget
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.training_plan import TrainingPlan

FEW, MANY = 3, 50  # samples to time
PROBE_SECONDS = 0.5  # that the second timing may take, about
TESTED = 2  # samples to time an inference with


def within(
    minutes: float,
    plan: TrainingPlan,
    data: Dataset,
    runner: Runner,
    options: TrainingOptions,
    state: bytes | None,
) -> tuple[TrainingOptions, TimeBudget]:
    """The options with as many steps as ``minutes`` hold, and what is to be said of it.

    Trains a little on the runner, which the run itself then resets, or lets take up ``state``.
    Raises DataError for minutes in which no step is made.
    """
    times = timed(plan, data, runner, options, state, FEW)
    count = min(MANY, int(PROBE_SECONDS / (times.first + times.again)))
    if count > FEW:
        times = timed(plan, data, runner, options, state, count)
    samples = len(data.x_train)
    validated = len(data.x_val) if options.guard and data.x_val is not None else 0
    steps = times.steps(60 * minutes, samples, validated)
    if not steps:
        least = (times.first + validated * times.inference) / 60
        raise DataError(
            f"--minutes {minutes:g} is over before the first step, for which {least:.2g} are "
            "needed: give more, or --steps N"
        )
    budget = TimeBudget(minutes, steps, samples, times.again)
    return replace(options, epochs=-(-steps // samples), steps=steps), budget


def timed(
    plan: TrainingPlan,
    data: Dataset,
    runner: Runner,
    options: TrainingOptions,
    state: bytes | None,
    count: int,
) -> StepTimes:
    """Of two steps each on ``count`` samples."""
    marks: dict[str, list[float]] = {"before": [], "train": [], "after": []}

    def report(progress: Progress) -> None:
        if progress.phase in marks:
            marks[progress.phase].append(time.perf_counter())

    few = replace(data, x_test=data.x_test[:TESTED], y_test=data.y_test[:TESTED], notes=())
    order = [k % min(count, len(data.x_train)) for k in range(2 * count)]
    asked = replace(
        options, order=np.array(order), steps=None, guard=False, monitor=False, epochs=1
    )
    train(plan, few, runner, asked, report, state)
    begun, middle = marks["before"][-1], marks["train"][count - 1]
    inferences = marks["after"][-1] - marks["train"][-1]
    return StepTimes(
        (middle - begun) / count,
        (marks["train"][-1] - middle) / count,
        inferences / len(few.x_test),
    )
