# SPDX-License-Identifier: Apache-2.0
"""How well an autoencoder tells odd samples from normal ones: by its error of reconstruction.

An autoencoder learns to give its input back. What it has learned it gives back well; a sample that
is unlike those comes back with a larger error.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mcutrain.host.training.evaluation import squared_error
from mcutrain.host.training.runner import Runner
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.training_plan import TrainingPlan

FALSE_ALARMS = 0.05  # share of the normal samples that the limit lets be taken for odd


@dataclass(frozen=True)
class Detection:
    """``auc``: the area under the ROC curve, which is the share of pairs of an odd and a normal
    sample in which the odd one has the larger error; 0.5 is guessing. ``detected``: the share of
    odd samples whose error is above the limit that ``false_alarms`` of the normal ones exceed."""

    auc: float
    detected: float
    false_alarms: float = FALSE_ALARMS

    @classmethod
    def of(cls, normal: Array, odd: Array) -> Detection:
        """From the errors (N,) of normal samples and (M,) of odd ones."""
        limit = np.quantile(normal, 1 - FALSE_ALARMS)
        return cls(area_under_curve(normal, odd), float(np.mean(odd > limit)))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def area_under_curve(normal: Array, odd: Array) -> float:
    """How often an error of ``odd`` (M,) is above one of ``normal`` (N,); ties count half."""
    above = (odd[:, None] > normal).mean() + (odd[:, None] == normal).mean() / 2
    return float(above)


def reconstruction_errors(plan: TrainingPlan, runner: Runner, samples: Iterable[Array]) -> Array:
    """The mean squared error, in squared real units, of each int8 sample's reconstruction."""
    none = np.zeros(0, np.int8)  # the target is made of the sample
    found = [squared_error(plan, sample, none, runner.infer(sample)) for sample in samples]
    return np.array(found)


def in_turn(errors: Array, count: int) -> Array:
    """The mean error of each ``count`` samples in a row; what is left over at the end is left out.

    A fault stays, and the error of one sample is noisy: several together tell more.
    """
    whole = len(errors) // count * count
    return np.asarray(errors[:whole].reshape(-1, count).mean(1))
