# SPDX-License-Identifier: Apache-2.0
"""Regions drawn at random, worth it or not, so that every kind of them is tried."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.tensor import Tensor
from mcutrain.trainer.planner.channel_choice import Finder, grouped
from mcutrain.trainer.planner.channel_region import ChannelRegion
from mcutrain.trainer.planner.row_choice import Chooser, with_regions


def drawn_groups(graph: Graph, rng: np.random.Generator) -> Graph:
    """The graph with every chain as a region, whole or its end, of groups of any size."""
    end = len(graph.nodes)
    for chains in reversed(list(Finder(graph).chains())):
        if max(chain.end for chain in chains) <= end:
            chain = chains[int(rng.integers(len(chains)))]
            end = chains[0].first
            channels = channels_of(grouped(graph, chain, 1))
            graph = grouped(graph, chain, int(rng.integers(1, channels + 1)))
    return graph


def channels_of(graph: Graph) -> int:
    """Of the first region."""
    return next(n.op.channels for n in graph.nodes if isinstance(n.op, ChannelRegion))


def force(with_groups: Callable[..., Graph], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let plans have the regions of channels that ``with_groups`` makes, worth it or not."""

    def in_parts(graph: Graph, kept: set[Tensor], end: int, *rows: object) -> list[Graph]:
        return [with_regions(with_groups(graph), kept, end, *rows[:3])]  # type: ignore[arg-type]

    monkeypatch.setattr("mcutrain.trainer.plan.in_parts", in_parts)


def drawn_runs(chooser: Chooser, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Random runs that may be regions, the first one with all readers of what arrives."""
    must = 0 if chooser.arriving is None else chooser.life[chooser.arriving][1] + 1
    runs, at = [], 0
    while at < chooser.stop:
        size = int(rng.integers(1, 7))
        last = max(min(at + size, chooser.stop), must if at == 0 else 0)
        while last > at + 1 and last > must and not chooser.may_fuse(at, last):
            last -= 1
        if chooser.may_fuse(at, last) and (last > at + 1 or last <= must):
            runs.append((at, last))
        at = last
    return runs
