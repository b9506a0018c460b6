# SPDX-License-Identifier: Apache-2.0
"""The part of a model that keeps state, run for each input of a sequence (docs/adr/0090)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

from mcutrain.trainer.graph.graph import Graph, storage
from mcutrain.trainer.graph.op import Node, variant_for
from mcutrain.trainer.graph.tensor import Array, Role, Tensor, TensorType
from mcutrain.trainer.planner.lifetimes import aligned
from mcutrain.trainer.planner.memory import Slot, plan_memory
from mcutrain.trainer.planner.row_region import Composite

MAX_RESULTS = 32  # tensors that are read behind a sequence


@dataclass(frozen=True, eq=False)
class SequenceState:
    """A tensor that keeps its value from input to input: what it is at first, and what it is set to
    behind each."""

    tensor: Tensor
    following: Tensor
    initial: Array

    @property
    def is_uniform(self) -> bool:
        """Whether all of it is one byte at first."""
        raw = self.initial.tobytes()
        return raw == raw[:1] * len(raw)


@dataclass(frozen=True, eq=False)
class Sequence(Composite):
    """``window`` is ``steps`` times ``single``; for each in turn the nodes run, then the states
    move on. ``results`` are what is read behind the last: the outputs.

    Tensors of the role STATE have a place outside: single, states and results. The others lie in
    the node's scratch memory, at ``inside``.
    """

    is_frozen = True
    output_suffixes: ClassVar[tuple[str, ...]] = ("", *(f"_{k}" for k in range(1, MAX_RESULTS)))
    window: Tensor
    single: Tensor
    states: tuple[SequenceState, ...]
    results: tuple[Tensor, ...]
    steps: int
    outputs: tuple[Tensor, ...] = ()  # of the node
    inside: dict[Tensor | Node, Slot] = field(default_factory=dict)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        return tuple(t.type for t in self.results)

    def begin(self) -> dict[Tensor, Array]:
        """The states before the first input."""
        return {s.tensor: s.initial for s in self.states}

    def advance(
        self, single: Array, states: dict[Tensor, Array], constants: dict[Tensor, Array]
    ) -> tuple[dict[Tensor, Array], dict[Tensor, Array]]:
        """(all values of one input, the states behind it)."""
        values = {**constants, **states, self.single: single.reshape(self.single.type.shape)}
        for node in self.nodes:
            outputs = node.op.reference(node, *(values[t] for t in node.inputs))
            values.update(zip(node.outputs, outputs, strict=True))
        return values, {s.tensor: values[s.following] for s in self.states}

    def constants(self) -> dict[Tensor, Array]:
        return {t: t.data for node in self.nodes for t in node.inputs if t.data is not None}

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        values, states, constants = dict[Tensor, Array](), self.begin(), self.constants()
        for single in inputs[0].reshape(self.steps, -1):
            values, states = self.advance(single, states, constants)
        return tuple(values[t] for t in self.results)

    def run(self, values: dict[Tensor, Array]) -> None:
        node = Node(self, (self.window,), self.results, "sequence", 0)
        found = self.reference(node, values[self.window])
        values.update(zip(self.outputs, found, strict=True))

    def macs(self, node: Node) -> int:
        return self.steps * super().macs(node)

    def scratch_bytes(self, node: Node) -> int:
        return max((slot.end for slot in self.inside.values()), default=0)

    @property
    def owners(self) -> dict[Tensor, Tensor]:
        """The tensor in whose bytes each of the nodes' tensors lies."""
        return storage(Graph(list(self.nodes)))

    @property
    def state_bytes(self) -> int:
        """Static memory of the states."""
        return sum(aligned(s.tensor.type.nbytes, s.tensor.type.alignment) for s in self.states)

    def __repr__(self) -> str:
        """Names what it computes, for the hash of the arithmetic; the constants are inputs."""
        digest = hashlib.sha256()
        number: dict[Tensor, int] = {self.single: 0}
        for part in self._told(number):
            digest.update(part)
        return f"Sequence({self.steps}, {digest.hexdigest()[:16]})"

    def _told(self, number: dict[Tensor, int]) -> Iterator[bytes]:
        for s in self.states:
            number.setdefault(s.tensor, len(number))
            yield f"{s.tensor.type}".encode() + s.initial.tobytes()
        for node in self.nodes:
            wires = [number.setdefault(t, len(number)) for t in (*node.inputs, *node.outputs)]
            types = [f"{t.type}" for t in node.outputs]
            yield f"{node.op!r} {wires} {types}".encode()
        ends = [number[t] for t in (*(s.following for s in self.states), *self.results)]
        yield f"{ends}".encode()

    def bound(self, node: Node, features: frozenset[str]) -> Sequence:
        """As the node computes it on a chip with these features, by nodes of its own."""
        nodes = tuple(replace(inner) for inner in self.nodes)
        for inner in nodes:
            inner.op = variant_for(inner, features)
        return replace(self, nodes=nodes, window=node.inputs[0], outputs=node.outputs)

    def placed(self) -> Sequence:
        """With places for what lies in the scratch memory."""
        kept = {s.following for s in self.states}
        memory = plan_memory(Graph(list(self.nodes)), (), kept)
        return replace(self, inside={k: slot for k, slot in memory.slots.items() if slot.size})


def as_outside(tensor: Tensor) -> Tensor:
    """A tensor that has its place outside of a sequence."""
    return replace(tensor, role=Role.STATE, data=None)


def window_type(single: TensorType, steps: int) -> TensorType:
    """Of ``steps`` inputs: time is the axis behind the batch.

    >>> from mcutrain.trainer.graph.tensor import DType
    >>> window_type(TensorType((1, 3, 40), DType.S8), 5).shape
    (1, 15, 40)
    """
    rest = single.shape[1:]
    shape = (1, steps * rest[0], *rest[1:]) if len(rest) > 1 else (1, steps, *rest)
    return replace(single, shape=shape)
