# SPDX-License-Identifier: Apache-2.0
"""Predicts what a scheme scores: the contributions' saturated sum, corrected by trained schemes.

What genes gain does not add up: layers do each other's work, and no scheme passes a ceiling. A
sum of contributions S is worth A (1 - exp(-S / A)), where A, the most that can be gained, is what
makes the trained schemes most likely. Upon that mean there is a Gaussian process (Rasmussen and
Williams 2006, equations 2.25, 2.26 and 2.30): its covariance says that schemes that share genes
err alike, as far as these still move the saturated sum. So a few trained schemes correct it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcutrain.host.search.contribution import POWER, Contributions
from mcutrain.host.search.space import Genes, Space
from mcutrain.trainer.graph.tensor import Array

OFFSET_ERROR = 0.02  # of the head's score
GENE_ERROR = 1.0  # of a gene's gain, in units of the gains' spread
CEILINGS = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0)  # A, in units of the greatest contribution
EXPECTED = 2.0  # of these, before schemes were trained


@dataclass(frozen=True)
class Inputs:
    """Of N schemes: the prior mean of their scores (N,), and their features (N, genes)."""

    mean: Array
    features: Array


class Predictor:
    """The mean and the standard error of schemes' scores."""

    def __init__(self, space: Space, contributions: Contributions, noise: float) -> None:
        """``noise`` is the standard error of one observed score."""
        self.space, self.contributions, self.noise = space, contributions, noise
        self.genes = list(space.choices)
        self.most = EXPECTED * contributions.greatest
        self._seen = self._inputs([])
        self._weights: Array = np.zeros(0)
        self._inverse: Array = np.zeros((0, 0))

    def fit(self, seen: Sequence[Genes], scores: Sequence[float]) -> None:
        """Take the scores of trained schemes into account, in place of those before."""
        if not seen:
            return
        each = []
        for factor in CEILINGS:
            self.most = factor * self.contributions.greatest
            each.append((self._fit(seen, np.asarray(scores, float)), self.most))
        _, self.most = max(each)
        self._fit(seen, np.asarray(scores, float))

    def _fit(self, seen: Sequence[Genes], scores: Array) -> float:
        """With the ceiling as it is; the log likelihood of the scores, up to a constant."""
        self._seen = self._inputs(seen)
        covariance = self._covariance(self._seen, self._seen) + self.noise**2 * np.eye(len(seen))
        self._inverse = np.linalg.inv(covariance)
        error = scores - self._seen.mean
        self._weights = self._inverse @ error
        return -float(error @ self._weights + np.linalg.slogdet(covariance)[1]) / 2

    def predict(self, schemes: Sequence[Genes]) -> tuple[Array, Array]:
        """(means, standard errors), each (N,)."""
        inputs = self._inputs(schemes)
        shared = self._covariance(inputs, self._seen)
        mean = inputs.mean + shared @ self._weights
        own = OFFSET_ERROR**2 + (inputs.features**2).sum(axis=1)
        variance = own - np.einsum("ij,jk,ik->i", shared, self._inverse, shared)
        return mean, np.sqrt(np.maximum(variance, 0.0))

    def _inputs(self, schemes: Sequence[Genes]) -> Inputs:
        """Features are powers of the genes' values, times what a gene's error then moves."""
        rows = [[genes.get(gene, 0.0) for gene in self.genes] for genes in schemes]
        values = np.array(rows, float).reshape(len(schemes), len(self.genes)) ** POWER
        sums = np.array([self.contributions.total(g) for g in schemes]) / self.most
        left = np.exp(-np.maximum(sums, -1.0))  # of the ceiling
        mean = self.contributions.head + self.most * (1.0 - left)
        spread = GENE_ERROR * self.contributions.spread
        return Inputs(mean, spread * left[:, None] * values)

    @staticmethod
    def _covariance(a: Inputs, b: Inputs) -> Array:
        return np.asarray(OFFSET_ERROR**2 + a.features @ b.features.T)
