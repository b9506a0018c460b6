# SPDX-License-Identifier: Apache-2.0
"""What fits a budget of RAM: as it is asked for, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcutrain.host.budget.advice import Advice, advise
from mcutrain.host.budget.fit import Fit, find_fit, ram_bytes, repeated
from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.cost import measured
from mcutrain.host.request import Request
from mcutrain.host.training.flash_latents import with_flash_latents
from mcutrain.host.training.reporter import Reporter


@dataclass(frozen=True)
class Budget:
    """``sram`` bytes for all RAM of a build for ``target``; where none is run here, for
    arena, learned state and kept latents."""

    sram: int
    target: Target
    flash_latents: Path | None = None
    verbose: bool = False

    @property
    def is_built(self) -> bool:
        return self.target.runs_here


@dataclass(frozen=True)
class Fitted:
    """The budget, the plans that were tried, the command that repeats the one chosen, or advice
    if none fits."""

    budget: Budget
    fit: Fit
    command: str | None
    advice: Advice | None

    @property
    def request(self) -> Request:
        """What was chosen."""
        assert self.fit.chosen is not None
        return self.fit.chosen.request

    def to_json(self) -> dict[str, Any]:
        found = {**self.fit.to_json(), "target": self.budget.target.name, "command": self.command}
        return {"budget": found, "advice": self.advice and self.advice.to_json()}


def fitted(
    request: Request, budget: Budget, reporter: Reporter, arguments: Sequence[str] | None = None
) -> Fitted:
    """Choose what fits the budget, or find out what would help. Raises as a plan and a build do.

    ``arguments`` are those of the command that asks, the program left out, if one does.
    """
    request = request.resolved().on(budget.target.chip)
    model = request.read()

    def built(wanted: Request) -> int:
        plan = with_flash_latents(wanted.plan(), budget.flash_latents)
        sram = measured(build(plan, budget.target, budget.verbose))["sram_bytes"]
        return ram_bytes(plan) if sram is None else int(sram)

    with reporter.working("planning") as update:
        fit = find_fit(request, model, budget.sram, built if budget.is_built else None, update)
        if fit.chosen is None:
            return Fitted(budget, fit, None, advise(fit, model, update))
    command = None if arguments is None else repeated(arguments, fit.chosen.options)
    return Fitted(budget, fit, command, None)
