# SPDX-License-Identifier: Apache-2.0
"""How much a design trains."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DesignPlan:
    """How much to design: ``trials`` nets, of which ``promoted`` are trained anew with each of
    ``seeds`` seeds, for all ``epochs`` of pretraining."""

    trials: int = 24
    promoted: int = 4
    seeds: int = 3
    epochs: int = 40
    seed: int = 0

    @property
    def folds(self) -> int:
        """One for the trials, and one for each seed."""
        return self.seeds + 1
