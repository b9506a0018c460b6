# SPDX-License-Identifier: Apache-2.0
"""Parameters of tests with marks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pytest

BUDGET = "budget"  # property of a test: a figure against its budget, to be told at the end


def exhaustive(name: Any, long: Collection[Any]) -> Any:
    """The parameter; marked as one that only ``make test-all`` runs if it is one of ``long``."""
    return pytest.param(name, marks=pytest.mark.exhaustive) if name in long else name


def sampled(names: Sequence[Any], count: int) -> list[Any]:
    """The parameters, of which many try the same: ``make test`` runs ``count`` of them, evenly
    spread, and ``make test-all`` all."""
    short = {k * len(names) // count for k in range(count)}
    long = [name for k, name in enumerate(names) if k not in short]
    return [exhaustive(name, long) for name in names]
