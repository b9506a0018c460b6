# SPDX-License-Identifier: Apache-2.0
"""What training a cut model takes, from its exact plan, against what there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from mcutrain.host.budget.advice import MOST, Peak
from mcutrain.host.request import Request
from mcutrain.host.search.budget import NO_OVERHEAD, Cost, Limits, Overhead, cost_of
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.model import Model
from mcutrain.trainer.options import INT4
from mcutrain.trainer.planner.memory import bytes_covered
from mcutrain.trainer.shrinking.cut import Kept, cut_channels
from mcutrain.trainer.shrinking.groups import Groups
from mcutrain.trainer.shrinking.int4 import sized_as_int4, suited
from mcutrain.trainer.training_plan import TrainingPlan


@dataclass(frozen=True)
class Price:
    """Of a cut. ``excess`` is by how much the limits are passed, as shares of them, in all; 0 if it
    fits. ``crowding`` are the bytes in use above the arena that there is room for, summed over the
    calls of a step: it falls where ``excess`` cannot, as two places are equally full."""

    cost: Cost
    excess: float
    crowding: int


def planned(request: Request, model: Model, *, thorough: bool = False) -> TrainingPlan:
    """The plan of ``model``, even if its constants do not fit the flash that is asked for: then no
    weights are packed. Raises as a plan does else."""
    try:
        return request.plan_of(model, thorough=thorough)
    except BudgetError as err:
        if request.options.flash is None or err.available_bytes != request.options.flash:
            raise
        return request.but(flash=err.needed_bytes).plan_of(model, thorough=thorough)


def frozen_in_int4(request: Request, model: Model) -> list[int]:
    """The layers of ``model`` whose weights are to have 4 bits: those that do not learn, and that
    can. None where that is not asked for."""
    if request.options.frozen != INT4:
        return []
    return sorted(suited(model) - planned(request, model).scheme.ratios.keys())


@dataclass
class CutPrices:
    """The prices of the cuts of one model, each found once: which units stay does not count, only
    how many. Memories beside a chip's main RAM are left out: RAM is all RAM.

    ``overhead`` is what a build adds to the plan. Where frozen weights are to have 4 bits, a price
    is that of the plan with such weights.
    """

    request: Request
    model: Model
    groups: Groups
    limits: Limits
    overhead: Overhead = NO_OVERHEAD
    known: dict[tuple[tuple[str, int], ...], Price] = field(default_factory=dict)

    def __call__(self, kept: Kept) -> Price:
        """Raises ModelError, SchemeError if the model cannot be trained as it is asked for."""
        key = tuple((g.name, len(kept.get(g.name, range(g.units)))) for g in self.groups.groups)
        if key not in self.known:
            self.known[key] = self.price_of(self.plan_of(kept))
        return self.known[key]

    @cached_property
    def in_int4(self) -> list[int]:
        """The layers that are to have weights of 4 bits."""
        return frozen_in_int4(self.request, self.model)

    def sized(self, kept: Kept) -> Model:
        """A model that takes what the finished one will."""
        smaller = cut_channels(self.model, self.groups, kept, {})
        return sized_as_int4(smaller, self.in_int4) if self.in_int4 else smaller

    def plan_of(self, kept: Kept) -> TrainingPlan:
        request = self.request.on(replace(self.request.chip, beside=()))
        return planned(request, self.sized(kept))

    def plan_for_chip(self, kept: Kept) -> TrainingPlan:
        """As it is built: with all memories of the chip."""
        return planned(self.request, self.sized(kept), thorough=True)

    def price_of(self, plan: TrainingPlan) -> Price:
        limits = self.limits
        cost = cost_of(plan, limits.flash is not None, limits.instructions is not None)
        sums = limits.sums(cost, self.overhead).values()
        excess = sum(max(0.0, needed / max(limit, 1) - 1) for needed, limit in sums)
        room = limits.sram - self.overhead.sram - (cost.sram - cost.arena)
        return Price(cost, excess, crowding(plan, room) if excess else 0)

    def refusal(self, kept: Kept) -> BudgetError:
        """That not even this cut, the greatest, fits: what it takes, and what stands in the way."""
        plan = self.plan_of(kept)
        sums = self.limits.sums(self.price_of(plan).cost, self.overhead)
        what, (needed, limit) = max(sums.items(), key=lambda item: item[1][0] / max(item[1][1], 1))
        peak = Peak.of(plan)
        tensors = ", ".join(f"{name} {size:,}" for name, size in peak.tensors[:MOST])
        memory = f"arena {plan.memory.arena_bytes:,}, learned state {plan.memory.state_bytes:,}"
        if self.overhead.sram:
            memory += f", stack, link and other RAM {self.overhead.sram:,}"
        return BudgetError(
            f"no cut reaches {limit:,} {what}: with as few channels as can be, "
            f"{self.request.options.update_name} needs {needed:,.0f} ({memory}). The arena is "
            f"fullest at {peak.node} ({peak.operator}): {tensors}.{told(self.groups.stays)} Train "
            "fewer layers (--update), or give more",
            int(needed),
            limit,
        )


def crowding(plan: TrainingPlan, room: int) -> int:
    """Bytes in use above ``room``, summed over the calls of a step."""
    slots = set(plan.memory.slots.values())
    in_use = (
        bytes_covered(slot for slot in slots if slot.first <= step <= slot.last)
        for step in range(len(plan.graph.nodes))
    )
    return sum(max(0, found - room) for found in in_use)


def told(stays: Mapping[str, str]) -> str:
    """The layers that cannot be cut, for an error; "" if all can."""
    if not stays:
        return ""
    listed = "; ".join(f"{name}, {why}" for name, why in [*stays.items()][:MOST])
    more = f", and {len(stays) - MOST} more" if len(stays) > MOST else ""
    return f" Cannot be cut: {listed}{more}."
