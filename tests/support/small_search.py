# SPDX-License-Identifier: Apache-2.0
"""A search that takes a second, and what two of them have in common."""

from __future__ import annotations

from typing import Any

from tests.support.command import AT_A_RATE

BUDGET = 1600  # bytes: more than the head of the small model needs, less than all its layers
QUICK = (
    *AT_A_RATE,
    *("--trials", 4, "--promote", 1, "--folds", 1, "--epochs", 1, "--trial-steps", 5),
)
ONE = ("--jobs", 1)


def without_paths(found: Any) -> Any:
    return {key: value for key, value in found.items() if key != "output"}


def scheme_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]
