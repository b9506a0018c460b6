# SPDX-License-Identifier: Apache-2.0
"""Paired differences between ways to train, and what they say."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from benchmarks.store import BenchmarkRun

WITHIN = 0.5  # points that integer training may be behind


class Verdict(Enum):
    """Of a gap, which is known up to its standard error."""

    MET = "met"
    MISSED = "missed"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Gap:
    """The mean of paired differences, in points, and its standard error; of one pair it is not
    known."""

    mean: float
    error: float

    @classmethod
    def of(cls, runs: Iterable[BenchmarkRun], others: Iterable[BenchmarkRun]) -> Gap:
        """Each run less its twin: the same group and seed."""
        twin = {(run.group, run.seed): run.after for run in others}
        gaps = np.array([run.after - twin[run.group, run.seed] for run in runs])
        error = float(gaps.std(ddof=1) / np.sqrt(len(gaps))) if len(gaps) > 1 else math.inf
        return cls(float(gaps.mean()), error)

    @property
    def verdict(self) -> Verdict:
        if self.mean - self.error >= -WITHIN:
            return Verdict.MET
        return Verdict.MISSED if self.mean + self.error < -WITHIN else Verdict.UNDECIDED

    def __str__(self) -> str:
        known = f" ± {self.error:.2f}" if math.isfinite(self.error) else " (one pair)"
        return f"{self.mean:+.2f}{known}"
