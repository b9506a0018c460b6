# SPDX-License-Identifier: Apache-2.0
"""What a state makes of samples: its outputs, the classes it predicts, how wrong it is, and where.

This is the one home of every figure that is computed of labelled samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mcutrain.host.training.absent import all_seen
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.runner import Answer, answer
from mcutrain.host.training.tail import fastest
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import target_of_input, unpack_state
from mcutrain.trainer.training_plan import TrainingPlan

# A confusion matrix of more classes is no longer printed: its rows times columns are too many.
MOST_CLASSES = 256

Progress = Callable[[int, float], None]  # samples that are done, the metric of them


@dataclass(frozen=True)
class Evaluation:
    """What a state makes of N samples, of which there is at least one.

    ``codes`` (N, output size) are the int8 outputs, whose real values are (code - ``zero_point``)
    times ``scale``. ``losses`` (N,) are in real units: nats, or squared units. Of a classifier
    ``labels`` and ``predicted`` (N,) are classes out of ``classes``. Of all else they are None,
    ``classes`` is 0, and ``targets`` (N, output size) are the int8 values that were wanted.
    """

    codes: Array
    scale: float
    zero_point: int
    losses: Array
    classes: int = 0
    labels: Array | None = None
    predicted: Array | None = None
    targets: Array | None = None
    class_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.losses)

    @property
    def metric(self) -> str:
        """The name of ``figure``."""
        return "mse" if self.labels is None else "accuracy"

    @property
    def figure(self) -> float:
        """The accuracy of a classifier, else the mean squared error in squared real units."""
        return self.loss if self.labels is None else self.accuracy

    @property
    def outputs(self) -> Array:
        """(N, output size) float64, in real units."""
        return self.real(self.codes)

    def real(self, codes: Array) -> Array:
        return (codes.astype(np.float64) - self.zero_point) * self.scale

    @property
    def loss(self) -> float:
        """The mean over the samples."""
        return float(self.losses.mean())

    @property
    def right(self) -> Array:
        """(N,) bool: whether the class is right; all False where there are no classes."""
        if self.labels is None:
            return np.zeros(len(self), bool)
        return np.asarray(self.predicted == self.labels)

    @property
    def accuracy(self) -> float:
        """The share of the samples whose class is right."""
        return float(self.right.mean())

    @property
    def balanced_accuracy(self) -> float:
        """The mean of the recalls of the classes that have samples."""
        return float(np.nanmean(self.recall))

    @cached_property
    def confusion(self) -> Array:
        """(classes, classes) int64 counts; the row is the true class, the column the predicted."""
        found = np.zeros((self.classes, self.classes), np.int64)
        if self.labels is not None and self.predicted is not None:
            np.add.at(found, (self.labels, self.predicted), 1)
        return found

    @cached_property
    def samples(self) -> Array:
        """(classes,) int64: how many samples each class has."""
        return self._counts(self.labels)

    @cached_property
    def recall(self) -> Array:
        """(classes,) float64: the share of each class's samples that is right; NaN without any."""
        return self._share_of(self.labels)

    @cached_property
    def precision(self) -> Array:
        """(classes,) float64: the share of the samples predicted as each class that is right; NaN
        where none is."""
        return self._share_of(self.predicted)

    def _counts(self, found: Array | None) -> Array:
        of = np.empty(0, np.int64) if found is None else found
        return np.bincount(of.astype(np.int64), minlength=self.classes)

    def _share_of(self, found: Array | None) -> Array:
        """Of the samples of which each class is ``found``, the share that is right."""
        if found is None:
            return np.empty(0)
        count = self._counts(found)
        return np.where(count, self._counts(found[self.right]) / np.maximum(count, 1), np.nan)

    @property
    def mse_per_output(self) -> Array:
        """(output size,) float64, in squared real units; empty for a classifier."""
        if self.targets is None:
            return np.empty(0)
        return np.asarray(((self.outputs - self.real(self.targets)) ** 2).mean(axis=0))

    def worst(self, count: int) -> list[int]:
        """Indices of the ``count`` worst samples: those of a wrong class first, then by loss."""
        order = np.lexsort((np.arange(len(self)), -self.losses, self.right))
        return [int(k) for k in order[:count]]

    def name_of(self, label: int) -> str:
        """What the user calls a class: its name, or its number where it has none."""
        return self.class_names[label] if label < len(self.class_names) else str(label)

    def to_json(self) -> dict[str, Any]:
        common = {"samples": len(self), "loss": self.loss}
        if self.labels is None:
            return {**common, "mse": self.loss, "mse_per_output": self.mse_per_output.tolist()}
        return {
            **common,
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "confusion": self.confusion_json(),
            "classes": [
                {
                    "class": label,
                    "name": self.name_of(label),
                    "samples": int(self.samples[label]),
                    "recall": finite(self.recall[label]),
                    "precision": finite(self.precision[label]),
                }
                for label in range(self.classes)
            ],
        }

    def confusion_json(self) -> list[list[int]] | None:
        """``confusion`` as lists; None where there are no classes, or more than MOST_CLASSES."""
        if self.labels is None or self.classes > MOST_CLASSES:
            return None
        rows: list[list[int]] = self.confusion.tolist()
        return rows


