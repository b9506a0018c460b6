# SPDX-License-Identifier: Apache-2.0
"""The learning rate of a run, and how it was found. Imports nothing heavy: tables show it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

NONE_LEARNS = "none learns"
LONG_SECONDS = 20.0  # of a search, after which it is worth saying what would make it quicker


@dataclass(frozen=True)
class Tried:
    """A training at a rate: the mean loss of its last steps (bracket.judging); infinity if it
    diverged."""

    rate: float
    loss: float


@dataclass(frozen=True)
class RateChoice:
    """The rate of a run, and how it was found: after ``tried``, in their order.

    ``first_loss`` is that of the state before the run. Each training was the first ``steps`` of
    ``run_steps``; if they were much shorter, ``chosen`` is lower than the best rate of them. A rate
    that was given was not looked for: nothing was tried.
    """

    chosen: float
    tried: tuple[Tried, ...] = ()
    first_loss: float | None = None
    steps: int = 0
    run_steps: int = 0
    seconds: float = 0.0
    learns: bool = True
    compiled: bool = True

    @property
    def text(self) -> str:
        """For people: no rate that nothing learns at is shown as the one to take."""
        return rate_text(self.chosen) if self.learns else NONE_LEARNS

    @property
    def was_tried(self) -> bool:
        """Whether a training had the chosen rate."""
        return any(one.rate == self.chosen for one in self.tried)

    def to_json(self) -> dict[str, Any]:
        def finite(loss: float | None) -> float | None:
            return loss if loss is not None and math.isfinite(loss) else None

        return {
            "chosen": self.chosen,
            "tried": [{"rate": one.rate, "loss": finite(one.loss)} for one in self.tried],
            "trainings": len(self.tried),
            "steps": self.steps,
            "run_steps": self.run_steps,
            "first_loss": finite(self.first_loss),
            "learns": self.learns,
            "seconds": round(self.seconds, 3),
        }


def rate_text(rate: float) -> str:
    """A rate for people.

    >>> rate_text(2**-6), rate_text(0.02), rate_text(2.0)
    ('2^-6', '0.02', '2')
    """
    fraction, exponent = math.frexp(rate)
    return f"2^{exponent - 1}" if fraction == 0.5 and exponent < 1 else f"{rate:g}"


def loss_text(loss: float) -> str:
    """The loss of a training for people.

    >>> loss_text(0.12345), loss_text(math.inf)
    ('0.123', 'diverged')
    """
    return f"{loss:.3g}" if math.isfinite(loss) else "diverged"


def told(choice: RateChoice) -> list[str]:
    """What is to be said of a rate that was looked for, a line each."""
    if not choice.tried:
        return []
    part = f"the first {choice.steps:,}" if choice.steps < choice.run_steps else "all"
    found, again = "looked for", ""
    if choice.learns:
        found, again = f"{choice.text}, found", f"; --lr {choice.chosen:g} takes it without"
    said = [
        f"learning rate: {found} in {len(choice.tried)} trainings on this computer of {part} of "
        f"{choice.run_steps:,} steps, in {choice.seconds:.1f} s{again}"
    ]
    if choice.steps < choice.run_steps:
        said.append("learning rate: more --lr-minutes give longer trainings to find it with")
        if not choice.was_tried:
            said.append(
                "learning rate: it is lower than the best of the trainings, as the run is longer"
            )
    if not choice.compiled and choice.seconds > LONG_SECONDS:
        said.append("learning rate: found in NumPy; with a C compiler (gcc) it is found sooner")
    if not choice.learns:
        said.append(nothing_learns(choice))
    return said


def nothing_learns(choice: RateChoice) -> str:
    """What is to be said where no training ended with a lower loss."""
    least, most = (f([one.rate for one in choice.tried]) for f in (min, max))
    best = min(one.loss for one in choice.tried)
    end = f"at best {best:.3g} at the end" if math.isfinite(best) else "all of them diverged"
    return (
        f"learning rate: nothing learns at any rate from {rate_text(least)} to "
        f"{rate_text(most)}: the loss was {choice.first_loss:.3g} before and {end}. Look whether "
        "y_train belongs to x_train and the samples are scaled as the model's were (mcutrain "
        "calibrate), let more layers learn (--update), or train longer (--epochs, --steps); or all "
        "of it is known already"
    )
