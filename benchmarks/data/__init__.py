# SPDX-License-Identifier: Apache-2.0
"""Data sets of the benchmarks. What may not be shipped comes from its package at run time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.graph.tensor import Array


@dataclass(frozen=True)
class RawSamples:
    """x (N, ...) and y (N,) int64 labels, or (N, outputs) values; what x holds is said where it is
    loaded."""

    x: Array
    y: Array

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ValueError(f"{len(self.x)} samples have {len(self.y)} labels")

    def __len__(self) -> int:
        return len(self.y)

    def take(self, picked: Array | slice) -> RawSamples:
        """The samples at these indices, or under this mask or slice."""
        return RawSamples(self.x[picked], self.y[picked])

    def of_classes(self, classes: range) -> RawSamples:
        """The samples of these classes, in order; labels stay as they are."""
        return self.take(np.isin(self.y, classes))


def learn_and_test(samples: RawSamples, shots: int, seed: int) -> tuple[RawSamples, RawSamples]:
    """``shots`` samples of each class, drawn by ``seed``, to learn from; all others to test.

    A class with no more than ``shots`` samples would leave none to test: of such a class half,
    rounded up, is drawn.
    """
    rng = np.random.default_rng(seed)
    drawn = []
    for label in np.unique(samples.y):
        mine = rng.permutation(np.flatnonzero(samples.y == label))
        drawn.append(mine[: shots if shots < len(mine) else -(-len(mine) // 2)])
    learn = np.concatenate(drawn)
    test = np.setdiff1d(np.arange(len(samples)), learn)
    return samples.take(learn), samples.take(test)
