# SPDX-License-Identifier: Apache-2.0
"""Samples in folds: each is held out once, and predicted by what learned from the other folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcutrain.host.training.dataset import Dataset
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.training_plan import TrainingPlan

FOLDS = 5
ENOUGH = 1000  # held-out samples: with more of them no further fold is trained


@dataclass(frozen=True)
class Fold:
    """Indices of samples, ascending: to learn from, and held out."""

    learned: Array
    held: Array


@dataclass(frozen=True)
class Pool:
    """The samples that folds are made of, in the order in which a stream brings them: the first
    ``old`` of them fill its replay buffer."""

    x: Array
    y: Array
    old: int = 0

    @classmethod
    def of(cls, data: Dataset, is_stream: bool) -> Pool:
        """The training samples of a data set; behind the old ones, if it is a stream."""
        if not is_stream or data.x_old is None or data.y_old is None:
            return cls(data.x_train, data.y_train)
        x, y = np.concatenate([data.x_old, data.x_train]), np.append(data.y_old, data.y_train)
        return cls(x, y, len(data.x_old))

    def strata(self, plan: TrainingPlan) -> list[Array]:
        """The indices of each class that has samples; all are of one where there are no labels."""
        if not plan.takes_label:
            return [np.arange(len(self.x))]
        return [np.flatnonzero(self.y == label) for label in np.unique(self.y)]

    def classes(self, plan: TrainingPlan) -> dict[int, int]:
        """How many samples each class has that has some; empty where there are no labels."""
        return {int(self.y[m[0]]): len(m) for m in self.strata(plan)} if plan.takes_label else {}

    def folds(self, plan: TrainingPlan, seed: int, in_order: bool) -> list[Fold]:
        """FOLDS, or as many of them as hold out ENOUGH samples; fewer if there are fewer samples.

        The samples of each class are drawn into the folds by ``seed``; or, ``in_order``, each fold
        holds out a stretch of each class, since neighbours in a stream are alike. A class of two
        is held out by two of the folds, the only sample of a class by none. Where folds may be
        left out, classes that are not in all of them are in the first.
        """
        rng = np.random.default_rng([seed, 0, 1])  # not the numbers that order an epoch
        fold_of = np.full(len(self.x), -1)
        first = 0
        for members in self.strata(plan):
            if len(members) < 2:
                continue
            mine = members if in_order else rng.permutation(members)
            stretches = min(FOLDS, len(mine))
            begin = 0 if stretches < FOLDS and len(self.x) > ENOUGH else first
            fold_of[mine] = (begin + np.arange(len(mine)) * stretches // len(mine)) % FOLDS
            first += len(mine)  # where the next class goes on: folds of one size
        found: list[Fold] = []
        for k in range(FOLDS):
            held = np.flatnonzero(fold_of == k)
            if len(held) and sum(len(fold.held) for fold in found) < ENOUGH:
                found.append(Fold(np.flatnonzero(fold_of != k), held))
        return found

    def without(self, data: Dataset, fold: Fold) -> Dataset:
        """The data set that has only the samples which the fold learns from."""
        is_old = fold.learned < self.old
        old, new = fold.learned[is_old], fold.learned[~is_old]
        return Dataset(
            self.x[new], self.y[new], data.x_test, data.y_test,
            x_old=self.x[old] if len(old) else None, y_old=self.y[old] if len(old) else None,
        )  # fmt: skip
