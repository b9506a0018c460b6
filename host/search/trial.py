# SPDX-License-Identifier: Apache-2.0
"""Trains a scheme on part of a user's samples and judges it on the others."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mcutrain.host.defaults import SCHEDULE
from mcutrain.host.files import digest_of_arrays, save_array
from mcutrain.host.request import Request
from mcutrain.host.training.bracket import bracket_over, constant_loss
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.evaluation import squared_error
from mcutrain.host.training.preconditioning import set_input_shifts
from mcutrain.host.training.rate_search import HEAD_SAMPLES, first_exponent
from mcutrain.host.training.rates import rates, sample_order
from mcutrain.host.training.runner import Runner
from mcutrain.host.training.tail import fastest, latents, plan_from, tail
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.pixelwise_cross_entropy import IGNORED, candidate_rows
from mcutrain.trainer.options import Scheme
from mcutrain.trainer.training_plan import TrainingPlan

RATE_PART = 1 / 3  # of a run's steps: what is trained to find its rate


@dataclass(frozen=True)
class Samples:
    """x (N, input size) int8, y as of Dataset, group (N,): whose they are.

    Each group, such as a person, is learned from the beginning: it is one user.
    """

    x: Array
    y: Array
    group: Array

    @classmethod
    def of(cls, data: Dataset, group: Array | None = None) -> Samples:
        """The training samples of a data set, never the test samples."""
        if group is None:
            group = np.zeros(len(data.x_train), np.int64)
        check_groups(group, len(data.x_train))
        return cls(data.x_train, data.y_train, group)

    def digest(self) -> str:
        return digest_of_arrays(self.x, self.y, self.group)


def check_groups(group: Array, samples: int) -> None:
    """Raises DataError unless it says whose each of the training samples is."""
    if group.shape != (samples,) or group.dtype.kind not in "iu":
        raise DataError(
            f"group_train is {group.dtype} of shape {group.shape}: one integer for each of the "
            f"{samples} samples of x_train is needed"
        )


@dataclass(frozen=True)
class TrialEffort:
    """How long to train, and how often: with each of ``folds``, which draw what is held out.

    ``steps`` None stands for all epochs.
    """

    epochs: int
    steps: int | None = None
    folds: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class TrialScore:
    """Of held-out samples, or of all their positions where these have labels, means over groups and
    folds: the share that is right, and the mean probability of the right class; without classes,
    the mean squared error."""

    accuracy: float
    certainty: float
    mse: float | None = None

    @property
    def value(self) -> float:
        """What is searched for. Certainty has a part in it because it moves with every sample,
        and so is less a matter of chance; without classes it is the error, negative."""
        return (self.accuracy + self.certainty) / 2 if self.mse is None else -self.mse

    def to_json(self) -> dict[str, float | None]:
        return asdict(self)


@dataclass(frozen=True)
class Split:
    """Indices of samples: to learn from, in an order and with dithers by ``seed``, and held out."""

    learn: Array
    held: Array
    seed: int


@dataclass
class Setup:
    """All that a process needs to train schemes; ``share`` of each class is held out.

    ``rate`` None: each scheme has the one that is found for it.
    """

    request: Request
    model: Model
    samples: Samples
    folder: Path
    share: float = 0.3
    rate: float | None = None
    schedule: str = SCHEDULE
    seed: int = 0

    def plan_of(self, scheme: Scheme) -> TrainingPlan:
        """Raises ModelError or SchemeError."""
        return self.request.but(update=scheme).plan_of(self.model)

    def held_out(self) -> float:
        """How many samples judge a scheme, about."""
        return self.share * len(self.samples.x)

    def score(self, scheme: Scheme, effort: TrialEffort) -> TrialScore:
        """Train and judge with each fold and group. Raises Error."""
        groups = np.unique(self.samples.group)
        splits = [self.split(fold, group) for fold in effort.folds for group in groups]
        each = self.scores(scheme, effort, splits)
        accuracy, certainty = (
            float(np.mean([getattr(s, key) for s in each])) for key in ("accuracy", "certainty")
        )
        errors = [s.mse for s in each if s.mse is not None]
        return TrialScore(accuracy, certainty, float(np.mean(errors)) if errors else None)

    def scores(self, scheme: Scheme, effort: TrialEffort, splits: list[Split]) -> list[TrialScore]:
        """One for each of ``splits``, each trained from the beginning. Raises Error."""
        request = self.request.but(update=scheme)
        whole = self.plan_of(scheme)
        plan, start = tail(request, self.model, whole)
        x = self.samples.x if start is None else self.latents(request, whole, start)
        with fastest(plan) as runner:
            rate = self.rate or self.found_rate(plan, runner, x, splits[0], effort)
            return [self.train(plan, runner, x, split, effort, rate) for split in splits]

    def train(
        self,
        plan: TrainingPlan,
        runner: Runner,
        x: Array,
        split: Split,
        effort: TrialEffort,
        rate: float,
    ) -> TrialScore:
        """Of one training run."""
        self.losses(plan, runner, x, split, rate, self.order(split, effort))
        held = split.held
        outputs = np.stack([runner.infer(x[i]) for i in held])
        classes = self.classes(plan)
        return judged(plan, outputs, self.samples.x[held], self.samples.y[held], classes)

    def losses(
        self,
        plan: TrainingPlan,
        runner: Runner,
        x: Array,
        split: Split,
        rate: float,
        order: Array,
    ) -> list[float]:
        """Of the steps of a run from the beginning."""
        runner.reset(split.seed)
        if plan.task.active is not None:
            runner.set_classes(self.classes(plan))
        set_input_shifts(plan, x[split.learn], runner)
        schedule, y, found = dict(rates(len(order), rate, self.schedule)), self.samples.y, []
        for k, index in enumerate(split.learn[order]):
            if k in schedule:
                runner.set_learning_rate(schedule[k])
            record, _ = runner.step(x[index], y[index], False)
            found.append(record.real(plan))
        return found

    def found_rate(
        self, plan: TrainingPlan, runner: Runner, x: Array, split: Split, effort: TrialEffort
    ) -> float:
        """The rate for a scheme: as `train` finds it, but with the beginning of a run, since there
        are many schemes."""
        order = self.order(split, effort)
        order = order[: math.ceil(len(order) * RATE_PART)]
        start = first_exponent(plan, None, x[split.learn[order[:HEAD_SAMPLES]]])
        losses = partial(self.losses, plan, runner, x, split)
        labels = self.samples.y[split.learn[order]]
        constant = constant_loss(labels) if plan.takes_label else math.inf
        found = bracket_over(losses, order, start, is_squared=not plan.classes, constant=constant)
        return 2.0**-found.chosen

    @staticmethod
    def order(split: Split, effort: TrialEffort) -> Array:
        return sample_order(len(split.learn), effort.epochs, split.seed)[: effort.steps]

    def classes(self, plan: TrainingPlan) -> int:
        """How many are in use: those of the samples, where the head has spare outputs."""
        if plan.task.active is None or plan.task.active.data is None:
            return plan.classes
        return max(int(plan.task.active.data[0]), int(self.samples.y.max()) + 1)

    def split(self, fold: int, group: int) -> Split:
        """What of a group's samples is held out: a share of each class, drawn by the fold.

        Raises DataError if that is nothing.
        """
        mine = np.flatnonzero(self.samples.group == group)
        y = self.samples.y
        labels = y[mine] if y.ndim == 1 else np.zeros(len(mine))
        rng = np.random.default_rng([self.seed, fold, int(group) & 0xFFFFFFFF])
        held = []
        for label in np.unique(labels):
            members = rng.permutation(mine[labels == label])
            count = max(1, math.floor(self.share * len(members) + 0.5))
            held.append(members[: min(count, len(members) - 1)])
        chosen = np.sort(np.concatenate(held))
        if not len(chosen):
            raise DataError(
                "no training sample can be held out to judge a scheme with: each class has one only"
            )
        return Split(np.setdiff1d(mine, chosen), chosen, self.seed + fold)

    def latents(self, request: Request, whole: TrainingPlan, start: str) -> Array:
        """The samples at the tensor ``start``, kept in a file.

        They are computed from those at an earlier tensor, if these are there.
        """
        path = self.folder / f"{start}.npy"
        if not path.is_file():
            plan, x = whole, self.samples.x
            names = [node.output.name for node in whole.latents.prefix if node.output.name != start]
            for earlier in (self.folder / f"{name}.npy" for name in reversed(names)):
                if earlier.is_file():
                    plan = plan_from(request, self.model, whole.scheme, earlier.stem)
                    x = np.load(earlier, mmap_mode="r")
                    break
            save_array(path, latents(plan, x))
        return np.asarray(np.load(path, mmap_mode="r"))


def judged(plan: TrainingPlan, outputs: Array, x: Array, y: Array, classes: int) -> TrialScore:
    """Of outputs (N, output size) int8; ``classes`` are in use. Raises DataError if nothing is to
    be judged."""
    if plan.takes_label_map:
        rows, labels = candidate_rows(outputs, plan.task.logits.type), y.reshape(-1)
        takes_part = labels != IGNORED
        if not takes_part.any():
            raise DataError("of the held-out samples no position takes part: give labels to more")
        return of_logits(plan, rows[takes_part], labels[takes_part])
    if not plan.takes_label:
        each = [squared_error(plan, *sample) for sample in zip(x, y, outputs, strict=True)]
        return TrialScore(0.0, 0.0, float(np.mean(each)))
    logits = outputs[:, :classes].astype(np.float64)
    if plan.task.logits.type.size == 1:  # of class 1, against class 0 at real 0 (SPEC 1.2)
        logits = np.pad(logits, ((0, 0), (1, 0)), constant_values=plan.task.logits.type.zero_point)
    return of_logits(plan, logits, y)


def of_logits(plan: TrainingPlan, logits: Array, y: Array) -> TrialScore:
    """Of logits (N, classes), in quanta, and labels (N,)."""
    powers = np.exp(plan.task.logits.type.scale * (logits - logits.max(axis=1, keepdims=True)))
    certainty = powers[np.arange(len(y)), y] / powers.sum(axis=1)
    return TrialScore(float((logits.argmax(axis=1) == y).mean()), float(certainty.mean()))
