# SPDX-License-Identifier: Apache-2.0
"""What a build on a board adds to a plan: measured, where a search has a board as its target."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target, TargetKind
from mcutrain.host.cost import measured
from mcutrain.host.search.budget import Overhead, cost_of
from mcutrain.host.simulation.instructions import read_counts
from mcutrain.host.training.runners import simulated
from mcutrain.trainer.errors import Error
from mcutrain.trainer.training_plan import TrainingPlan


def overhead_of(plan: TrainingPlan, target: Target, counts: bool) -> Overhead:
    """Of one build of ``plan``; with ``counts`` the instructions of one step are counted.

    Raises BuildError, BudgetError. Without a footprint, as of a native build on some computers,
    the bytes are 0; native steps are not counted.
    """
    built = build(plan, target)
    cost, known = measured(built), cost_of(plan, True)
    sram = cost["sram_bytes"] - known.sram if cost["sram_bytes"] is not None else 0
    flash = cost["flash_bytes"] - known.constants if cost["flash_bytes"] is not None else 0
    factor = 1.0
    if counts and target.kind is TargetKind.SIMULATED:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "counts"
            with simulated(built, path) as runner:
                runner.reset(0)
                sample = np.zeros(plan.task.input.type.size, np.int8)
                values = np.zeros(() if plan.takes_label else plan.task.logits.type.size, np.int8)
                runner.step(sample, values, False)
            steps = read_counts(path).get("step")
        if not steps:
            raise Error(f"no step was counted on {target.name}")
        factor = steps[0] / known.macs
    return Overhead(sram, flash, factor)
