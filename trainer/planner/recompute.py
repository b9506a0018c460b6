# SPDX-License-Identifier: Apache-2.0
"""Activations that the backward pass computes again instead of reading what was saved (Chen et al.
2016): each by a copy of its forward node, just before the first node that reads it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cached_property

from mcutrain.trainer.graph.graph import Graph, storage
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Role, Tensor

LONGEST = 16  # copies that one another need: bounds the time of planning


@dataclass(frozen=True)
class Recomputed:
    """The graph with copies of nodes, its first ``end`` nodes an inference; ``originals`` has the
    tensor of the forward pass that each tensor of a copy equals."""

    graph: Graph
    end: int
    copies: tuple[Node, ...] = ()
    originals: dict[Tensor, Tensor] = field(default_factory=dict)

    @property
    def macs(self) -> int:
        return sum(node.op.macs(node) for node in self.copies)

    @property
    def price(self) -> int:
        """MACs that are done twice, and values that are written twice."""
        return self.macs + sum(t.type.size for node in self.copies for t in node.outputs)


@dataclass(frozen=True)
class StepGraph:
    """A graph whose first ``end`` nodes are an inference, and what of it may be computed again.

    Nothing of the first ``border`` nodes is: a step that begins at the latent leaves them out. Nor
    is what needs ``arriving``, an input that is never whole.
    """

    graph: Graph
    keep: Collection[Tensor]
    end: int
    border: int = 0
    arriving: Tensor | None = None

    @cached_property
    def owner(self) -> dict[Tensor, Tensor]:
        return storage(self.graph)

    @cached_property
    def writers(self) -> dict[Tensor, list[int]]:
        """The nodes that write each tensor, or change it in place."""
        found: dict[Tensor, list[int]] = {}
        for k, node in enumerate(self.graph.nodes):
            for tensor in node.outputs:
                found.setdefault(tensor, []).append(k)
        return found

    @cached_property
    def saved(self) -> list[Tensor]:
        """What the backward pass reads of the forward pass and can be computed again; of several
        names of the same bytes the first."""
        kept = {self.owner[t] for t in self.keep if t in self.owner}
        made = [t for node in self.graph.nodes[self.border : self.end] for t in node.outputs]
        return [
            t for t in made if t in self.is_read and t not in kept and t.role is Role.ACTIVATION
        ]

    @cached_property
    def is_read(self) -> set[Tensor]:
        """What the backward pass reads, by the tensor in whose bytes it lies."""
        return {self.owner[t] for node in self.graph.nodes[self.end :] for t in node.inputs}

    def without(self, dropped: Collection[Tensor]) -> Recomputed | None:
        """The step with ``dropped``, some of ``saved``, computed again; None if it cannot be."""
        copier, nodes = Copier(self, dropped), list[Node]()
        for k, node in enumerate(self.graph.nodes[self.end :], self.end):
            for tensor in node.inputs:
                if self.owner[tensor] in dropped and not copier.copy(tensor, k):
                    return None
            nodes += copier.taken()
            inputs = tuple(copier.made[t] if self.owner[t] in dropped else t for t in node.inputs)
            nodes.append(node if inputs == node.inputs else replace(node, inputs=inputs))
        first = needed(self.graph.nodes[: self.end], nodes, self.keep)
        originals = {new: old for old, new in copier.made.items()}
        return Recomputed(Graph([*first, *nodes]), len(first), tuple(copier.all), originals)


class Copier:
    """Copies of a step's forward nodes, each made once."""

    def __init__(self, step: StepGraph, dropped: Collection[Tensor]) -> None:
        self.step, self.dropped = step, dropped
        self.made: dict[Tensor, Tensor] = {}
        self.all: list[Node] = []
        self._given = 0

    def taken(self) -> list[Node]:
        """The copies made since the last time."""
        begin, self._given = self._given, len(self.all)
        return self.all[begin:]

    def copy(self, tensor: Tensor, before: int, depth: int = 0) -> bool:
        """Make ``tensor`` again before node ``before``, and first what that needs and is not
        there; False if an input no longer has the value that it had."""
        if tensor in self.made:
            return True
        at = self.step.writers[tensor][0]
        node, inputs = self.step.graph.nodes[at], list[Tensor]()
        if node.op.mutates or depth == LONGEST:
            return False
        for source in node.inputs:
            if self.is_gone(source):
                if not self.copy(source, before, depth + 1):
                    return False
                inputs.append(self.made[source])
            elif self.has_changed(source, at, before):
                return False
            else:
                inputs.append(source)
        outputs = tuple(replace(t, name=f"{t.name}_anew") for t in node.outputs)
        self.made.update(zip(node.outputs, outputs, strict=True))
        self.all.append(Node(node.op, tuple(inputs), outputs, f"{node.name}_anew", node.index))
        return True

    def is_gone(self, source: Tensor) -> bool:
        """Whether a tensor's bytes are given up behind the forward pass. What is before the
        border stays instead."""
        step, owner = self.step, self.step.owner[source]
        if owner.role is not Role.ACTIVATION or step.writers[owner][0] < step.border:
            return False
        return owner in self.dropped or owner not in step.is_read

    def has_changed(self, source: Tensor, since: int, before: int) -> bool:
        """Whether a node between writes ``source``, as updates do, or it was never whole."""
        writers = self.step.writers.get(source, ())
        was_whole = self.step.owner[source] is not self.step.arriving
        return not was_whole or any(since < k < before for k in writers)


def needed(nodes: list[Node], behind: list[Node], keep: Collection[Tensor]) -> list[Node]:
    """Those of the forward pass that ``behind`` needs: not the mask that is made later."""
    wanted, found = {*keep, *(t for node in behind for t in node.inputs)}, list[Node]()
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            found.append(node)
    return found[::-1]
