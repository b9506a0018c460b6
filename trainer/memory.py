# SPDX-License-Identifier: Apache-2.0
"""Static placement: the arena by lifetime, the training state one after another."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from trainer.graph import Graph, Node
from trainer.tensor import Role, Tensor

ALIGN = 4
ARENA, STATE = "arena", "state"


@dataclass(frozen=True)
class Slot:
    """Bytes [offset, offset + size) of the arena, held from call ``first`` to ``last``."""

    offset: int
    size: int
    first: int
    last: int

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(frozen=True)
class MemoryPlan:
    """Slots of the arena (a Node's slot is its scratch memory), offsets in the state."""

    slots: dict[Tensor | Node, Slot]
    state: dict[Tensor, int]
    state_bytes: int

    def place(self, tensor: Tensor) -> tuple[str, int] | None:
        """(region, offset) of a tensor in RAM; None for constants."""
        if tensor in self.state:
            return STATE, self.state[tensor]
        if tensor in self.slots:
            return ARENA, self.slots[tensor].offset
        return None

    def peak(self, graph: Graph) -> Node:
        """The node during which most bytes of the arena are in use."""
        owned = set(self.slots.values())

        def in_use(step: int) -> int:
            return sum(s.size for s in owned if s.first <= step <= s.last)

        return graph.nodes[max(range(len(graph.nodes)), key=in_use)]

    @property
    def arena_bytes(self) -> int:
        return max((s.end for s in self.slots.values()), default=0)


def aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGN) * ALIGN


def storage(graph: Graph) -> dict[Tensor, Tensor]:
    """The tensor in whose bytes each tensor lies: its own, or an alias's source."""
    owner = {t: t for t in graph.tensors}
    for node in graph.nodes:
        if node.op.alias:
            owner[node.output] = owner[node.inputs[0]]
    return owner


def lifetimes(graph: Graph, keep: Collection[Tensor] = ()) -> dict[Tensor, tuple[int, int]]:
    """First and last call at which each arena tensor must hold its value.

    Inputs are there before the first call; tensors in ``keep`` stay after the last.
    """
    owner = storage(graph)
    life: dict[Tensor, tuple[int, int]] = {}
    for step, node in enumerate(graph.nodes):
        for tensor in (*node.inputs, *node.outputs):
            t = owner[tensor]
            if t.role in (Role.INPUT, Role.ACTIVATION):
                first = -1 if t.role is Role.INPUT else life.get(t, (step, step))[0]
                last = len(graph.nodes) if tensor in keep else step
                life[t] = (first, max(last, life.get(t, (0, 0))[1]))
    return life


def plan_memory(graph: Graph, state: Iterable[Tensor], keep: Collection[Tensor] = ()) -> MemoryPlan:
    """Place big tensors first, each at the lowest offset free for its lifetime.

    Greedy, so not optimal (finding the best is NP-hard); the SPEC promises no offsets.
    """
    life = lifetimes(graph, keep)
    sizes = {t: t.type.nbytes for t in life}
    for step, node in enumerate(graph.nodes):
        for tensor, nbytes in node.op.rings(node).items():
            sizes[tensor] = nbytes
            life.setdefault(tensor, (step, step))
    wanted: list[tuple[Tensor | Node, int, int, int]] = [
        (t, aligned(sizes[t]), first, last) for t, (first, last) in life.items()
    ]
    for step, node in enumerate(graph.nodes):
        if nbytes := node.op.scratch_bytes(node):
            wanted.append((node, aligned(nbytes), step, step))
    slots: dict[Tensor | Node, Slot] = {}
    for item, size, first, last in sorted(wanted, key=lambda w: (-w[1], w[2], w[0].name)):
        slots[item] = lowest_free(slots.values(), size, first, last)
    owner = storage(graph)
    for tensor, source in owner.items():
        if tensor is not source and source in slots:
            slots[tensor] = slots[source]
    return MemoryPlan(slots, *place_state(state))


def lowest_free(placed: Collection[Slot], size: int, first: int, last: int) -> Slot:
    """The slot of ``size`` bytes at the lowest offset that overlaps none of ``placed``."""
    offset = 0
    in_use = (s for s in placed if s.first <= last and first <= s.last)
    for slot in sorted(in_use, key=lambda s: s.offset):
        if offset + size <= slot.offset:
            break
        offset = max(offset, slot.end)
    return Slot(offset, size, first, last)


def place_state(state: Iterable[Tensor]) -> tuple[dict[Tensor, int], int]:
    """(offset of each tensor, bytes in all), in the order given."""
    offsets: dict[Tensor, int] = {}
    end = 0
    for tensor in state:
        offsets[tensor] = end
        end += aligned(tensor.type.nbytes)
    return offsets, end
