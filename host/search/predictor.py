# SPDX-License-Identifier: Apache-2.0
"""Predicts what a scheme scores: the contributions' sum, corrected by the schemes trained so far.

A Gaussian process (Rasmussen and Williams 2006, equations 2.25 and 2.26). Its mean is the sum of
the contributions, damped; its covariance says that schemes that share genes err alike, and that
the damping is not known. So a few trained schemes correct the sum, which overlooks that layers
do each other's work.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from host.search.contribution import Contributions
from host.search.space import Genes, Space
from trainer.tensor import Array

DAMPING, DAMPING_ERROR = 0.5, 0.3  # of the sum: expected, and how far it may be off
OFFSET_ERROR = 0.02  # of the head's score
GENE_ERROR = 0.5  # of a gene's gain, in units of the gains' spread


class Predictor:
    """The mean and the standard error of schemes' scores."""

    def __init__(self, space: Space, contributions: Contributions, noise: float) -> None:
        """``noise`` is the standard error of one observed score."""
        self.space, self.contributions, self.noise = space, contributions, noise
        self.genes = list(space.choices)
        self.seen: list[Genes] = []
        self._weights: Array = np.zeros(0)
        self._inverse: Array = np.zeros((0, 0))
        self._features: Array = np.zeros((0, len(self.genes)))
        self._sums: Array = np.zeros(0)

    def fit(self, seen: Sequence[Genes], scores: Sequence[float]) -> None:
        """Take the scores of trained schemes into account, in place of those before."""
        self.seen = list(seen)
        self._features, self._sums = self._encoded(seen)
        covariance = self._covariance(self._features, self._sums, self._features, self._sums)
        self._inverse = np.linalg.inv(covariance + self.noise**2 * np.eye(len(seen)))
        self._weights = self._inverse @ (np.asarray(scores, float) - self._mean(self._sums))

    def predict(self, schemes: Sequence[Genes]) -> tuple[Array, Array]:
        """(means, standard errors), each (N,)."""
        features, sums = self._encoded(schemes)
        mean = self._mean(sums)
        variance = self._variance(features, sums)
        if self.seen:
            shared = self._covariance(features, sums, self._features, self._sums)
            mean = mean + shared @ self._weights
            variance = variance - np.einsum("ij,jk,ik->i", shared, self._inverse, shared)
        return mean, np.sqrt(np.maximum(variance, 0.0))

    def _encoded(self, schemes: Sequence[Genes]) -> tuple[Array, Array]:
        """(the roots of the genes' values, (N, genes)), (the contributions' sums, (N,)).

        Roots, because the first channels of a layer bring the most.
        """
        rows = [[genes.get(gene, 0.0) for gene in self.genes] for genes in schemes]
        features = np.sqrt(np.array(rows, float).reshape(len(schemes), len(self.genes)))
        return features, np.array([self.contributions.total(g) for g in schemes])

    def _mean(self, sums: Array) -> Array:
        return self.contributions.head + DAMPING * sums

    def _covariance(self, a: Array, sums_a: Array, b: Array, sums_b: Array) -> Array:
        each = (GENE_ERROR * self.contributions.spread) ** 2
        damping = DAMPING_ERROR**2 * np.outer(sums_a, sums_b)
        return np.asarray(OFFSET_ERROR**2 + damping + each * (a @ b.T))

    def _variance(self, features: Array, sums: Array) -> Array:
        """The diagonal of the schemes' own covariance."""
        each = (GENE_ERROR * self.contributions.spread) ** 2
        own = (features**2).sum(axis=1)
        return np.asarray(OFFSET_ERROR**2 + DAMPING_ERROR**2 * sums**2 + each * own)
