# SPDX-License-Identifier: Apache-2.0
"""The rule that brackets a learning rate: which powers of two to train at, and which to take.

A training is judged by the mean loss of its last steps, where the learning rate is low: those
before say how fast it learns, and not what it ends with. It is that of the training samples
themselves: held-out ones choose no better, and there may be none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.graph.tensor import Array

# Of the first loss, and of the loss of an answer that is always the same: a training that does not
# end below both has learned nothing, or has broken what was there.
DEAD = 0.98
DIVERGED = 1.05  # of the first loss: the rate was too high, surely
UNSURE = 3  # lower rates that bring nothing, after which higher ones are tried
LOWEST, HIGHEST = 24, -4  # exponents: rates from 2**-24 to 2**4
STRIDE = 2  # of the first pass; the neighbours of its best are tried behind it
TOLERATED = (
    1.03  # times the least loss: lower rates that come so near keep weights off their limits
)
TOLERATED_LOSS = 0.003  # and so much beside it, where losses are nearly 0
TOLERATED_SQUARED = 0.002  # of the first loss, if it is a squared error
ENOUGH = 0.5  # of the first loss: so low a loss is enough where more of it forgets other classes
JUDGING_PART, JUDGING_STEPS = 10, 48  # the last tenth of the steps, or so many if there are
FIRST_SAMPLES = 48  # that tell the loss of the state before


@dataclass(frozen=True)
class Bracketed:
    """The losses by exponent k of the rate 2**-k, in the order of trying, and the k to take;
    ``first`` is the loss of the state before."""

    losses: dict[int, float]
    chosen: int
    first: float

    @property
    def learns(self) -> bool:
        return min(self.losses.values()) < DEAD * self.first


def bracket_over(
    losses: Callable[[float, Array], Sequence[float]],
    order: Array,
    start: int,
    *,
    is_squared: bool,
    forgets: bool = False,
    constant: float = math.inf,
) -> Bracketed:
    """``bracket`` over ``losses``: those of a training from the same beginning at a rate, on
    samples in an ``order``. ``forgets``: the more it learns, the more of other classes it takes.
    ``constant``: the loss of the best answer that is the same for all samples."""
    end = order[-judging(len(order)) :]
    chosen = np.linspace(0, len(end) - 1, min(len(end), FIRST_SAMPLES)).astype(int)
    # At a rate of 0 the state stays. The samples are some of those that a training ends with, so
    # that the losses can be compared.
    first = float(np.mean(losses(0.0, end[chosen])))

    def loss_at(k: int) -> float:
        loss = float(np.mean(losses(2.0**-k, order)[-judging(len(order)) :]))
        return loss if math.isfinite(loss) else math.inf

    tolerated = TOLERATED_SQUARED * first if is_squared else TOLERATED_LOSS
    found = bracket(loss_at, first, start, tolerated, constant)
    return lowest_enough(found, loss_at) if forgets else found


def constant_loss(labels: Array) -> float:
    """The least mean cross-entropy, in nats, of one answer to samples with these labels (N,);
    infinity where they have one class alone, of which one answer says all.

    >>> round(constant_loss(np.array([0, 1, 1, 0])), 3), constant_loss(np.array([2, 2]))
    (0.693, inf)
    """
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(shares * np.log(shares)).sum()) if len(shares) > 1 else math.inf


def judging(steps: int) -> int:
    """How many of a training's steps judge it: of a short one the last third at most.

    >>> [judging(steps) for steps in (2, 90, 300, 6000)]
    [1, 30, 48, 600]
    """
    return max(1, steps // JUDGING_PART, min(steps // 3, JUDGING_STEPS))


def bracket(
    loss_at: Callable[[int], float],
    first: float,
    start: int,
    tolerated: float = TOLERATED_LOSS,
    constant: float = math.inf,
) -> Bracketed:
    """Train with 2**-k from k = ``start`` on: downward where nothing learns, and upward if that
    does not help; then towards the least loss, at last beside it.

    ``loss_at`` is the loss at the end of a training, infinity if it diverges; ``first`` that of
    the state before it, ``constant`` that of an answer that is always the same. Taken is the lowest
    rate whose loss is near the least.
    """
    losses: dict[int, float] = {}

    def loss(k: int) -> float:
        if k not in losses:
            losses[k] = loss_at(k)
        return losses[k]

    def is_dead(k: int) -> bool:
        return not loss(k) < DEAD * min(first, constant)

    def falls(k: int, other: int) -> bool:
        return HIGHEST <= other <= LOWEST and loss(other) < loss(k)

    downward = range(start, LOWEST + 1, STRIDE)
    upward = range(start - STRIDE, HIGHEST - 1, -STRIDE)
    # A loss near the first may be that of a dead layer, or of a rate too low to change anything.
    turns = UNSURE if loss(start) < DIVERGED * first else 0
    order = (*downward[: UNSURE + 1], *upward[:turns], *downward[UNSURE + 1 :], *upward[turns:])
    best = next((k for k in order if not is_dead(k)), None)
    if best is None:
        best = min(losses, key=lambda k: (losses[k], -k))
    else:
        begun = best
        while falls(best, best + STRIDE):
            best += STRIDE
        while best <= begun and falls(best, best - STRIDE):
            best -= STRIDE
        for beside in (best - 1, best + 1):
            falls(best, beside)
    least = min(losses.values())
    near = [k for k, value in losses.items() if value <= TOLERATED * least + tolerated]
    return Bracketed(losses, max(near, default=best), first)


def lowest_enough(found: Bracketed, loss_at: Callable[[int], float]) -> Bracketed:
    """The same with the lowest rate whose loss is ENOUGH, if one is: lower ones are tried."""
    losses, chosen = dict(found.losses), found.chosen

    def is_enough(k: int) -> bool:
        if k not in losses:
            losses[k] = loss_at(k)
        return losses[k] <= ENOUGH * found.first

    for stride in (STRIDE, 1):
        while chosen + stride <= LOWEST and is_enough(chosen + stride):
            chosen += stride
    return Bracketed(losses, chosen, found.first)
