# SPDX-License-Identifier: Apache-2.0
"""What a build on a board adds to a plan: measured, where a search has a board as its target."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from mcutrain.host.building.firmware import Build, build
from mcutrain.host.building.target import Target, TargetKind
from mcutrain.host.cost import measured
from mcutrain.host.search.budget import Overhead, cost_of
from mcutrain.host.simulation.instructions import read_counts, summary
from mcutrain.host.training.runners import simulated
from mcutrain.trainer.errors import Error
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.training_plan import TrainingPlan

COUNTED_STEPS = 4  # the first, which is another, and three


def overhead_of(plan: TrainingPlan, target: Target, counts: bool) -> Overhead:
    """Of one build of ``plan``; with ``counts`` the instructions of a step are counted.

    Raises BuildError, BudgetError. Without a footprint, as of a native build on some computers,
    the bytes are 0; native steps are not counted.
    """
    built = build(plan, target)
    cost, known = measured(built), cost_of(plan, True)
    sram = cost["sram_bytes"] - known.sram if cost["sram_bytes"] is not None else 0
    flash = cost["flash_bytes"] - known.constants if cost["flash_bytes"] is not None else 0
    is_counted = counts and target.kind is TargetKind.SIMULATED
    factor = instructions_of_step(built) / known.macs if is_counted else 1.0
    return Overhead(sram, flash, factor)


def instructions_of_step(built: Build) -> float:
    """What a step takes in the steady state (host.simulation.instructions), of random samples."""
    task, rng = built.plan.task, np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "counts"
        with simulated(built, path) as runner:
            runner.reset(0)
            for k in range(COUNTED_STEPS):
                sample = rng.integers(-128, 128, task.input.type.size).astype(np.int8)
                target = np.array(k % 2) if built.plan.takes_label else zeros_like(task.logits)
                runner.step(sample, target, False)
        steps = read_counts(path).get("step", [])
    found = summary("step", steps)["median"] if steps else None
    if found is None:
        raise Error(f"no step was counted on {built.target.name}")
    return found


def zeros_like(tensor: Tensor) -> Array:
    return np.zeros(tensor.type.size, np.int8)
