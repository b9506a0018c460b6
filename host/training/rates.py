# SPDX-License-Identifier: Apache-2.0
"""The order of the samples, the learning rate along a run, and where its epochs end."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from mcutrain.host.defaults import AUTO
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.training_plan import TrainingPlan

SCHEDULES = ("cooldown", "step", "constant", "cosine")
LEAST_RATE, MOST_RATE = 2.0**-100, 255.0  # at which something is learned (SPEC 1.5)
NO_SAMPLE = -1  # in an order: a step whose sample was left out, of which only the number counts
FINAL_THIRD = 0.25  # of the learning rate, with the step schedule (SPEC 1.5)
STAIRS = 16  # at most, by which it falls with the cooldown schedule, in the second half of a run


def given_rate(text: str) -> float | None:
    """A learning rate as options give it, or as reports show it; None for AUTO. Raises DataError.

    >>> given_rate("0.02"), given_rate("2^-4"), given_rate("auto")
    (0.02, 0.0625, None)
    """
    if text == AUTO:
        return None
    base, power, exponent = text.partition("^")
    try:
        rate = float(base) ** float(exponent) if power and base == "2" else float(text)
    except (ValueError, OverflowError):
        rate = math.nan
    if not LEAST_RATE <= rate <= MOST_RATE:
        raise DataError(
            f"--lr {text[:24]} is no learning rate: give a number from 2^-100 to 255, such as "
            f"0.01 or 2^-6, or {AUTO}"
        )
    return rate


def initial_rate(plan: TrainingPlan) -> float:
    """The rate that reset sets (SPEC 1.5)."""
    sgd = plan.learning.sgd.data
    assert sgd is not None
    return LearningRate(*map(int, sgd[2:4])).real


def sample_order(samples: int, epochs: int, seed: int, first_step: int = 0) -> Array:
    """(epochs * samples,) indices: a new permutation in each epoch, behind ``first_step`` steps."""
    first, done = divmod(first_step, samples)
    numbers = range(first, first + epochs + (done > 0))
    orders = [np.random.default_rng([seed, e]).permutation(samples) for e in numbers]
    order = np.concatenate(orders) if orders else np.zeros(0, np.int64)
    return order[done : done + epochs * samples]


def rates(total: int, rate: float, schedule: str) -> list[tuple[int, LearningRate]]:
    """(first step, learning rate) of each part of a run of ``total`` steps.

    The cooldown schedule (a constant rate that then falls linearly, as Haegele et al. 2024 compare
    it) falls in stairs of equal length, each with the rate at its middle. The cosine schedule
    (Loshchilov and Hutter 2017, equation 5, without restarts) changes when the device's 8-bit rate
    does.
    """
    first = (0, LearningRate.from_real(rate))
    if schedule == "constant":
        return [first]
    if schedule == "cooldown":
        return cooldown(total, rate)
    if schedule == "step":
        second = LearningRate.from_real(rate * FINAL_THIRD)
        return [first, (last_part(total, schedule), second)]
    found = [first]
    for step in range(1, total):
        now = LearningRate.from_real(rate * (1 + math.cos(math.pi * step / total)) / 2)
        if now != found[-1][1]:
            found.append((step, now))
    return found


def cooldown(total: int, rate: float) -> list[tuple[int, LearningRate]]:
    """``rates`` of the cooldown schedule.

    >>> [(step, round(at.real, 3)) for step, at in cooldown(8, 0.5)]
    [(0, 0.5), (4, 0.438), (5, 0.312), (6, 0.188), (7, 0.062)]
    """
    falling = total // 2
    stairs = min(STAIRS, falling)
    parts = {0: rate}
    for stair in range(stairs):
        step = total - falling + stair * falling // stairs
        parts[step] = rate * (1 - (stair + 0.5) / stairs)
    return [(step, LearningRate.from_real(at)) for step, at in parts.items()]


def last_part(total: int, schedule: str) -> int:
    """The step from which on the rate of a run of ``total`` steps is low enough to tell what the
    run ends with: the last third, or the whole run if the rate stays."""
    return 0 if schedule == "constant" else total - total // 3


def epochs(total: int, samples: int, first_step: int) -> list[tuple[int, int]]:
    """(first, end) of each epoch in a run of ``total`` steps behind ``first_step`` others.

    >>> epochs(7, 4, 6)
    [(0, 2), (2, 6), (6, 7)]
    """
    ends = range(samples - first_step % samples, total, samples)
    return list(pairwise([0, *ends, total])) if total else []
