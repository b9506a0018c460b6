# SPDX-License-Identifier: Apache-2.0
"""How much a search trains."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """How much to search: ``trials`` short trainings of whole schemes, of which ``promoted`` are
    trained at full length, with each of ``folds`` ways to hold samples out.

    ``short`` is the number of steps of a contribution or a trial; None a third of all.
    """

    trials: int = 32
    promoted: int = 4
    folds: int = 3
    epochs: int = 10
    short: int | None = None
    seed: int = 0
