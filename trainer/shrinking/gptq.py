# SPDX-License-Identifier: Apache-2.0
"""GPTQ (Frantar et al. 2023, arXiv 2210.17323): weights rounded one after the other, each error
made good by the weights that are not rounded yet.

For a filter w and inputs x the error is E (w - q)^T H (w - q) with H = cov(x): the mean error is
no part of it, because a bias makes it good. With H^-1 = U^T U, U upper triangular, rounding the
weight i to q_i adds -(w_i - q_i) / U_ii * U_ij to each weight j behind it (equations 2 and 3 of the
paper, in the form of its algorithm 1). It is done with several steps for each filter, the best
is kept, and then step and weights are improved in turn: the step by least squares, each weight with
all others as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.int4 import GREATEST, LEAST

DAMPING = 0.01  # of the mean diagonal, as in the paper
TOGETHER = 64  # weights after which those behind them are changed at once
STEPS = np.linspace(0.4, 1.0, 13)  # of a filter's coarsest step, which covers all its weights
SWEEPS = 3  # improvements of step and weights
ROOM = 2**21  # weights that are rounded at a time


@dataclass(frozen=True)
class Rounded:
    """Weights (filters, inputs) in -8..7, and by filter what 1 of them is worth."""

    weights: Array
    steps: Array


def rounded(weights: Array, coarsest: Array, hessians: Sequence[Array]) -> Rounded:
    """``weights`` (filters, inputs) float64 in quanta; the steps are about ``coarsest`` (filters,)
    or finer, but not below 1.

    ``hessians`` are the blocks of H along its diagonal, by inputs in order; what lies beside them
    is taken as 0.
    """
    blocks, first = [], 0
    for hessian in hessians:
        blocks.append(Block.of(hessian, first))
        first += len(hessian)
    steps = np.maximum(coarsest[:, None] * STEPS, 1.0)
    together = max(1, ROOM // (STEPS.size * weights.shape[1]))
    found = [
        improved(weights[part], best(weights[part], steps[part], blocks), blocks)
        for first in range(0, len(weights), together)
        for part in [slice(first, first + together)]
    ]
    return Rounded(
        np.concatenate([each.weights for each in found]).astype(np.int8),
        np.concatenate([each.steps for each in found]),
    )


@dataclass(frozen=True)
class Block:
    """A block of H, with the damping, the weights that it is of, the order in which these are
    rounded, and U in that order."""

    damped: Array
    part: slice
    order: Array
    upper: Array

    @classmethod
    def of(cls, hessian: Array, first: int) -> Block:
        """The weights of inputs that vary most are rounded first. Inputs that do not vary have the
        damping alone: their weights go to the nearest, and change no others."""
        order = np.argsort(-hessian.diagonal(), kind="stable")
        damped = with_damping(hessian, DAMPING)
        inverse = np.linalg.inv(damped[np.ix_(order, order)])
        part = slice(first, first + len(hessian))
        return cls(damped, part, order, np.linalg.cholesky(inverse).T)

    def rounded(self, weights: Array, steps: Array) -> Array:
        """(filters, K) multiples within -8..7 of the ``steps`` (filters,)."""
        upper = self.upper
        # Inputs along the rows: what the loop takes one by one lies together.
        rest = np.ascontiguousarray(weights[:, self.part][:, self.order].T)
        found = np.empty_like(rest)
        for first in range(0, len(rest), TOGETHER):
            last = min(first + TOGETHER, len(rest))
            errors = np.empty((last - first, len(steps)))
            for i in range(first, last):
                found[i] = nearest(rest[i] / steps)
                errors[i - first] = (rest[i] - found[i] * steps) / upper[i, i]
                rest[i + 1 : last] -= np.outer(upper[i, i + 1 : last], errors[i - first])
            rest[last:] -= upper[first:last, last:].T @ errors
        back = np.empty_like(found)
        back[self.order] = found
        return back.T

    def improve(self, weights: Array, q: Array, steps: Array) -> None:
        """Changes each of the weights ``q`` to the best with all others as they are."""
        found = np.ascontiguousarray(q[:, self.part].T)
        slopes = self.damped @ (weights[:, self.part].T - found * steps)
        for i in self.order:
            new = nearest(found[i] + slopes[i] / (steps * self.damped[i, i]))
            slopes -= np.outer(self.damped[i], (new - found[i]) * steps)
            found[i] = new
        q[:, self.part] = found.T


def with_damping(hessian: Array, share: float) -> Array:
    """H (.., K, K) and ``share`` of its mean diagonal along the diagonal; 1 where H is 0."""
    mean = np.trace(hessian, axis1=-2, axis2=-1) / hessian.shape[-1]
    damping = np.where(mean > 0, share * mean, 1.0)
    return np.asarray(hessian + damping[..., None, None] * np.eye(hessian.shape[-1]))


def nearest(values: Array) -> Array:
    return np.asarray(np.clip(np.rint(values), LEAST, GREATEST))


def best(weights: Array, steps: Array, blocks: Sequence[Block]) -> Rounded:
    """By GPTQ with each of the ``steps`` (filters, choices), the one of the least error."""
    filters, choices = steps.shape
    exact, each = np.repeat(weights, choices, axis=0), steps.ravel()
    q = np.concatenate([block.rounded(exact, each) for block in blocks], axis=1)
    missed = exact - q * each[:, None]
    errors = products(missed, missed, blocks).reshape(filters, choices)
    rows, chosen = np.arange(filters), errors.argmin(axis=1)
    return Rounded(q.reshape(filters, choices, -1)[rows, chosen], steps[rows, chosen])


def products(a: Array, b: Array, blocks: Sequence[Block]) -> Array:
    """(filters,): a^T H b."""
    each = (
        np.einsum("fi,fi->f", a[:, block.part] @ block.damped, b[:, block.part]) for block in blocks
    )
    return np.asarray(sum(each))


def improved(weights: Array, found: Rounded, blocks: Sequence[Block]) -> Rounded:
    """Steps by least squares, and weights with all others as they are, in turn."""
    q, steps = found.weights.copy(), found.steps
    for _ in range(SWEEPS):
        wanted, own = products(weights, q, blocks), products(q, q, blocks)
        fitted = np.divide(wanted, own, out=steps.copy(), where=own > 0)
        steps = np.where(steps > 1, np.maximum(fitted, 1.0), steps)
        for block in blocks:
            block.improve(weights, q, steps)
    return Rounded(q, steps)
