# SPDX-License-Identifier: Apache-2.0
"""How much a search trains."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SearchPlan:
    """How much to search: ``trials`` trainings of whole schemes, of which the best, ``promoted``
    of them, are trained anew with each of ``folds`` other ways to hold samples out.

    ``steps`` are those of a contribution or a trial; None stands for all epochs.
    """

    trials: int = 24
    promoted: int = 4
    folds: int = 3
    epochs: int = 10
    steps: int | None = None
    seed: int = 0
