# SPDX-License-Identifier: Apache-2.0
"""What a build on a board adds to a plan: measured, where a search has a board as its target."""

from __future__ import annotations

from mcutrain.host.building.firmware import Build, build
from mcutrain.host.building.target import Target, TargetKind
from mcutrain.host.cost import measured
from mcutrain.host.search.budget import Overhead, cost_of
from mcutrain.host.simulation.counting import unit_of
from mcutrain.host.simulation.counts import Unit
from mcutrain.host.training.random_steps import profiled
from mcutrain.trainer.training_plan import TrainingPlan


def overhead_of(plan: TrainingPlan, target: Target, counts: bool) -> Overhead:
    """Of one build of ``plan``; with ``counts`` the instructions of a step are counted,
    if the board's emulator counts those.

    Raises BuildError, BudgetError. Without a footprint, as of a native build on some computers,
    the bytes are 0; native steps are not counted.
    """
    built = build(plan, target)
    is_counted = counts and counts_instructions(target)
    cost, known = measured(built), cost_of(plan, True, is_counted)
    sram = cost["sram_bytes"] - known.sram if cost["sram_bytes"] is not None else 0
    flash = cost["flash_bytes"] - known.constants if cost["flash_bytes"] is not None else 0
    factor = instructions_of_step(built) / known.instructions if is_counted else 1.0
    return Overhead(sram, flash, factor)


def counts_instructions(target: Target) -> bool:
    """Whether it is a board of which instructions are counted, as predictions are made in them."""
    return target.kind is TargetKind.SIMULATED and unit_of(target.board) is Unit.INSTRUCTIONS


def instructions_of_step(built: Build) -> int:
    """What a step takes in the steady state, of random samples."""
    return profiled(built)["step"].count
