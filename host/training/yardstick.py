# SPDX-License-Identifier: Apache-2.0
"""What a figure of the test samples is worth: beside one answer for all of them, and by class."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mcutrain.host.training.balance import RATIO, class_counts
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.evaluation import squared_error
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import target_of_input
from mcutrain.trainer.ops.pixelwise_cross_entropy import IGNORED
from mcutrain.trainer.training_plan import TrainingPlan


@dataclass(frozen=True)
class ConstantAnswer:
    """What one answer for all test samples comes to: the best label, or the mean of y_train.

    ``bound`` is where chance ends: a metric that is no better may be that of such an answer.
    ``balanced_bound`` is the same of the balanced accuracy, None without labels: answers that tell
    rare classes apart are no chance, though the accuracy has no room to show it. ``is_uneven`` says
    that test samples of one class are far more than of another.
    """

    metric: float
    bound: float
    balanced_bound: float | None = None
    is_uneven: bool = False

    def is_chance(self, metric: float, balanced: float | None) -> bool:
        """Whether a metric of the test samples is no better, and so the balanced accuracy."""
        if self.balanced_bound is None:
            return metric >= self.bound
        return metric <= self.bound and (balanced is None or balanced <= self.balanced_bound)


@dataclass
class Yardstick:
    """``balanced`` is the balanced accuracy before and after training, where there are labels."""

    constant: ConstantAnswer | None = None
    balanced: dict[str, float] = field(default_factory=dict)

    def is_chance(self, after: float | None) -> bool | None:
        """Whether the metric ``after`` training is within chance; None if nobody can say."""
        if self.constant is None or after is None:
            return None
        return self.constant.is_chance(after, self.balanced.get("after"))

    def to_json(self, metric: str, after: float | None) -> dict[str, Any]:
        constant = None if self.constant is None else self.constant.metric
        return {
            "within_chance": self.is_chance(after),
            f"{metric}_of_one_answer": constant,
            "balanced_accuracy_before": self.balanced.get("before"),
            "balanced_accuracy_after": self.balanced.get("after"),
        }

    def told(
        self, metric: str, before: float | None, after: float | None, has_labels: bool
    ) -> Iterator[str]:
        """What is to be said of the metric ``after`` training, beside that ``before``."""
        if after is None:
            return
        if before is not None and before != after and (after < before) == has_labels:
            was, now = shown(before, has_labels), shown(after, has_labels)
            yield (
                f"warning: {metric} of the test samples is worse than before, {now} in place of "
                f"{was}: what was learned from may be unlike them; look at the data, or keep the "
                "model as it was"
            )
        if self.constant is None:
            return
        if self.constant.is_uneven:
            phases = (shown(self.balanced[phase], True) for phase in ("before", "after"))
            yield "balanced accuracy, the mean of each class's own: {} before, {} after".format(
                *phases
            )
        if self.is_chance(after):
            ours, one = (shown(v, has_labels) for v in (after, self.constant.metric))
            is_near = after >= 2 * self.constant.metric - self.constant.bound
            beside = ", within chance," if has_labels and is_near else ""
            yield (
                f"warning: {metric} {ours} is{beside} no better than one answer for all test "
                f"samples ({one}): look at the data, or try another --lr, more --epochs, or more "
                "layers (--update)"
            )


def shown(metric: float, is_share: bool) -> str:
    """
    >>> shown(0.5, True), shown(0.01234567, False)
    ('50.0 %', '0.01235')
    """
    return f"{100 * metric:.1f} %" if is_share else f"{metric:.4g}"


def balanced_bound(counts: Collection[int]) -> float:
    """Where chance ends for the balanced accuracy on so many samples of each class: two standard
    deviations above that of answers drawn without a look at the sample.

    >>> round(balanced_bound([25] * 4), 3), round(balanced_bound([90, 5, 5]), 3)
    (0.337, 0.535)
    """
    share = 1 / len(counts)
    variance = share * (1 - share) * sum(1 / count for count in counts) * share**2
    return share + 2 * math.sqrt(variance)


def constant_label(maps: Array) -> ConstantAnswer | None:
    """Of label maps: one label at every position. Positions of a sample are alike, so how far
    chance reaches beyond that nobody can say of their number."""
    counts = class_counts(maps[maps != IGNORED]).values()
    if len(counts) < 2:
        return None
    share = max(counts) / sum(counts)
    is_uneven = max(counts) >= RATIO * min(counts)
    return ConstantAnswer(share, share, 1 / len(counts), is_uneven)


def constant_answer(plan: TrainingPlan, data: Dataset) -> ConstantAnswer | None:
    """Of the test samples; None if they are clipped, or they or their positions are of one class
    alone."""
    if data.is_clipped("test"):
        return None
    if plan.takes_label:
        counts = class_counts(data.y_test).values()
        if len(counts) < 2:
            return None
        share = max(counts) / len(data.y_test)
        # Two standard deviations of a binomial, as the guard has them.
        bound = share + 2 * math.sqrt(share * (1 - share) / len(data.y_test))
        return ConstantAnswer(
            share, bound, balanced_bound(counts), max(counts) >= RATIO * min(counts)
        )
    if plan.takes_label_map:
        return constant_label(data.y_test)
    targets = data.y_train
    if plan.task.target is None:
        targets = np.stack([target_of_input(plan, x).reshape(-1) for x in data.x_train])
    mean = np.floor(targets.mean(axis=0) + 0.5).astype(np.int64)
    pairs = zip(data.x_test, data.y_test, strict=True)
    mse = float(np.mean([squared_error(plan, x, y, mean) for x, y in pairs]))
    return ConstantAnswer(mse, mse)