def finite(share: float) -> float | None:
    """A share for JSON, which has no NaN."""
    return None if np.isnan(share) else float(share)


def changes(before: Evaluation, after: Evaluation) -> list[dict[str, Any]]:
    """What a training changed for each class that has samples, for people; [] without classes."""
    return [
        {
            "class": label,
            "name": after.name_of(label),
            "samples": int(after.samples[label]),
            "recall_before": float(before.recall[label]),
            "recall_after": float(after.recall[label]),
            "change": float(after.recall[label] - before.recall[label]),
        }
        for label in range(min(before.classes, after.classes))
        if after.samples[label]
    ]


def evaluate(
    plan: TrainingPlan,
    state: bytes | None,
    data: Dataset,
    split: str = "test",
    report: Progress = lambda done, metric: None,
) -> Evaluation:
    """What a ``state`` of the plan, by default the one before training, makes of a part of the
    data: "train", "test" or "val". It is computed in this process. Raises DataError for a part
    that the data lack."""
    x, y = data.part(split)
    with fastest(plan) as runner:
        runner.reset(0) if state is None else runner.load(state)
        classes = classes_in_use(plan, runner.state())
        answers = (answer(plan, runner, sample) for sample in x)
        return evaluation(plan, x, y, classes, answers, report)


def evaluation(
    plan: TrainingPlan,
    x: Array,
    y: Array,
    classes: int,
    answers: Iterable[Answer],
    report: Progress = lambda done, metric: None,
) -> Evaluation:
    """The evaluation of samples with their answers, which may be computed meanwhile; ``x`` and
    ``y`` as in Dataset, ``classes`` as of ``classes_in_use``."""
    codes, losses, predicted, targets = [], [], [], []
    total = 0.0
    for sample, target, found in zip(x, y, answers, strict=True):
        codes.append(found.output.reshape(-1))
        predicted.append(found.predicted)
        if not plan.takes_label:
            targets.append(wanted(plan, sample, target))
        losses.append(sample_loss(plan, sample, target, found.output, classes))
        total += found.predicted == int(target) if plan.takes_label else losses[-1]
        report(len(losses), total / len(losses))
    logits = plan.task.logits.type
    ends = np.stack(codes), logits.scale, logits.zero_point, np.array(losses)
    if not plan.takes_label:
        return Evaluation(*ends, targets=np.stack(targets))
    labels, of = np.asarray(y, np.int64), np.array(predicted, np.int64)
    count = max(classes or plan.classes, 1 + int(max(labels.max(), of.max())))
    return Evaluation(*ends, count, labels, of, class_names=plan.options.class_names)


def classes_in_use(plan: TrainingPlan, state: bytes) -> int:
    """As the state counts them, spare ones left out; 0 if there are none to count."""
    return 0 if plan.task.active is None else int(unpack_state(plan, state)[plan.task.active][0])


def sample_loss(
    plan: TrainingPlan, sample: Array, target: Array, output: Array, classes: int
) -> float:
    """The loss of one output int8, in real units. ``classes`` are in use, all of which are
    candidates, whatever steps leave out."""
    if not plan.takes_label:
        return squared_error(plan, sample, target, output)
    label = np.array([target], np.uint32)
    in_use = () if plan.task.active is None else (np.array([classes], np.uint32),)
    inputs = output, label, *all_seen(plan), *in_use
    return plan.real_loss(plan.task.loss.op.reference(plan.task.loss, *inputs)[2])


def squared_error(plan: TrainingPlan, sample: Array, target: Array, output: Array) -> float:
    """The loss of one output where the target is no label, in real units."""
    difference = output.astype(np.int64) - wanted(plan, sample, target)
    return plan.real_loss(np.array([int((difference**2).sum()), 0]))


def wanted(plan: TrainingPlan, sample: Array, target: Array) -> Array:
    """The int8 values (output size,) that a sample should give: its target, or the input's own."""
    if plan.task.target is None:
        return target_of_input(plan, sample).reshape(-1)
    return target
