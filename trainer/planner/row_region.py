# SPDX-License-Identifier: Apache-2.0
"""A region: a run of nodes that is executed row by row, so that what lies between them is never
whole (docs/adr/0006-regions.md)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mcutrain.trainer.graph.call import KernelCall, Row, Scratch
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Node, Op
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType
from mcutrain.trainer.planner.row_ring import External, Read, Rings, Stage, rings


@dataclass(frozen=True)
class Pipeline:
    """The stages of a run of nodes, and the tensors from outside that they read by rows."""

    calls: tuple[KernelCall, ...]
    stages: tuple[Stage, ...]
    sources: tuple[Tensor, ...]
    row_bytes: tuple[int, ...]  # of ``sources``

    def rings(self, arriving: Tensor | None = None) -> Rings:
        """The rows to keep. ``arriving`` is the source that comes row by row."""
        each = zip(self.sources, self.row_bytes, strict=True)
        return rings(self.stages, tuple(External(size, t is arriving) for t, size in each))


def pipeline(nodes: Sequence[Node], calls: Sequence[KernelCall]) -> Pipeline:
    """``calls`` are those of one row each (``Op.by_rows``)."""
    made: dict[Tensor, int] = {}
    sources: dict[Tensor, int] = {}
    row_bytes: list[int] = []
    stages = []
    for s, (node, call) in enumerate(zip(nodes, calls, strict=True)):
        *inputs, out = (arg for arg in call.args if isinstance(arg, Row))
        reads = []
        for arg in inputs:
            if arg.tensor not in made and arg.tensor not in sources:
                sources[arg.tensor] = len(sources)
                row_bytes.append(arg.nbytes)
            source = made[arg.tensor] if arg.tensor in made else -1 - sources[arg.tensor]
            reads.append(Read(source, arg.height, arg.window))
        stages.append(Stage(out.height, out.nbytes, tuple(reads)))
        made[node.output] = s
    return Pipeline(tuple(calls), tuple(stages), tuple(sources), tuple(row_bytes))


@dataclass(frozen=True, eq=False)
class Composite(Op):
    """``nodes`` in their order, as one node."""

    nodes: tuple[Node, ...]

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        raise NotImplementedError("a region is made of nodes that have their types")

    def run(self, values: dict[Tensor, Array]) -> None:
        """The nodes one after another: in parts or not, the bits are the same."""
        for node in self.nodes:
            outputs = node.op.reference(node, *(values[t] for t in node.inputs))
            values.update(zip(node.outputs, outputs, strict=True))

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        values = dict(zip(node.inputs, inputs, strict=True))
        self.run(values)
        return tuple(values[t] for t in node.outputs)

    def macs(self, node: Node) -> int:
        return sum(inner.op.macs(inner) for inner in self.nodes)


def operations(graph: Graph) -> list[Node]:
    """The nodes in their order; of composites those that they are made of."""
    parts = (n.op.nodes if isinstance(n.op, Composite) else (n,) for n in graph.nodes)
    return [node for part in parts for node in part]


@dataclass(frozen=True, eq=False)
class RowRegion(Composite):
    """For each of the nodes the call of one row. The outputs are the tensors that
    are read outside. The others, and an input that ``arrives``, keep a few rows in a ring."""

    pipeline: Pipeline
    kept: dict[Tensor, int]  # rows, of the tensors that are not whole
    distances: dict[tuple[Tensor, Tensor], int]
    arriving: Tensor | None = None

    def rings(self, node: Node) -> dict[Tensor, int]:
        return {
            row.tensor: self.kept[row.tensor] * row.nbytes
            for call in self.pipeline.calls
            for row in call.args
            if isinstance(row, Row) and row.tensor in self.kept
        }

    def scratch_bytes(self, node: Node) -> int:
        """For the calls of all rows, one after another."""
        pairs = zip(self.nodes, self.pipeline.calls, strict=True)
        return max(
            inner.op.scratch_bytes(inner) if Scratch() in call.args else 0 for inner, call in pairs
        )

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        return {
            (node.outputs.index(out), node.inputs.index(source)): below
            for (out, source), below in self.distances.items()
            if source is not self.arriving
        }

    def kept_rows(self, row: Row) -> int:
        """How many rows of a tensor there are: in a ring, or all."""
        return self.kept.get(row.tensor, row.height)


def fuse(nodes: Sequence[Node], outside: Collection[Tensor], arriving: Tensor | None) -> Node:
    """The nodes, all of which have a call of one row, as a region. ``outside`` are the tensors
    that others read; ``arriving`` is the input if it comes row by row."""
    calls = [call for node in nodes if (call := node.op.by_rows(node)) is not None]
    line = pipeline(nodes, calls)
    found = line.rings(arriving)
    outputs = tuple(node.output for node in nodes if node.output in outside)
    made = {node.output for node in nodes}
    inputs = dict.fromkeys(t for node in nodes for t in node.inputs if t not in made)
    kept = {
        node.output: rows
        for node, rows in zip(nodes, found.kept, strict=True)
        if node.output not in outside
    }
    if arriving is not None:
        kept[arriving] = found.arriving[line.sources.index(arriving)]
    distances = {
        (nodes[s].output, line.sources[k]): below
        for (s, k), below in found.distance.items()
        if nodes[s].output in outside
    }
    op = RowRegion(tuple(nodes), line, kept, distances, arriving)
    name = f"{nodes[0].name}_to_{nodes[-1].name}"
    return Node(op, tuple(inputs), outputs, name, nodes[0].index)
