# SPDX-License-Identifier: Apache-2.0
"""Finds the learning rate of a run: trainings like it on this computer, judged by their loss.

They go through the run's own loop, with its seed, order, schedule and formats, in the generated C
in this process or in the reference: integers are the same in both, so the training at the rate
that is taken is the one that the device will do, and every computer finds the same rate.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace

import numpy as np

from mcutrain.host.defaults import RATE_MINUTES
from mcutrain.host.training.absent import absent_classes
from mcutrain.host.training.bracket import LOWEST, bracket_over, constant_loss
from mcutrain.host.training.counted_time import steps_within
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.feed import order_of
from mcutrain.host.training.in_process import in_process_runner, with_host_latents
from mcutrain.host.training.loop import begun, train
from mcutrain.host.training.progress import Progress, Report
from mcutrain.host.training.rate_choice import RateChoice, Tried
from mcutrain.host.training.rates import NO_SAMPLE, initial_rate
from mcutrain.host.training.runner import Runner
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import Interpreter, unpack_state
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.training_plan import TrainingPlan

TRAININGS = 8  # as a rule: by so many the time is counted
# Shorter trainings like higher rates: the best one falls as the root of the steps. Of a run that is
# 2.3 times as long as they are half the rate is no better yet, of one of 3.6 times it is.
ROUNDED_UP = 0.25
HEAD_SAMPLES = 12
MOST_FIRST = 20  # exponent to begin at


@dataclass
class Trainings:
    """The trainings of a search, each from the same beginning."""

    plan: TrainingPlan
    data: Dataset
    options: TrainingOptions
    state: bytes | None
    order: Array  # of each training
    runner: Runner
    report: Report
    done: int = field(default=0, init=False)

    def losses(self, rate: float, order: Array) -> list[float]:
        options = replace(
            self.options, rate=rate, order=order, steps=None, tests=False,
            guard=False, verify=False, monitor=False,
        )  # fmt: skip

        def report(progress: Progress) -> None:
            total = len(self.order) * max(TRAININGS, self.done + 1)
            if progress.phase == "train":
                done = self.done * len(self.order) + min(progress.done, len(self.order))
                self.report(Progress("rate", done, total))

        found = train(self.plan, self.data, self.runner, options, report, self.state)
        self.done += rate > 0
        return found.losses


def find_rate(
    plan: TrainingPlan,
    data: Dataset,
    options: TrainingOptions,
    report: Report,
    state: bytes | None = None,
    minutes: float = RATE_MINUTES,
) -> RateChoice:
    """The rate for ``train`` with the same arguments; ``options.rate`` is not looked at.

    ``plan`` is for GENERIC, ``data`` has the training samples without held-out ones. Within
    ``minutes``, by MACS_PER_MINUTE, each training is as long as the run; else its beginning, and
    the rate is lower than the best of them, as ``for_longer`` says.
    """
    started = time.monotonic()
    seed, first_step = begun(plan, options, state)
    order = order_of(plan, data, options, seed, first_step)
    order = order[order != NO_SAMPLE]
    if not len(order):
        return RateChoice(initial_rate(plan))
    # Each step has a sample of its own where samples are augmented.
    samples = len(data.x_train) if options.augment is None else len(order)
    cut = order[: steps_within(plan, TRAININGS, len(order), samples, minutes)]
    with in_process_runner(plan, TRAININGS * len(cut)) as runner:
        is_compiled = not isinstance(runner, ReferenceRunner)
        cached = runner if options.augment else with_host_latents(plan, runner)
        trainings = Trainings(plan, data, options, state, cut, cached, report)
        start = first_exponent(plan, state, data.x_train[cut[:HEAD_SAMPLES]])
        forgets = plan.task.seen is not None and bool(absent_classes(plan, data, state, False))
        constant = constant_loss(data.y_train[cut]) if plan.takes_label else math.inf
        found = bracket_over(
            trainings.losses, cut, start, is_squared=not plan.classes, forgets=forgets,
            constant=constant,
        )  # fmt: skip
        report(Progress("rate", trainings.done * len(cut), trainings.done * len(cut)))
    tried = tuple(Tried(2.0**-k, loss) for k, loss in found.losses.items())
    exponent = min(found.chosen + for_longer(len(order), len(cut)), LOWEST)
    return RateChoice(
        2.0**-exponent, tried, found.first, len(cut), len(order), time.monotonic() - started,
        found.learns, is_compiled,
    )  # fmt: skip


def for_longer(run_steps: int, steps: int) -> int:
    """How often the rate of a run is halved, if it was found with its first ``steps``.

    >>> [for_longer(steps, 500) for steps in (500, 1100, 1800, 8000)]
    [0, 0, 1, 2]
    """
    return math.floor(math.log2(run_steps / steps) / 2 + ROUNDED_UP)


def first_exponent(plan: TrainingPlan, state: bytes | None, samples: Array) -> int:
    """The k to begin at: a step at 2**-k moves an output of the head by its error times 2**-k and
    the squared length of what the head reads, which is then about 1."""
    reference = Interpreter(plan)
    if state is not None:
        reference.state = unpack_state(plan, state)
    read = next(n for n in reversed(plan.forward) if isinstance(n.op, Weighted)).inputs[0]
    values = [reference.outputs(sample)[read].astype(np.float64) for sample in samples]
    power = np.mean([((v - read.type.zero_point) ** 2).sum() for v in values])
    return min(round(math.log2(float(power) * read.type.scale**2 + 1)), MOST_FIRST)
