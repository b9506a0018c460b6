# SPDX-License-Identifier: Apache-2.0
"""The checks of lab 3, choosing a scheme."""

from __future__ import annotations

from typing import Any

import numpy as np
from exercise import Hint, exercise, number, result

import mcutrain


@exercise
def front(answer: Any) -> None:
    """front(points) -> sorted indices; a point is (bytes, accuracy)."""
    rng = np.random.default_rng(5)
    for count in (1, 5, 30, 30):
        points = [(int(rng.integers(1, 20)), float(rng.integers(1, 20))) for _ in range(count)]
        wanted = {i for i, p in enumerate(points) if not any(_beats(q, p) for q in points)}
        found = result(answer, points)
        if not isinstance(found, list | tuple | set | np.ndarray):
            raise Hint("Your function is to return a list of indices.")
        if not all(isinstance(i, int | np.integer) for i in found):
            raise Hint("Return the indices of the points, not the points.")
        if set(map(int, found)) - wanted:
            raise Hint("You keep a point that another one beats: it costs no more and is better, "
                       "or is as good and costs less.")  # fmt: skip
        if wanted - set(map(int, found)):
            raise Hint("You drop a point that no other one beats. What of points that are equal?")


def _beats(q: tuple[int, float], p: tuple[int, float]) -> bool:
    return q[0] <= p[0] and q[1] >= p[1] and q != p


# By what a wrong answer has to be multiplied to be right.
GAIN_HINTS = {
    100: "That is a share for each KiB: a percentage point is a hundredth.",
    1024: "That is for each byte, and for each KiB is asked: a KiB has 1,024 bytes.",
    102400: "That is a share for each byte. Give percentage points for each KiB of 1,024 bytes.",
    1.024: "A KiB has 1,024 bytes, not 1,000.",
    -1: "The sign is wrong: what is better than the base gains.",
}


@exercise
def gain_per_byte(answer: Any) -> None:
    """gain_per_byte(accuracy, base, ram, base_ram) -> percentage points for each KiB more."""
    for values in ((0.9, 0.6, 4096, 2048), (0.5, 0.6, 9000, 1000), (0.75, 0.5, 1536, 512)):
        accuracy, base, ram, base_ram = values
        wanted = 100 * (accuracy - base) / ((ram - base_ram) / 1024)
        found = number(result(answer, *values))
        for factor, hint in GAIN_HINTS.items():
            if abs(found * factor - wanted) < 1e-6 * abs(wanted):
                raise Hint(hint)
        if abs(found - wanted) > 1e-6 * abs(wanted):
            raise Hint("Divide what accuracy gains by what RAM grows, both against the base.")


@exercise
def fits_the_budget(answer: Any, model: Any, data: Any, limit: int, least: float) -> None:
    """An update whose plan fits into the limit and reaches the least accuracy."""
    if not isinstance(answer, str) and not hasattr(answer, "biases"):
        raise Hint("Give an update as a text, such as 'last:2', or a scheme that search found.")
    if isinstance(answer, str):
        answer = answer.strip()
    try:
        plan = mcutrain.plan(model, answer)
        if plan.ram_bytes > limit:
            raise Hint(f"This takes {plan.ram_bytes:,} bytes, and {limit:,} are there.")
        run = mcutrain.Trainer(plan, data, epochs=5, lr=2.0**-5, guard=False).fit()
    except mcutrain.Error as error:
        raise Hint(f"mcutrain refuses this update: {error}") from error
    if run.after is None or run.after < least:
        raise Hint(f"It fits, but gets {100 * (run.after or 0):.1f} % right. Train more of it.")
