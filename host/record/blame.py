# SPDX-License-Identifier: Apache-2.0
"""`mcutrain blame`: which steps made held-out samples worse, by taking them again.

The loss is measured behind every step of a short run. Of a long one it is measured between
stretches first; then the stretches in which it rose most are taken step by step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mcutrain.host.record.lines import Step
from mcutrain.host.record.replaying import Replay
from mcutrain.host.record.samples import Samples, load_data
from mcutrain.host.record.walk import Walk
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.evaluation import classes_in_use, sample_loss
from mcutrain.host.training.in_process import in_process_runner, with_host_latents
from mcutrain.host.training.progress import Progress
from mcutrain.host.training.reporter import SILENT, Reporter
from mcutrain.host.training.runner import Runner, answer
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.training_plan import TrainingPlan


@dataclass(frozen=True)
class BlameJob:
    """What is asked: the ``worst`` steps, of which no more than ``steps`` are measured, with no
    more than ``samples``."""

    record: Path
    data: Path
    model: Path | None = None
    worst: int = 5
    steps: int = 1000
    samples: int = 100


@dataclass(frozen=True)
class Blamed:
    """A step, and what it did: the mean loss of the held-out samples before and after it, and how
    many of them are right (0 where there are no labels)."""

    step: int
    of: str
    sample: int | None
    name: str
    label: int
    loss_before: float
    loss_after: float
    right_before: int
    right_after: int

    @property
    def rise(self) -> float:
        return self.loss_after - self.loss_before


@dataclass(frozen=True)
class Blame:
    """The worst steps first. ``measured`` steps were measured of ``steps``, with ``samples`` of a
    split; ``has_labels``: the samples have classes, which can be right."""

    job: BlameJob
    worst: list[Blamed]
    steps: int
    measured: int
    split: str
    samples: int
    has_labels: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "record": str(self.job.record),
            "split": self.split,
            "samples": self.samples,
            "steps": self.steps,
            "measured_steps": self.measured,
            "worst": [{**asdict(each), "rise": each.rise} for each in self.worst],
        }


@dataclass(frozen=True)
class Measured:
    """The loss of the held-out samples, and how many are right."""

    loss: float
    right: int


class Measure:
    """Measures held-out samples; the frozen layers see each of them once."""

    def __init__(self, plan: TrainingPlan, data: Dataset, count: int) -> None:
        """Raises DataError where there are none."""
        self.plan = plan
        self.split = "val" if data.x_val is not None else "test"
        x, y = data.part(self.split)
        if data.is_clipped(self.split) or not len(x):
            raise DataError(f"the {self.split} samples are out of range or none: give others")
        chosen = np.unique(np.linspace(0, len(x) - 1, min(count, len(x))).astype(int))
        self.x, self.y = x[chosen], y[chosen]
        self._runner: Runner = ReferenceRunner(plan)

    @contextmanager
    def within(self, looks: int) -> Iterator[None]:
        """So many looks are ahead: they are made in the generated C, if that is worth its
        compilation."""
        with in_process_runner(self.plan, looks * len(self.x)) as runner:
            self._runner = with_host_latents(self.plan, runner)
            yield

    def __call__(self, replay: Replay) -> Measured:
        plan, state = self.plan, replay.state
        classes = classes_in_use(plan, state)
        self._runner.load(state)
        losses, right = [], 0
        for sample, target in zip(self.x, self.y, strict=True):
            found = answer(plan, self._runner, sample)
            losses.append(sample_loss(plan, sample, target, found.output, classes))
            right += plan.takes_label and found.predicted == int(target)
        return Measured(float(np.mean(losses)), right)


def run_blame(job: BlameJob, reporter: Reporter = SILENT) -> Blame:
    """Take the steps of a record again, and measure. Raises Error, also for a record that is not
    right."""
    walk = Walk(job.record)
    for _ in walk:
        pass
    header, steps = walk.header.at(job.record, job.model), walk.steps
    plan = header.plan()
    with reporter.working(f"reading {job.data}"):
        data = load_data(job.data, header, plan)
    measure = Measure(plan, data, job.samples)
    samples = Samples(header, plan, data)

    def replayed() -> Replay:
        again = Walk(job.record)
        again.header = header
        return Replay(again, plan, samples)

    with reporter.training(plan) as report, measure.within(min(steps, job.steps)):

        def told(done: int) -> None:
            report(Progress("blame", done, steps))

        wanted = worth_a_look(replayed, measure, steps, job.steps, told)
        found = list(looked_at(replayed, measure, wanted, told))
    found.sort(key=lambda one: one.before.loss - one.after.loss)
    worst = [blamed(data, each) for each in found[: job.worst]]
    kind = plan.takes_label
    return Blame(job, worst, steps, len(found), measure.split, len(measure.x), kind)


@dataclass(frozen=True)
class Looked:
    """A step, with what was measured before and after it."""

    line: Step
    before: Measured
    after: Measured


def worth_a_look(
    replayed: Callable[[], Replay],
    measure: Measure,
    steps: int,
    most: int,
    told: Callable[[int], None],
) -> set[int]:
    """Which steps of a run, counted from 0, to measure: all if they are no more than ``most``; else
    those of the stretches in which the loss rose most. Half of the measurements find these, so they
    are twice the square root of the steps or more."""
    most = max(most, 2 * math.isqrt(steps) + 2)
    if steps <= most:
        return set(range(steps))
    length = -(-2 * steps // most)
    replay = replayed()
    rises, first, before = list[tuple[float, int]](), 0, measure(replay)
    for done, _ in enumerate(replay.run(), 1):
        told(done)
        if done % length == 0 or done == steps:
            after = measure(replay)
            rises.append((before.loss - after.loss, first))
            first, before = done, after
    chosen = sorted(rises)[: max(1, most // 2 // length)]
    return {k for _, start in chosen for k in range(start, min(start + length, steps))}


def looked_at(
    replayed: Callable[[], Replay],
    measure: Measure,
    wanted: set[int],
    told: Callable[[int], None],
) -> Iterator[Looked]:
    """The steps that are wanted, measured."""
    replay = replayed()
    before = measure(replay) if 0 in wanted else None
    for k, taken in enumerate(replay.run()):
        told(k + 1)
        after = measure(replay) if {k, k + 1} & wanted else None
        if k in wanted and before is not None and after is not None:
            yield Looked(taken.line, before, after)
        before = after


def blamed(data: Dataset, found: Looked) -> Blamed:
    line = found.line
    return Blamed(
        line.step, line.of, line.sample, name_in(data, line), line.label, found.before.loss,
        found.after.loss, found.before.right, found.after.right,
    )  # fmt: skip


def name_in(data: Dataset, line: Step) -> str:
    """What the user calls a step's sample: its file or line, or its number in his own data, also
    where others were left out."""
    if line.sample is None:
        return "unknown"
    names = data.names.get(line.of)
    numbers = data.old_numbers if line.of == "old" else data.numbers
    if not names:
        return f"sample {line.sample}"
    return names[line.sample if numbers is None else int(np.searchsorted(numbers, line.sample))]
