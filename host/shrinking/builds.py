# SPDX-License-Identifier: Apache-2.0
"""What the build of a smaller model has beside its plan: stack, link, code and the rest.

Where a target is built for here, a budget is for all of a build, as in ``plan`` and ``search``.
What a build has beside its plan changes little with the channels; so it is measured once, a cut is
chosen with it, and is taken only if its own build fits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from mcutrain.host.building.target import REFERENCE, Target
from mcutrain.host.search.board import overhead_of
from mcutrain.host.search.budget import (
    FLASH,
    INSTRUCTIONS,
    NO_OVERHEAD,
    RAM,
    Limits,
    Overhead,
    cost_of,
)
from mcutrain.host.shrinking.choice import Choice
from mcutrain.host.shrinking.prices import CutPrices
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.training_plan import TrainingPlan

BUILDS = 5  # at most, until what was built fits
UNLIMITED = 1 << 40  # bytes of RAM: no limit


@dataclass(frozen=True)
class Builder:
    """Builds plans for ``target``, if that is built for here. With ``counts`` the instructions of a
    step are counted, too."""

    target: Target
    counts: bool = False

    @property
    def builds(self) -> bool:
        return self.target.runs_here

    def overhead(self, plan: TrainingPlan) -> Overhead:
        """Of a build of ``plan``; nothing where none is built. Raises BudgetError if it is too
        large for its board, BuildError."""
        return overhead_of(plan, self.target, self.counts) if self.builds else NO_OVERHEAD

    def excess(self, plan: TrainingPlan, limits: Limits) -> Overhead:
        """By how much the plan's build is above the limits, or where none is built the plan;
        instructions by a factor of 1 or more. Raises BuildError."""
        return self.measured(plan, limits)[1]

    def measured(self, plan: TrainingPlan, limits: Limits) -> tuple[Overhead, Overhead]:
        """The overhead of the plan's build, and its ``excess``. Of a build that its board refuses
        only that is known. Raises BuildError."""
        try:
            overhead = self.overhead(plan)
        except BudgetError as err:
            return NO_OVERHEAD, self.refused(err)
        cost = cost_of(plan, limits.flash is not None, limits.instructions is not None)
        sums = limits.sums(cost, overhead)
        over = {what: max(0, round(needed - limit)) for what, (needed, limit) in sums.items()}
        instructions, most = sums.get(INSTRUCTIONS, (0.0, 1))
        factor = max(1.0, instructions / max(most, 1))
        return overhead, Overhead(over[RAM], over.get(FLASH, 0), factor)

    def refused(self, err: BudgetError) -> Overhead:
        """By how much a build is too large for the memory of its board."""
        over = err.needed_bytes - err.available_bytes
        is_flash = err.available_bytes == self.target.chip.flash_bytes
        return Overhead(flash=over) if is_flash else Overhead(over)


NOTHING_BUILT = Builder(Target.parse(REFERENCE))


def more(overhead: Overhead, excess: Overhead) -> Overhead:
    """An overhead, and what it was found to be too little by."""
    return Overhead(
        overhead.sram + excess.sram,
        overhead.flash + excess.flash,
        overhead.factor * excess.factor,
    )


def greater(a: Overhead, b: Overhead) -> Overhead:
    """The greater of each."""
    return Overhead(max(a.sram, b.sram), max(a.flash, b.flash), max(a.factor, b.factor))


def chosen(
    price: CutPrices, builder: Builder, choose: Callable[[CutPrices], Choice]
) -> tuple[Choice, Overhead]:
    """What ``choose`` chooses so that its build fits, and the overhead that it was chosen with.

    ``price`` has the overhead that is known so far. Raises BudgetError, as ``choose`` and a build
    do.
    """
    found = choose(price)
    for _ in range(BUILDS if builder.builds else 0):
        plan = price.plan_for_chip(found.cut.kept)
        measured, excess = builder.measured(plan, price.limits)
        if excess == NO_OVERHEAD:
            return found, price.overhead
        known = greater(price.overhead, measured)
        known = more(known, excess) if known == price.overhead else known
        price = replace(price, overhead=known, known={})
        last, found = found, choose(price)
        if last.cut.kept == found.cut.kept:
            builder.overhead(plan)  # refuses: what its board lacks has no limit
            break
    if builder.builds:
        raise does_not_fit(price.limits)
    return found, price.overhead


def does_not_fit(limits: Limits) -> BudgetError:
    return BudgetError(
        f"no smaller model fits when it is built, in {BUILDS} tries: give a larger budget",
        0,
        limits.sram,
    )
