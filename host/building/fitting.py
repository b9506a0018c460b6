# SPDX-License-Identifier: Apache-2.0
"""Whether a plan, and its firmware, fit a target: with what takes the bytes where they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcutrain.host.building.source import constant_bytes, copied_constant_bytes
from mcutrain.host.building.target import Target, TargetKind
from mcutrain.host.errors import BuildError
from mcutrain.trainer.chip import FRAMES
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.planner.memory import ARENA
from mcutrain.trainer.training_plan import TrainingPlan

if TYPE_CHECKING:
    from mcutrain.host.measure.footprint import Footprint

MOST_BYTES_OF_16_BITS = 32767  # of an array, where a difference of pointers has 16 bits


def check_before_build(plan: TrainingPlan, target: Target) -> None:
    """Raises BuildError, BudgetError for what can be seen before a compiler runs."""
    check_chip(plan, target)
    check_budget(plan, target)
    if target.kind is TargetKind.REAL:
        check_real_fit(plan, target)


def check_chip(plan: TrainingPlan, target: Target) -> None:
    """Raises BuildError for a plan of another chip, or of a store where there is no flash for it;
    one of the generic chip runs on any."""
    if not plan.chip.is_generic and plan.chip != target.chip:
        raise BuildError(
            f"the plan is for {plan.chip.name}, not for {target.name}: plan for the target that "
            "is built for"
        )
    if plan.options.store and target.kind is TargetKind.CORE:
        raise BuildError(f"{target.name}: a core alone has no flash: leave --store out")


def check_budget(plan: TrainingPlan, target: Target) -> None:
    """Raises BudgetError if arena, state, kept latents, the next sample and constants that are
    copied alone exceed the board's main RAM, or kept latents its flash, where constants lie."""
    available = target.chip.ram_bytes
    copied = copied_constant_bytes(plan, target.chip)
    needed = plan.memory.ram_bytes[ARENA] + plan.held_bytes + copied
    if available and needed > available:
        constants = f", {copied:,} of them for constants, which pointers reach in RAM only"
        raise BudgetError(
            f"training needs {needed:,} bytes of RAM for arena and learned state alone"
            f"{constants if copied else ''}; "
            f"{target.name} has {available:,}; the arena is fullest at "
            f"{plan.memory.peak(plan.graph).name}. Train fewer or later layers",
            needed,
            available,
        )
    if plan.latents.flash is None:
        return
    if target.chip.word_bytes == 2 and plan.latents.flash.latents.nbytes > MOST_BYTES_OF_16_BITS:
        raise BudgetError(
            f"latents in flash are one array of {plan.latents.flash.latents.nbytes:,} bytes; "
            f"the compiler for {target.name} takes {MOST_BYTES_OF_16_BITS:,}: give fewer samples "
            "to --flash-latents",
            plan.latents.flash.latents.nbytes,
            MOST_BYTES_OF_16_BITS,
        )
    available, needed = target.chip.flash_bytes, constant_bytes(plan)
    if available and needed > available:
        raise BudgetError(
            f"constants need {needed:,} bytes of flash, {target.name} has {available:,}; "
            f"{plan.latents.flash.nbytes:,} of them are latents: give fewer samples to "
            "--flash-latents",
            needed,
            available,
        )


def check_real_fit(plan: TrainingPlan, target: Target) -> None:
    """Raises BudgetError if what is known before a build exceeds a real board."""
    chip = target.chip
    ram = {
        "arena": plan.memory.regions[ARENA],
        "learned": plan.memory.ram_bytes[ARENA] - plan.memory.regions[ARENA],
        "stack": chip.stack_bytes,
        "link": FRAMES * chip.payload_bytes,
        "latents": plan.slot_bytes,
        "next sample": plan.ahead_bytes,
        "record": plan.record_bytes,
        "constants": copied_constant_bytes(plan, chip),
    }
    refuse_excess(plan, target, ram, {"constants": constant_bytes(plan)})


def check_fit(plan: TrainingPlan, target: Target, found: Footprint, stack_bytes: int) -> None:
    """Raises BudgetError, with what takes the bytes, if a measured firmware exceeds its board."""
    other_ram = sum(found.other_ram_bytes.values()) - found.stack_headroom_bytes
    named = {
        "latents": "latents", "ahead": "next sample", "record": "record", "constants": "constants"
    }  # fmt: skip
    own = {
        name: found.other_ram_bytes[key]
        for key, name in named.items()
        if key in found.other_ram_bytes
    }
    ram = {
        "arena": plan.memory.regions[ARENA],
        "learned": plan.memory.ram_bytes[ARENA] - plan.memory.regions[ARENA],
        "stack": stack_bytes,
        "link": found.link_bytes,
        **own,
        "other": other_ram - sum(own.values()),
    }
    flash = {
        "constants": found.constant_bytes,
        "code": found.code_bytes,
        "other": sum(found.other_flash_bytes.values()),
    }
    refuse_excess(plan, target, ram, flash)


def refuse_excess(
    plan: TrainingPlan, target: Target, ram: dict[str, int], flash: dict[str, int]
) -> None:
    """Raises BudgetError, with the parts that take bytes, if they exceed the board's memory."""
    chip = target.chip
    for memory, parts, available, advice in (
        ("RAM", ram, chip.ram_bytes, "train fewer or later layers"),
        ("flash", flash, chip.flash_bytes, "take a smaller model"),
    ):
        needed = sum(parts.values())
        if available is not None and needed > available:
            listed = ", ".join(f"{name} {nbytes:,}" for name, nbytes in parts.items() if nbytes)
            raise BudgetError(
                f"{plan.name}, {plan.scheme.name}: needs {needed:,} bytes of {memory} ({listed}), "
                f"{needed - available:,} more than the {available:,} of {target.name}; {advice}, "
                "or take a larger board",
                needed,
                available,
            )
