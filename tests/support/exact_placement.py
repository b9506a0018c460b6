# SPDX-License-Identifier: Apache-2.0
"""The least arena of a Demand, by OR-Tools' CP-SAT: what the planner is held against.

Blocks are rectangles of calls and bytes that do not overlap. An input that an output may share
bytes with ends half a call earlier; what that leaves open is stated pair by pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mcutrain.trainer.planner.lifetimes import Demand


@dataclass(frozen=True)
class Exact:
    """The least end that was found, whether it is proved, and the least that was not ruled out."""

    nbytes: int
    is_proved: bool
    bound: float


def exact_arena(demand: Demand, effort: float, limit: int) -> Exact:
    """Of arenas of up to ``limit`` bytes, which is known to suffice.

    ``effort`` is the solver's deterministic time, about a second each: the same answer everywhere.
    """
    from ortools.sat.python import cp_model

    model: Any = cp_model.CpModel()
    blocks = demand.blocks
    unit = min((b.alignment for b in blocks), default=1)
    offsets = [
        model.new_int_var(0, (limit - b.size) // unit, f"o{k}") for k, b in enumerate(blocks)
    ]
    sizes = [b.size // unit for b in blocks]
    end = model.new_int_var(-(-demand.lower_bound // unit), limit // unit, "end")
    inputs = {source for _, source in demand.overlays}
    spans, rows = [], []
    for k, (block, offset, size) in enumerate(zip(blocks, offsets, sizes, strict=True)):
        length = 2 * (block.last - block.first) + (0 if k in inputs else 1)
        if length:
            spans.append(model.new_fixed_size_interval_var(2 * block.first, length, f"t{k}"))
            rows.append(model.new_fixed_size_interval_var(offset, size, f"b{k}"))
        model.add(offset + size <= end)
    model.add_no_overlap_2d(spans, rows)

    def apart(low: int, high: int, distance: int, or_low: int, or_high: int) -> None:
        """offset[low] + distance <= offset[high], or or_low's end <= offset[or_high]."""
        first = model.new_bool_var("")
        model.add(offsets[low] + distance <= offsets[high]).only_enforce_if(first)
        other = offsets[or_low] + sizes[or_low] <= offsets[or_high]
        model.add(other).only_enforce_if(first.negated())

    for k in inputs:
        call = blocks[k].last
        for j, other in enumerate(blocks):
            if j == k or not other.first <= call <= other.last:
                continue
            if (j, k) in demand.overlays:
                apart(j, k, -(-demand.overlays[j, k] // unit), k, j)
            elif other.first == call or blocks[k].first == call or (j in inputs and j > k):
                apart(j, k, sizes[j], k, j)
    model.minimize(end)
    solver: Any = cp_model.CpSolver()
    solver.parameters.max_deterministic_time = effort
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Exact(limit, status == cp_model.INFEASIBLE, solver.best_objective_bound * unit)
    found = int(solver.objective_value) * unit
    return Exact(found, status == cp_model.OPTIMAL, solver.best_objective_bound * unit)
