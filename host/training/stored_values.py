# SPDX-License-Identifier: Apache-2.0
"""Checks values of JSON that a checkpoint holds, which anybody may have written. All raise
ValueError for another value."""

from __future__ import annotations

import math
from typing import Any

MOST_TEXT = 4096  # characters
MOST_COUNT = 2**62  # of what has no limit of its own


def count(value: Any) -> int:
    return integer(value, MOST_COUNT)


def integer(value: Any, most: int, least: int = 0) -> int:
    """
    >>> integer(3, 5)
    3
    """
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{value!r:.40} is no whole number from {least} to {most}")
    return value


def number(value: Any, most: float = math.inf) -> float:
    """A finite one from 0 on."""
    if type(value) not in (int, float) or not 0 <= value <= most or value == math.inf:
        raise ValueError(f"{value!r:.40} is no number from 0 to {most:g}")
    return float(value)


def loss(value: Any) -> float:
    """Of a training that diverged it is no finite number."""
    if type(value) not in (int, float):
        raise ValueError(f"{value!r:.40} is no loss")
    return float(value)


def flag(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"{value!r:.40} is neither true nor false")
    return value


def text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MOST_TEXT or not value.isprintable():
        raise ValueError(f"{value!r:.40} is no text")
    return value
