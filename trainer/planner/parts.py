# SPDX-License-Identifier: Apache-2.0
"""A step's graph with regions of rows and of channels, where its arena is smallest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.tensor import Tensor
from mcutrain.trainer.planner.channel_choice import with_groups
from mcutrain.trainer.planner.lifetimes import demand
from mcutrain.trainer.planner.memory import MemoryPlan, plan_memory
from mcutrain.trainer.planner.row_choice import with_regions

GROUP_LIMITS = (100, 97, 94, 90)  # percent of the least bytes that must be live at once

Placed: TypeAlias = tuple[Graph, MemoryPlan]


def in_parts(
    graph: Graph,
    kept: set[Tensor],
    end: int,
    border: int,
    arriving: Tensor | None,
    anew: bool = False,
    thorough: bool = True,
) -> Iterator[Graph]:
    """The graph with regions of rows in its first ``end`` nodes, with ``anew`` in the others too,
    and if less is live at the most with them, with regions of channels in the others: first in
    groups as large as that allows, then, if ``thorough``, in smaller ones, which leave a placement
    more room. Last without."""

    def rows(graph: Graph) -> Graph:
        return with_regions(graph, kept, end, border, arriving, anew)

    whole = rows(graph)
    limit = demand(rows(with_groups(graph, kept, 0)), kept).live_at_once
    if limit < demand(whole, kept).live_at_once:
        for percent in GROUP_LIMITS if thorough else GROUP_LIMITS[:1]:
            yield rows(with_groups(graph, kept, limit * percent // 100))
    yield whole


def least(parts: Iterable[Graph], state: list[Tensor], kept: set[Tensor], thorough: bool) -> Placed:
    """The first of ``parts`` that is placed near its bound, else the one of the least arena."""
    best: Placed | None = None
    for part in parts:
        if best is None or demand(part, kept).lower_bound < best[1].arena_bytes:
            memory = plan_memory(part, state, keep=kept, thorough=thorough)
            if best is None or memory.arena_bytes < best[1].arena_bytes:
                best = part, memory
            if memory.is_near_bound:
                break
    assert best is not None
    return best
