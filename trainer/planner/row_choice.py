# SPDX-License-Identifier: Apache-2.0
"""Which nodes of the forward pass go row by row, so that the arena is smallest."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.graph import Graph, storage
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Tensor
from mcutrain.trainer.planner.lifetimes import aligned, demand, lifetimes
from mcutrain.trainer.planner.row_region import fuse, pipeline

LONGEST = 24  # nodes of one region, and those that read what arrives: bounds the time of planning


@dataclass
class Chooser:
    """The bytes that runs of the first ``end`` nodes hold at once, as regions or one by one.

    No region lies on both sides of ``border``. ``arriving`` is the input if it comes by rows. With
    ``anew`` runs of the other nodes are looked at too, of those that compute values anew.
    """

    graph: Graph
    keep: Collection[Tensor]
    end: int
    border: int
    arriving: Tensor | None
    anew: bool = False
    calls: list[KernelCall | None] = field(init=False)

    def __post_init__(self) -> None:
        self.stop = len(self.graph.nodes) if self.anew else self.end
        self.calls = [node.op.by_rows(node) for node in self.graph.nodes[: self.stop]]
        self.owner = storage(self.graph)
        self.life = lifetimes(self.graph, self.keep)
        self.size = {t: aligned(t.type.nbytes, t.type.alignment) for t in self.life}
        self.live = demand(self.graph, self.keep).live[1:]

    def others(self) -> int:
        """What no region can lower: the most that the nodes behind hold."""
        behind = enumerate(self.live[self.end : -1], self.end)
        return max((n for k, n in behind if k >= self.stop or not self.calls[k]), default=0)

    def may_fuse(self, first: int, last: int) -> bool:
        """Whether nodes first..last-1 can be one region."""
        parted = any(first < k < last for k in (self.border, self.end))
        return not parted and all(self.calls[k] for k in range(first, last))

    def cost(self, first: int, last: int) -> int:
        """Bytes that are held while nodes first..last-1 run as one region."""
        nodes = self.graph.nodes[first:last]
        calls = [call for call in self.calls[first:last] if call is not None]
        line = pipeline(nodes, calls)
        arriving = self.arriving if self.arriving in line.sources else None
        rings = line.rings(arriving)
        held = self.held_outside(first, last, arriving)
        for node, stage, kept in zip(nodes, line.stages, rings.kept, strict=True):
            if self.is_read_after(node.output, last):
                held += self.size[node.output]
            else:
                held += aligned(kept * stage.row_bytes, node.output.type.alignment)
        if arriving is not None:
            k = line.sources.index(arriving)
            held += aligned(rings.arriving[k] * line.row_bytes[k], arriving.type.alignment)
        return held - self.saved(nodes, line.sources, rings.distance, last)

    def held_outside(self, first: int, last: int, arriving: Tensor | None) -> int:
        """Bytes of the tensors that are there before node ``first`` and needed from it on."""
        return sum(
            self.size[t]
            for t, (start, end) in self.life.items()
            if start < first and end >= first and t is not arriving
        )

    def is_read_after(self, tensor: Tensor, last: int) -> bool:
        return self.life[self.owner[tensor]][1] >= last

    def saved(
        self,
        nodes: Sequence[Node],
        sources: Sequence[Tensor],
        distance: dict[tuple[int, int], int],
        last: int,
    ) -> int:
        """Bytes of the best pair of an output that lies over an input that is read no more."""
        best = 0
        for (s, k), below in distance.items():
            out, source = nodes[s].output, sources[k]
            if source is self.arriving:
                continue
            if not self.is_read_after(out, last) or self.is_read_after(source, last):
                continue
            out_size, source_size = self.size[out], self.size[self.owner[source]]
            span = max(out_size, below + source_size) if below >= 0 else out_size
            best = max(best, out_size + source_size - max(span, source_size))
        return best

    def may_be_region(self, first: int, last: int, must: int, floor: int) -> bool:
        """Whether nodes first..last-1 are worth a look: the first ``must`` nodes are in the region
        that the input arrives at; elsewhere there is something to gain."""
        if must and first < must:
            return first == 0 and last >= must
        return last - first > 1 and max(self.live[first:last]) > floor

    def segments(self) -> list[tuple[int, int]]:
        """Runs of nodes to fuse: those whose greatest need is least, and of those the fewest
        nodes. By dynamic programming over where a region ends."""
        floor = self.others()
        must = 0 if self.arriving is None else self.life[self.arriving][1] + 1
        best: list[tuple[int, int, int]] = [(0, 0, -1)]  # (bytes, fused nodes, where it began)
        for last in range(1, self.stop + 1):
            need, fused, _ = best[last - 1]
            alone = (1 << 62) if last <= must else max(self.live[last - 1], floor)
            found = (max(need, alone), fused, last - 1)
            for first in range(last - 1, max(-1, last - 1 - LONGEST - must), -1):
                if not self.may_fuse(first, last):
                    break
                need, fused, _ = best[first]
                if need > found[0] or not self.may_be_region(first, last, must, floor):
                    continue
                option = (max(need, self.cost(first, last), floor), fused + last - first, first)
                found = min(found, option)
            best.append(found)
        runs, last = [], self.stop
        while last > 0:
            first = best[last][2]
            if last - first > 1 or first < must:
                runs.append((first, last))
            last = first
        return runs[::-1]


def with_regions(
    graph: Graph,
    keep: Collection[Tensor],
    end: int,
    border: int = 0,
    arriving: Tensor | None = None,
    anew: bool = False,
) -> Graph:
    """The graph with runs of its first ``end`` nodes fused, none across ``border``; with ``anew``
    runs of the others too.

    ``arriving`` is the input if samples come row by row. Raises ModelError if they cannot: the
    input is read by something that needs it whole.
    """
    chooser = Chooser(graph, keep, end, border, arriving, anew)
    if arriving is not None:
        must = chooser.life[arriving][1] + 1
        if must > end or not chooser.may_fuse(0, must):
            reader = graph.nodes[must - 1]
            raise ModelError(
                f"samples cannot arrive row by row: {reader.name} ({type(reader.op).__name__}) "
                "needs the input whole; leave the first layers frozen, or keep the input resident"
            )
    nodes, done = [], 0
    for first, last in chooser.segments():
        run = graph.nodes[first:last]
        read_later = {node.output for node in run if chooser.is_read_after(node.output, last)}
        nodes += graph.nodes[done:first]
        comes = arriving if any(arriving in node.inputs for node in run) else None
        nodes.append(fuse(run, read_later, comes))
        done = last
    return Graph(nodes + graph.nodes[done:])
