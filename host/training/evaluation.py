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
from mcutrain.host.training.in_process import in_process_runner
from mcutrain.host.training.runner import Answer, Runner, answer
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import target_of_input, unpack_state
from mcutrain.trainer.ops.pixelwise_cross_entropy import IGNORED, candidate_rows
from mcutrain.trainer.training_plan import TrainingPlan

# A confusion matrix of more classes is no longer printed: its rows times columns are too many.
MOST_CLASSES = 256

Progress = Callable[[int, float], None]  # samples that are done, the metric of them


@dataclass(frozen=True)
class Evaluation:
    """What a state makes of N samples, of which there is at least one.

    ``codes`` (N, output size) are the int8 outputs, whose real values are (code - ``zero_point``)
    times ``scale``. ``losses`` (N,) are in real units: nats, or squared units. Of a classifier
    ``labels`` and ``predicted`` (N,) are classes out of ``classes``. Where each position has a
    class ``label_maps`` and ``predicted_maps`` (N, positions) are those, and IGNORED is the label
    of what takes no part: all figures are of the other positions. Of all else ``classes`` is 0, and
    ``targets`` (N, output size) are the int8 values that were wanted.
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
    label_maps: Array | None = None
    predicted_maps: Array | None = None

    def __len__(self) -> int:
        return len(self.losses)

    @property
    def metric(self) -> str:
        """The name of ``figure``."""
        return "accuracy" if self.classes else "mse"

    @property
    def figure(self) -> float:
        """The accuracy where there are classes, else the mean squared error, in squared units."""
        return self.accuracy if self.classes else self.loss

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
        """(N,) bool: whether the class is right; all False where a sample has no class."""
        if self.labels is None:
            return np.zeros(len(self), bool)
        return np.asarray(self.predicted == self.labels)

    @property
    def accuracy(self) -> float:
        """The share of the samples, or of the positions, whose class is right."""
        labels, predicted = self.pairs
        return float((labels == predicted).mean())

    @cached_property
    def pairs(self) -> tuple[Array, Array]:
        """(M,) each: the true and the predicted class of the samples, or of the positions that
        take part."""
        if self.label_maps is not None and self.predicted_maps is not None:
            takes_part = self.label_maps != IGNORED
            return self.label_maps[takes_part].astype(np.int64), self.predicted_maps[takes_part]
        if self.labels is None or self.predicted is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return self.labels, self.predicted

    @property
    def mean_iou(self) -> float | None:
        """The mean of the classes' ``iou``, of those that occur; None where positions have no
        classes."""
        return None if self.label_maps is None else float(np.nanmean(self.iou))

    @cached_property
    def iou(self) -> Array:
        """(classes,) float64: the intersection over union of each class, the share that is right of
        what is or was taken for the class; NaN where that is nothing."""
        right = self.confusion.diagonal()
        union = self.confusion.sum(axis=0) + self.confusion.sum(axis=1) - right
        return np.where(union, right / np.maximum(union, 1), np.nan)

    @property
    def balanced_accuracy(self) -> float:
        """The mean of the recalls of the classes that have samples."""
        return float(np.nanmean(self.recall))

    @cached_property
    def confusion(self) -> Array:
        """(classes, classes) int64 counts; the row is the true class, the column the predicted."""
        found = np.zeros((self.classes, self.classes), np.int64)
        np.add.at(found, self.pairs, 1)
        return found

    @cached_property
    def samples(self) -> Array:
        """(classes,) int64: how many samples, or positions, each class has."""
        return self._counts(self.pairs[0])

    @cached_property
    def recall(self) -> Array:
        """(classes,) float64: the share of each class's samples, or positions, that is right; NaN
        without any."""
        return self._share_of(self.pairs[0])

    @cached_property
    def precision(self) -> Array:
        """(classes,) float64: the share of the samples predicted as each class that is right; NaN
        where none is."""
        return self._share_of(self.pairs[1])

    def _counts(self, found: Array) -> Array:
        return np.bincount(found.astype(np.int64), minlength=self.classes)

    def _share_of(self, found: Array) -> Array:
        """Of what each class is ``found`` for, the share that is right."""
        labels, predicted = self.pairs
        count, right = self._counts(found), self._counts(found[labels == predicted])
        return np.where(count, right / np.maximum(count, 1), np.nan)

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
        if not self.classes:
            return {**common, "mse": self.loss, "mse_per_output": self.mse_per_output.tolist()}
        return {
            **common,
            **self.positions_json(),
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
                    **({} if self.label_maps is None else {"iou": finite(self.iou[label])}),
                }
                for label in range(self.classes)
            ],
        }

    def positions_json(self) -> dict[str, Any]:
        """What is computed of positions alone; nothing where they have no classes."""
        if self.label_maps is None:
            return {}
        return {"positions": len(self.pairs[0]), "mean_iou": self.mean_iou}

    def confusion_json(self) -> list[list[int]] | None:
        """``confusion`` as lists; None where there are no classes, or more than MOST_CLASSES."""
        if not self.classes or self.classes > MOST_CLASSES:
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
    with in_process_runner(plan, len(x)) as runner:
        runner.reset(0) if state is None else runner.load(state)
        return evaluate_with(runner, plan, x, y, report)


def evaluate_with(
    runner: Runner, plan: TrainingPlan, x: Array, y: Array, report: Progress
) -> Evaluation:
    """What the state that a runner has makes of samples, ``x`` and ``y`` as in Dataset."""
    answers = (answer(plan, runner, sample) for sample in x)
    return evaluation(plan, x, y, classes_in_use(plan, runner.state()), answers, report)


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
        predicted.append(predicted_of(plan, found))
        if not plan.classes:
            targets.append(wanted(plan, sample, target))
        losses.append(sample_loss(plan, sample, target, found.output, classes))
        total += share_right(predicted[-1], target) if plan.classes else losses[-1]
        report(len(losses), total / len(losses))
    logits = plan.task.logits.type
    ends = np.stack(codes), logits.scale, logits.zero_point, np.array(losses)
    names = plan.options.class_names
    if plan.takes_label_map:
        maps = np.asarray(y, np.uint8), np.stack(predicted)
        return Evaluation(*ends, plan.classes, None, None, None, names, *maps)
    if not plan.takes_label:
        return Evaluation(*ends, targets=np.stack(targets))
    labels, of = np.asarray(y, np.int64), np.array(predicted, np.int64)
    count = max(classes or plan.classes, 1 + int(max(labels.max(), of.max())))
    return Evaluation(*ends, count, labels, of, class_names=names)


def predicted_of(plan: TrainingPlan, found: Answer) -> Array:
    """The class of an answer, or of each of its positions, (positions,)."""
    if not plan.takes_label_map:
        return np.array(found.predicted)
    rows = candidate_rows(found.output, plan.task.logits.type)
    return np.asarray(rows.argmax(axis=1))


def share_right(predicted: Array, target: Array) -> float:
    """The share of the labels of a sample that is right: of its own, or of those of its positions
    that take part; 1 where none does."""
    is_right = (predicted == target)[target != IGNORED] if target.ndim else predicted == target
    return float(is_right.mean()) if is_right.size else 1.0


def classes_in_use(plan: TrainingPlan, state: bytes) -> int:
    """As the state counts them, spare ones left out; 0 if there are none to count."""
    return 0 if plan.task.active is None else int(unpack_state(plan, state)[plan.task.active][0])


def sample_loss(
    plan: TrainingPlan, sample: Array, target: Array, output: Array, classes: int
) -> float:
    """The loss of one output int8, in real units. ``classes`` are in use, all of which are
    candidates, whatever steps leave out."""
    loss = plan.task.loss
    if plan.takes_label_map:
        return plan.real_loss(loss.op.reference(loss, output, target)[2])
    if not plan.takes_label:
        return squared_error(plan, sample, target, output)
    label = np.array([target], np.uint32)
    in_use = () if plan.task.active is None else (np.array([classes], np.uint32),)
    inputs = output, label, *all_seen(plan), *in_use
    return plan.real_loss(loss.op.reference(loss, *inputs)[2])


def squared_error(plan: TrainingPlan, sample: Array, target: Array, output: Array) -> float:
    """The loss of one output where the target is no label, in real units."""
    difference = output.astype(np.int64) - wanted(plan, sample, target)
    return plan.real_loss(np.array([int((difference**2).sum()), 0]))


def wanted(plan: TrainingPlan, sample: Array, target: Array) -> Array:
    """The int8 values (output size,) that a sample should give: its target, or the input's own."""
    if plan.task.target is None:
        return target_of_input(plan, sample).reshape(-1)
    return target
