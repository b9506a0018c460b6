# SPDX-License-Identifier: Apache-2.0
"""What a scheme costs against what there is: bytes of RAM and flash, instructions of a step."""

from __future__ import annotations

from dataclasses import dataclass, field

from mcutrain.host.boards import core_of
from mcutrain.host.building.source import constant_bytes
from mcutrain.host.prediction.predict import predict
from mcutrain.host.request import Request
from mcutrain.trainer.errors import BudgetError, ModelError, SchemeError
from mcutrain.trainer.model import Model
from mcutrain.trainer.options import Scheme
from mcutrain.trainer.training_plan import TrainingPlan

RAM, FLASH, INSTRUCTIONS = "bytes of RAM", "bytes of flash", "instructions a step"


@dataclass(frozen=True)
class Overhead:
    """What a build adds to the plan: stack, link and other RAM; code and other flash; and how many
    instructions of a step were counted for each that was predicted."""

    sram: int = 0
    flash: int = 0
    factor: float = 1.0


NO_OVERHEAD = Overhead()


@dataclass(frozen=True)
class Cost:
    """Of a scheme, by its plan alone: bytes of arena, learned state and constants, MACs of a
    step and its predicted instructions; bytes held beside arena and state (``held_bytes``)."""

    arena: int
    learned: int
    constants: int
    macs: int
    held: int = 0
    instructions: int = 0

    @property
    def sram(self) -> int:
        return self.arena + self.learned + self.held


@dataclass(frozen=True)
class Limits:
    """What there is; None is no limit."""

    sram: int
    flash: int | None = None
    instructions: int | None = None

    def sums(self, cost: Cost, overhead: Overhead = NO_OVERHEAD) -> dict[str, tuple[float, int]]:
        """(what is needed, what there is) of each limit."""
        found: dict[str, tuple[float, int]] = {RAM: (cost.sram + overhead.sram, self.sram)}
        if self.flash is not None:
            found[FLASH] = (cost.constants + overhead.flash, self.flash)
        if self.instructions is not None:
            needed = round(cost.instructions * overhead.factor)
            found[INSTRUCTIONS] = (needed, self.instructions)
        return found


def cost_of(plan: TrainingPlan, with_constants: bool, with_instructions: bool = False) -> Cost:
    """Constants and instructions, which take longer to find than the rest, are 0 without."""
    memory = plan.memory
    return Cost(
        memory.arena_bytes,
        memory.state_bytes,
        constant_bytes(plan) if with_constants else 0,
        plan.step_macs,
        plan.held_bytes,
        predict(plan, core_of(plan.chip.name)).step if with_instructions else 0,
    )


Key = tuple[tuple[tuple[int, float], ...], tuple[int, ...]]


def key_of(scheme: Scheme) -> Key:
    """What learns, to be found again by."""
    return tuple(sorted(scheme.ratios.items())), tuple(sorted(scheme.biases))


@dataclass
class Pricer:
    """The costs of the schemes of one request, each found once, against its limits."""

    request: Request
    model: Model
    limits: Limits
    overhead: Overhead = NO_OVERHEAD
    known: dict[Key, Cost | None] = field(default_factory=dict)

    def cost(self, scheme: Scheme) -> Cost | None:
        """None if the model cannot train so."""
        key = key_of(scheme)
        if key not in self.known:
            self.known[key] = self.price(scheme)
        return self.known[key]

    def price(self, scheme: Scheme) -> Cost | None:
        try:
            plan = self.request.but(update=scheme).plan_of(self.model, thorough=False)
        except (ModelError, SchemeError, BudgetError):
            return None
        return self.cost_of(plan, self.limits.flash is not None)

    def cost_of(self, plan: TrainingPlan, with_constants: bool) -> Cost:
        """With instructions, where they are limited."""
        return cost_of(plan, with_constants, self.limits.instructions is not None)

    def sums(self, cost: Cost) -> dict[str, tuple[float, int]]:
        """(what is needed, what there is) of each limit."""
        return self.limits.sums(cost, self.overhead)

    def excess(self, cost: Cost) -> float:
        """By how much the worst limit is passed, as a share of it; 0 or less if it fits."""
        return max(needed / max(limit, 1) - 1 for needed, limit in self.sums(cost).values())

    def fits(self, scheme: Scheme) -> bool:
        cost = self.cost(scheme)
        return cost is not None and self.excess(cost) <= 0

    def check(self, least: Scheme) -> None:
        """Raises BudgetError if not even ``least``, the head alone, fits; other errors as plans."""
        cost = self.cost_of(self.request.but(update=least).plan_of(self.model), True)
        for what, (needed, limit) in self.sums(cost).items():
            if needed > limit:
                raise BudgetError(
                    f"nothing fits: training the head alone needs {needed:,.0f} {what}, the budget "
                    f"is {limit:,}: {needed - limit:,.0f} more",
                    int(needed),
                    limit,
                )
