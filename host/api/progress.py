# SPDX-License-Identifier: Apache-2.0
"""What callbacks are told of a training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """A training step that was done.

    Attributes:
        number: Which it was, from 1.
        total: How many there are to be.
        loss: Its loss in real units, before it learned.
        rate: Its learning rate.
        epoch: The epoch that it belongs to, from 1.
    """

    number: int
    total: int
    loss: float
    rate: float
    epoch: int


@dataclass(frozen=True)
class Epoch:
    """An epoch that has ended.

    Attributes:
        number: Which it was, from 1.
        total: How many there are to be.
        loss: The mean loss of its steps.
        metric: What the validation samples say after it: the accuracy from 0 to 1, or the mean
            squared error where targets are no labels. None without validation samples.
        step: The number of its last step.
    """

    number: int
    total: int
    loss: float
    metric: float | None
    step: int
