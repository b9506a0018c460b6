# SPDX-License-Identifier: Apache-2.0
"""Lines to be drawn: their points in the units of a drawing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MOST_POINTS = 600  # of a line: more cannot be told apart, and make a notebook's file large


@dataclass(frozen=True)
class Line:
    """Values over positions; the positions count from 0 where none are given."""

    name: str
    values: Sequence[float]
    at: Sequence[float] | None = None

    @property
    def points(self) -> list[tuple[float, float]]:
        """Position and value of at most MOST_POINTS; what is no number is left out."""
        at = range(len(self.values)) if self.at is None else self.at
        pairs = [(x, v) for x, v in zip(at, self.values, strict=True) if math.isfinite(v)]
        step = -(-len(pairs) // MOST_POINTS) or 1
        return [(float(x), float(v)) for x, v in pairs[::step]]


def running_mean(values: Sequence[float], share: float = 1 / 20) -> list[float]:
    """The exponential mean over a ``share`` of the values, which begins at the first of them.

    >>> running_mean([1.0, 0.0], share=1.0)
    [1.0, 0.5]
    """
    weight = 1 / max(1.0, share * len(values))
    found: list[float] = []
    for value in values:
        found.append(value if not found else found[-1] + weight * (value - found[-1]))
    return found


def scaled(
    lines: Sequence[Line], width: float, height: float
) -> tuple[list[list[tuple[float, float]]], float, float, float]:
    """The points of each line in a box with y down, the least and greatest value, and the greatest
    position. One line has a point at least."""
    points = [line.points for line in lines]
    values = [v for found in points for _, v in found]
    low, high = min(values), max(values)
    last = max(x for found in points for x, _ in found)
    span, length = (high - low) or 1.0, last or 1.0

    def place(x: float, value: float) -> tuple[float, float]:
        return width * x / length, height * (1 - (value - low) / span)

    placed = [[place(*point) for point in found] for found in points]
    return placed, low, high, last
