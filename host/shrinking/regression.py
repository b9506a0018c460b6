# SPDX-License-Identifier: Apache-2.0
"""Ridge regression that draws towards given weights, of several problems at once.

    w = w0 + (X'X + lambda I)^-1 X' (t - X w0)

Ridge regression (Hoerl and Kennard 1970) with w0 in place of zero: what the rows do not tell stays
as it is. How strong the ridge is rows decide that the regression does not see.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.graph.tensor import Array

# Of the mean eigenvalue of X'X: from next to none to a tenth of a deviation from w0.
RIDGES = tuple(10.0**k for k in range(-6, 2))


@dataclass(frozen=True)
class Problem:
    """B regressions: rows x (B, R, D), wanted t (B, R, O), weights to begin from w0 (B, D, O).

    All are float64. ``has_bias``: a constant is added to each output, which no ridge holds.
    """

    x: Array
    t: Array
    w0: Array
    has_bias: bool = True

    def rows(self, chosen: Array) -> Problem:
        """The problem of the chosen rows alone."""
        return Problem(self.x[:, chosen], self.t[:, chosen], self.w0, self.has_bias)

    def fitted(self, weights: Array, bias: Array) -> Array:
        """(B, R, O): the outputs of weights (B, D, O) and a bias (B, 1, O)."""
        return np.asarray(self.x @ weights + bias)

    def bias(self, weights: Array) -> Array:
        """(B, 1, O): the best for these weights; zero without a bias."""
        if not self.has_bias:
            return np.zeros((*self.t.shape[:1], 1, self.t.shape[2]))
        mean_t, mean_x = self.t.mean(axis=1, keepdims=True), self.x.mean(axis=1, keepdims=True)
        return np.asarray(mean_t - mean_x @ weights)


class Solver:
    """The eigenvalues of a problem, by which each ridge is quickly solved."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._mean = problem.x.mean(axis=1, keepdims=True) if problem.has_bias else 0.0
        x = problem.x - self._mean
        self._is_wide = x.shape[2] > x.shape[1]  # then X X' is the smaller matrix
        turned = x.swapaxes(1, 2)
        values, self._vectors = np.linalg.eigh(x @ turned if self._is_wide else turned @ x)
        self._values = np.maximum(values, 0.0)
        self._x = x
        total = self._values.sum(axis=1) / x.shape[2]
        self._scale = np.where(total > 0, total, 1.0)[:, None, None]

    def weights(self, ridge: Array, t: Array | None = None) -> Array:
        """(B, D, O) for the ridge (B,), in mean eigenvalues; ``t`` in place of the problem's."""
        p = self.problem
        rest = (p.t if t is None else t) - p.x @ p.w0
        if p.has_bias:
            rest = rest - rest.mean(axis=1, keepdims=True)
        shrunk = 1 / (self._values[:, :, None] + ridge[:, None, None] * self._scale)
        turned = self._x.swapaxes(1, 2)
        vectors, back = self._vectors, self._vectors.swapaxes(1, 2)
        if self._is_wide:
            return np.asarray(p.w0 + turned @ (vectors @ (shrunk * (back @ rest))))
        return np.asarray(p.w0 + vectors @ (shrunk * (back @ (turned @ rest))))


def best_ridge(problem: Problem, held: Array) -> Array:
    """(B,) of RIDGES: those with the least squared error on the rows that ``held`` (R,) bool
    marks, which are not fitted; infinity where w0, with a bias of its own, is no worse."""
    seen, unseen = problem.rows(~held), problem.rows(held)
    solver = Solver(seen)

    def errors(weights: Array) -> Array:
        found = unseen.fitted(weights, seen.bias(weights)) - unseen.t
        return np.asarray((found**2).sum(axis=(1, 2)))

    tried = [errors(problem.w0)]
    for ridge in RIDGES[::-1]:
        tried.append(errors(solver.weights(np.full(len(problem.x), ridge))))
    choices = np.array([np.inf, *RIDGES[::-1]])
    return np.asarray(choices[np.argmin(tried, axis=0)])
