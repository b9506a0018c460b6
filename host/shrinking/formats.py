# SPDX-License-Identifier: Apache-2.0
"""The formats that a cut begins from: all that fit a budget before channels leave (ADR 0035)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mcutrain.host.budget.fit import RECOMPUTE, Attempt, Fit, find_fit, ram_bytes
from mcutrain.host.request import Request
from mcutrain.trainer.model import Model


@dataclass(frozen=True)
class Begun:
    """The plans that were tried without a cut, and the ``attempt`` to go on from: the one that
    fits, or else that of the fewest bytes, without anything computed again that was not asked
    for: a cut makes steps shorter, that makes them longer."""

    fit: Fit
    attempt: Attempt

    @property
    def request(self) -> Request:
        return self.attempt.request

    @property
    def fits(self) -> bool:
        """Whether the whole model fits, as far as RAM goes."""
        return self.fit.chosen is not None


def begun(
    request: Request, model: Model, sram: int, report: Callable[[str], None] = lambda _: None
) -> Begun:
    """Try the formats in the order of their price, until one fits ``sram`` bytes of arena, learned
    state and what is held beside them. ``request`` is resolved. Raises as its plan does."""
    fit = find_fit(request, model, sram, report=report)
    if fit.chosen is not None:
        return Begun(fit, fit.chosen)
    once = [(step, plan) for step, plan in fit.planned if not computes_again(step)]
    return Begun(fit, min(once, key=lambda pair: ram_bytes(pair[1]))[0])


def computes_again(step: Attempt) -> bool:
    """Whether it does, and nobody asked for it."""
    return any(option.startswith(RECOMPUTE) for option in step.options)
