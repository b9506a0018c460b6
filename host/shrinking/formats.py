# SPDX-License-Identifier: Apache-2.0
"""The formats that a cut begins from: all that fit a budget before channels leave (ADR 0035)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from mcutrain.host.budget.fit import RECOMPUTE, Attempt, Fit, find_fit, ram_bytes
from mcutrain.host.request import Request
from mcutrain.host.search.budget import Overhead
from mcutrain.host.shrinking.builds import NOTHING_BUILT, UNLIMITED, Builder
from mcutrain.host.shrinking.prices import frozen_in_int4, planned
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.model import Model
from mcutrain.trainer.shrinking.int4 import sized_as_int4

ROOM = 4096  # bytes of flash that formats may take more or less, with no weights packed


@dataclass(frozen=True)
class Begun:
    """The plans that were tried without a cut, and the ``attempt`` to go on from: the one that
    fits, or else that of the fewest bytes, without anything computed again that was not asked
    for: a cut makes steps shorter, that makes them longer. ``overhead`` is that of the last build,
    None without one."""

    fit: Fit
    attempt: Attempt
    overhead: Overhead | None = None

    @property
    def request(self) -> Request:
        return self.attempt.request

    @property
    def fits(self) -> bool:
        """Whether the whole model fits, as far as RAM goes."""
        return self.fit.chosen is not None


def begun(
    request: Request,
    model: Model,
    sram: int,
    builder: Builder = NOTHING_BUILT,
    report: Callable[[str], None] = lambda _: None,
) -> Begun:
    """Try the formats in the order of their price, until one fits ``sram`` bytes of arena, learned
    state and what is held beside them; where something is built, of all RAM. ``request`` is
    resolved. Raises as its plan and a build do, but not for too little flash."""
    flash, found = request.options.flash, list[Overhead]()
    request, model = with_room(request, model), as_stored(request, model)

    def all_ram(wanted: Request) -> int:
        plan = wanted.plan_of(model)
        try:
            found.append(builder.overhead(plan))
        except BudgetError as err:  # its board is too small: a cut helps against too little flash
            return ram_bytes(plan) if builder.refused(err).flash else max(sram, ram_bytes(plan)) + 1
        return ram_bytes(plan) + found[-1].sram

    is_built = builder.builds and sram < UNLIMITED
    fit = find_fit(request, model, sram, all_ram if is_built else None, report)
    attempt = fit.chosen
    if attempt is None:
        once = [(step, plan) for step, plan in fit.planned if not computes_again(step)]
        attempt = min(once, key=lambda pair: ram_bytes(pair[1]))[0]
    asked = attempt.request if flash is None else attempt.request.but(flash=flash)
    return Begun(fit, replace(attempt, request=asked), found[-1] if found else None)


def with_room(request: Request, model: Model) -> Request:
    """The request with as much flash as the whole model needs, if a limit is set."""
    needed = planned(request, model).options.flash
    return request if needed == request.options.flash else request.but(flash=(needed or 0) + ROOM)


def as_stored(request: Request, model: Model) -> Model:
    """The model with frozen weights of as many bits as they will have."""
    layers = frozen_in_int4(request, model)
    return sized_as_int4(model, layers) if layers else model


def computes_again(step: Attempt) -> bool:
    """Whether it does, and nobody asked for it."""
    return any(option.startswith(RECOMPUTE) for option in step.options)
