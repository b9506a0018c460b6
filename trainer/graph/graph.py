# SPDX-License-Identifier: Apache-2.0
"""The training graph: nodes in execution order. Gradients and updates are nodes too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.op import Node, Op
from mcutrain.trainer.graph.tensor import Role, Tensor


@dataclass
class Graph:
    """Nodes in topological order; the order is the schedule. Built by ``add``."""

    nodes: list[Node] = field(default_factory=list)

    def add(self, op: Op, *inputs: Tensor, name: str, index: int) -> tuple[Tensor, ...]:
        """Append ``op`` applied to ``inputs`` and return its new output tensors.

        Raises ModelError if the op rejects the input types.
        """
        try:
            types = op.infer(*(t.type for t in inputs))
        except ValueError as err:
            raise ModelError(f"operator {index} ({name}): {err}") from err
        suffixes = op.output_suffixes[: len(types)]
        new = tuple(
            Tensor(f"{name}{suffix}", type_, Role.ACTIVATION, limits=op.limits())
            for suffix, type_ in zip(suffixes, types, strict=True)
        )
        changed = tuple(inputs[k] for k in op.mutates)
        self.nodes.append(Node(op, inputs, new + changed, name, index))
        return new

    @property
    def tensors(self) -> list[Tensor]:
        """Every tensor once, in order of first use."""
        seen: dict[Tensor, None] = {}
        for node in self.nodes:
            seen.update(dict.fromkeys((*node.inputs, *node.outputs)))
        return list(seen)

    def readers(self, tensor: Tensor) -> Iterator[Node]:
        return (node for node in self.nodes if tensor in node.inputs)

    def producer(self, tensor: Tensor) -> Node | None:
        """The node that wrote ``tensor`` first; None for an input or a constant."""
        return next((n for n in self.nodes if tensor in n.outputs), None)

    def __str__(self) -> str:
        return "\n".join(f"{k:3}  {node!r}" for k, node in enumerate(self.nodes))


def prune(graph: Graph, keep: set[Tensor]) -> Graph:
    """Drop every node that neither a tensor in ``keep`` nor an in-place op needs."""
    needed, kept = set(keep), []
    for node in reversed(graph.nodes):
        if node.op.mutates or needed.intersection(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    return Graph(kept[::-1])


def storage(graph: Graph) -> dict[Tensor, Tensor]:
    """The tensor in whose bytes each tensor lies: its own, or an alias's source."""
    owner = {t: t for t in graph.tensors}
    for node in graph.nodes:
        if node.op.alias:
            owner[node.output] = owner[node.inputs[0]]
    return owner
