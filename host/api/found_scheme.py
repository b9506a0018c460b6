# SPDX-License-Identifier: Apache-2.0
"""A scheme that a search has trained."""

from __future__ import annotations

from dataclasses import dataclass

from mcutrain.trainer.options import Scheme


@dataclass(frozen=True)
class FoundScheme:
    """A scheme that a search has trained; ``plan(update=...)`` takes it.

    Attributes:
        scheme: What learns, by layer.
        learns: The same in a few words: what learns beside the head.
        ram_bytes: Bytes of arena and learned state, by its plan.
        macs: Multiply-accumulates of a step.
        trial: Its score on validation samples: the accuracy from 0 to 1, or the mean squared error
            where targets are no labels.
        confirmed: Its score when it was trained anew with other samples held out; None if it was
            not one of the best.
    """

    scheme: Scheme
    learns: str
    ram_bytes: int
    macs: int
    trial: float
    confirmed: float | None
