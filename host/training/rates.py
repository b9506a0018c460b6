# SPDX-License-Identifier: Apache-2.0
"""The order of the samples, the learning rate along a run, and where its epochs end."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from mcutrain.trainer.graph.tensor import Array, DType
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.training_plan import TrainingPlan

SPARSE_RATE, FULL_RATE, VALUES_RATE = 2.0**-6, 2.0**-7, 2.0**-9
SCHEDULES = ("step", "constant", "cosine")
FINAL_THIRD = 0.25  # of the learning rate, with the step schedule (SPEC 1.5)


def default_rate(plan: TrainingPlan) -> float:
    """2**-6 for a sparse update, 2**-7 where every layer learns; 2**-9 towards given values, where
    errors are not bounded as those of classes are."""
    if not plan.takes_label and plan.task.target is not None:
        return VALUES_RATE
    learned = sum(t.type.dtype is DType.S8 for t in plan.learned)
    layers = sum(isinstance(node.op, Weighted) for node in plan.forward)
    return FULL_RATE if learned == layers else SPARSE_RATE


def sample_order(samples: int, epochs: int, seed: int, first_step: int = 0) -> Array:
    """(epochs * samples,) indices: a new permutation in each epoch, behind ``first_step`` steps."""
    first, done = divmod(first_step, samples)
    numbers = range(first, first + epochs + (done > 0))
    orders = [np.random.default_rng([seed, e]).permutation(samples) for e in numbers]
    order = np.concatenate(orders) if orders else np.zeros(0, np.int64)
    return order[done : done + epochs * samples]


def rates(total: int, rate: float, schedule: str) -> list[tuple[int, LearningRate]]:
    """(first step, learning rate) of each part of a run of ``total`` steps.

    The cosine schedule (Loshchilov and Hutter 2017, equation 5, without restarts) changes when
    the device's 8-bit rate does.
    """
    first = (0, LearningRate.from_real(rate))
    if schedule == "constant":
        return [first]
    if schedule == "step":
        second = LearningRate.from_real(rate * FINAL_THIRD)
        return [first, (last_part(total, schedule), second)]
    found = [first]
    for step in range(1, total):
        now = LearningRate.from_real(rate * (1 + math.cos(math.pi * step / total)) / 2)
        if now != found[-1][1]:
            found.append((step, now))
    return found


def last_part(total: int, schedule: str) -> int:
    """The step from which on a run of ``total`` steps has the low rate that it ends with: the last
    third, or the whole run if the rate stays."""
    return 0 if schedule == "constant" else total - total // 3


def epochs(total: int, samples: int, first_step: int) -> list[tuple[int, int]]:
    """(first, end) of each epoch in a run of ``total`` steps behind ``first_step`` others.

    >>> epochs(7, 4, 6)
    [(0, 2), (2, 6), (6, 7)]
    """
    ends = range(samples - first_step % samples, total, samples)
    return list(pairwise([0, *ends, total])) if total else []
