# SPDX-License-Identifier: Apache-2.0
"""What a training tells of itself while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mcutrain.host.link.traffic import Traffic


@dataclass(frozen=True)
class Progress:
    """What is under way, for whoever shows it.

    While it trains, ``epoch`` counts from 1 to ``epochs`` within the run, ``rate`` is the learning
    rate of the step, and ``traffic`` what the link to a device has carried so far. The phase
    "epoch" says that one has ended: of how many, its mean loss, and the metric of the validation
    samples where the guard looked at them.
    """

    phase: str  # "rate", "guard", "before", "validate", "train", "epoch" or "after"
    done: int
    total: int
    loss: float | None = None
    metric: float | None = None
    epoch: int | None = None
    rate: float | None = None
    epochs: int | None = None
    traffic: Traffic | None = None


Report = Callable[[Progress], None]  # raises StopTraining to end the steps of a run
