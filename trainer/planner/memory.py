# SPDX-License-Identifier: Apache-2.0
"""Static placement: the arena by lifetime, the training state one after another."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from mcutrain.trainer.chip import Chip, Memory
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.graph.graph import Graph, storage
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Tensor
from mcutrain.trainer.planner.lifetimes import aligned, demand
from mcutrain.trainer.planner.memories import spread_beside
from mcutrain.trainer.planner.placement import place_blocks

ARENA, STATE = "arena", "state"
HALVINGS = 5  # of the stack


@dataclass(frozen=True)
class Slot:
    """Bytes [offset, offset + size) of a memory, held from call ``first`` to ``last``."""

    offset: int
    size: int
    first: int
    last: int
    memory: str = ARENA

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(frozen=True)
class MemoryPlan:
    """Slots of the arena (a Node's slot is its scratch memory), offsets in the state.

    No arena can have less than ``lower_bound`` bytes with this order of the nodes. The state lies
    in ``state_memory`` as a whole. The main RAM of a chip is called ARENA, as its region is.
    """

    slots: dict[Tensor | Node, Slot]
    state: dict[Tensor, int]
    state_bytes: int
    lower_bound: int = 0
    state_memory: str = ARENA

    def place(self, tensor: Tensor) -> tuple[str, int] | None:
        """(region, offset) of a tensor in RAM; None for constants."""
        if tensor in self.state:
            return STATE, self.state[tensor]
        if tensor in self.slots:
            slot = self.slots[tensor]
            return slot.memory, slot.offset
        return None

    def peak(self, graph: Graph) -> Node:
        """The node during which most bytes of the arena are in use."""
        owned = set(self.slots.values())

        def in_use(step: int) -> int:
            return bytes_covered(s for s in owned if s.first <= step <= s.last)

        return graph.nodes[max(range(len(graph.nodes)), key=in_use)]

    @property
    def used_bytes(self) -> dict[str, int]:
        """Bytes of each memory that has slots."""
        ends: dict[str, int] = {}
        for slot in self.slots.values():
            ends[slot.memory] = max(slot.end, ends.get(slot.memory, 0))
        return ends

    @property
    def arena_bytes(self) -> int:
        return sum(self.used_bytes.values())

    @property
    def is_near_bound(self) -> bool:
        """Whether the arena is less than a 100th above ``lower_bound``."""
        return self.arena_bytes - self.lower_bound <= self.lower_bound // 100

    @property
    def regions(self) -> dict[str, int]:
        """Bytes of each region that READ and WRITE address, in the order of their numbers (SPEC
        2.3): arena and state, then the arena's part in each other memory."""
        used = self.used_bytes
        others = {name: used[name] for name in sorted(used) if name != ARENA}
        return {ARENA: used.get(ARENA, 0), STATE: self.state_bytes, **others}

    @property
    def ram_bytes(self) -> dict[str, int]:
        """Bytes of arena and state in each memory that has any of them; in the main RAM always."""
        found = {ARENA: 0, **self.used_bytes}
        found[self.state_memory] = found.get(self.state_memory, 0) + self.state_bytes
        return found

    @property
    def floors(self) -> dict[str, int]:
        """Where each memory of the arena begins, if they are stacked."""
        found, end = {}, 0
        for memory, nbytes in self.used_bytes.items():
            found[memory] = end
            end += nbytes
        return found


def bytes_covered(slots: Iterable[Slot]) -> int:
    """Bytes that lie in one slot at least; an output can lie over its input."""
    total = end = 0
    memory = None
    for slot in sorted(slots, key=lambda s: (s.memory, s.offset)):
        if slot.memory != memory:
            memory, end = slot.memory, 0
        total += max(0, slot.end - max(slot.offset, end))
        end = max(end, slot.end)
    return total


def plan_memory(
    graph: Graph,
    state: Iterable[Tensor],
    keep: Collection[Tensor] = (),
    memories: Sequence[Memory] = (),
    *,
    thorough: bool = True,
) -> MemoryPlan:
    """Place what is not state by lifetime; the SPEC promises no offsets.

    In one arena as large as it must be, or in ``memories``, of which the first is the main RAM;
    then raises BudgetError if it does not fit.
    """
    wanted = demand(graph, keep)
    offsets, state_bytes = place_state(state)
    state_memory = ARENA
    if memories:
        spread, home = spread_beside(state_bytes, wanted, memories, graph)
        places = [(o, memories[m].name) for o, m in zip(spread.offsets, spread.memory, strict=True)]
        state_memory = home.name
    else:
        places = [(offset, ARENA) for offset in place_blocks(wanted, thorough=thorough)]
    slots: dict[Tensor | Node, Slot] = {
        block.item: Slot(offset, block.size, block.first, block.last, memory)
        for block, (offset, memory) in zip(wanted.blocks, places, strict=True)
    }
    owner = storage(graph)
    for tensor, source in owner.items():
        if tensor is not source and source in slots:
            slots[tensor] = slots[source]
    return MemoryPlan(slots, offsets, state_bytes, wanted.lower_bound, state_memory)


def plan_on(
    chip: Chip, graph: Graph, state: Iterable[Tensor], keep: Collection[Tensor], held_bytes: int
) -> MemoryPlan:
    """Place in the main RAM of ``chip``, and the memories beside it if there are any: only then
    raises BudgetError.

    How much of the main RAM stack and link leave to the arena is known when all is linked. Until
    then they have two frames, and the stack that the chip states; if nothing fits so, half of
    that, and so on: the linker decides. ``held_bytes`` of the main RAM are taken by others.
    """
    state = list(state)
    if not chip.beside:
        return plan_memory(graph, state, keep)
    for halved in range(HALVINGS):
        room = chip.room(held_bytes, chip.stack_bytes >> halved)
        assert room is not None
        try:
            return plan_memory(graph, state, keep, (Memory(ARENA, room), *chip.beside))
        except BudgetError as err:
            refused = err
    _, state_bytes = place_state(state)
    raise BudgetError(
        f"{chip.name}: {refused}. {ARENA} is what the {chip.ram_bytes or 0:,} bytes of main RAM "
        f"leave beside link and stack, what waits there ({held_bytes:,}), and the learned state "
        f"({state_bytes:,}) if it lies there",
        refused.needed_bytes,
        refused.available_bytes,
    )


def place_state(state: Iterable[Tensor]) -> tuple[dict[Tensor, int], int]:
    """(offset of each tensor, bytes in all), in the order given."""
    offsets: dict[Tensor, int] = {}
    end = 0
    for tensor in state:
        end = aligned(end, tensor.type.alignment)
        offsets[tensor] = end
        end += aligned(tensor.type.nbytes, tensor.type.alignment)
    return offsets, end
