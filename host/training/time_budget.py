# SPDX-License-Identifier: Apache-2.0
"""How many steps are made in some minutes: the arithmetic of it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class StepTimes:
    """Seconds of a step on a sample that is new, on one from before, and of an inference."""

    first: float
    again: float
    inference: float

    def steps(self, seconds: float, samples: int, validated: int) -> int:
        """How many steps can be made, with ``validated`` inferences before the first and after each
        epoch.

        >>> StepTimes(3.0, 1.0, 0.5).steps(100.0, 20, 10)
        45
        """
        validation = validated * self.inference
        left = seconds - 2 * validation - samples * self.first
        if left < 0:
            return max(0, min(samples, math.floor((seconds - validation) / self.first)))
        epochs, rest = divmod(left, samples * self.again + validation)
        return samples * (1 + int(epochs)) + min(samples, math.floor(rest / self.again))


@dataclass(frozen=True)
class TimeBudget:
    """What some minutes came to."""

    minutes: float
    steps: int
    samples: int
    seconds_per_step: float

    def told(self) -> str:
        epochs = self.steps / self.samples
        text = (
            f"{self.minutes:g} minutes: {self.steps:,} steps of {1000 * self.seconds_per_step:.3g} "
            f"ms, {epochs:.3g} epochs; --steps {self.steps} trains the same again"
        )
        if epochs < 1:
            text += f"; {100 * (1 - epochs):.0f} % of the samples were not learned from: give more"
        return text

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
