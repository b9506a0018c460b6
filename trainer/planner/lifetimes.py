# SPDX-License-Identifier: Apache-2.0
"""What must lie in the arena and when: the blocks of a graph, and the bytes live at each call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from mcutrain.trainer.graph.graph import Graph, storage
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Role, Tensor


def aligned(nbytes: int, alignment: int) -> int:
    return -(-nbytes // alignment) * alignment


@dataclass(frozen=True)
class Block:
    """Bytes held from call ``first`` to ``last``: a tensor's, or a node's scratch memory.

    ``size`` is a multiple of ``alignment``. ``uses`` counts the nodes that read or write it.
    """

    item: Tensor | Node
    size: int
    alignment: int
    first: int
    last: int
    uses: int = 1


@dataclass(frozen=True)
class Demand:
    """Blocks, and which of them may share bytes at the one call at which both are live.

    ``overlays`` has, for (output, input) as indices of blocks, the distance K: the output's
    offset + K <= the input's (``Op.overlays``), less than the output's size.
    """

    blocks: tuple[Block, ...]
    overlays: dict[tuple[int, int], int]

    @cached_property
    def apart(self) -> list[int]:
        """Bytes of the blocks live at each call; the list begins before the first call, at -1."""
        calls = max((b.last for b in self.blocks), default=-1) + 2
        change = [0] * (calls + 1)
        for block in self.blocks:
            change[block.first + 1] += block.size
            change[block.last + 2] -= block.size
        return list(accumulate(change[:-1]))

    @cached_property
    def live(self) -> list[int]:
        """The least bytes that each call needs, outputs over inputs, from -1 on."""
        found = list(self.apart)
        for call, pairs in self.pairs_of.items():
            found[call + 1] -= self.shared(pairs)
        return found

    @cached_property
    def pairs_of(self) -> dict[int, list[tuple[int, int]]]:
        """The pairs of ``overlays`` by the call that reads the one and writes the other."""
        found: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for out, source in self.overlays:
            found[self.blocks[out].first].append((out, source))
        return dict(found)

    def shared(self, pairs: list[tuple[int, int]]) -> int:
        """The most bytes that pairs of one call can share.

        Of an output the bytes from K on can be an input's, and no two inputs lie in the same: least
        is left over if the inputs lie one behind the other by their K. Nor does an input share
        more than its size with all outputs.
        """
        shared, filled = 0, dict[int, int]()
        inputs = dict[int, int]()
        for out, source in sorted(pairs, key=lambda pair: self.overlays[pair]):
            size, start = self.blocks[out].size, max(filled.get(out, 0), self.overlays[out, source])
            common = max(0, min(self.blocks[source].size, size - start))
            filled[out] = start + self.blocks[source].size
            inputs[source] = inputs.get(source, 0) + min(
                self.blocks[source].size, size - self.overlays[out, source]
            )
            shared += common
        return min(shared, sum(min(self.blocks[k].size, most) for k, most in inputs.items()))

    @property
    def fullest(self) -> int:
        """The first call at which most bytes are live; -1 is before all calls."""
        return self.live.index(self.live_at_once) - 1 if self.live else 0

    @property
    def live_at_once(self) -> int:
        """The largest set of bytes live at once."""
        return max(self.live, default=0)

    @cached_property
    def lower_bound(self) -> int:
        """No arena of fewer bytes holds the blocks.

        ``live_at_once``, unless chains of outputs over inputs need more: each link of a chain
        begins K below the one before, wherever an arena of the size leaves no room beside it.
        """
        least = {pair: self.least_apart(pair) for pair in self.overlays}
        size = self.live_at_once
        while True:
            forced = [pair for pair, nbytes in least.items() if nbytes > size]
            needed = self.chain_bytes(forced)
            if needed <= size:
                return size
            size = min([needed, *(least[pair] for pair in forced)])

    def least_apart(self, pair: tuple[int, int]) -> int:
        """The least bytes of the pair's call if it shares none."""
        call = self.blocks[pair[0]].first
        others = [other for other in self.pairs_of[call] if other != pair]
        return self.apart[call + 1] - self.shared(others)

    def chain_bytes(self, pairs: list[tuple[int, int]]) -> int:
        """The end of the highest block, if every one of ``pairs`` shares bytes."""
        least = [0] * len(self.blocks)
        for out, source in sorted(pairs, key=lambda pair: -self.blocks[pair[0]].first):
            least[source] = max(least[source], least[out] + self.overlays[out, source])
        return max((o + b.size for o, b in zip(least, self.blocks, strict=True)), default=0)


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


def demand(graph: Graph, keep: Collection[Tensor] = ()) -> Demand:
    """The blocks of all tensors in the arena, then those of scratch memory."""
    owner = storage(graph)
    uses: dict[Tensor, int] = defaultdict(int)
    for node in graph.nodes:
        for tensor in {owner[t] for t in (*node.inputs, *node.outputs)}:
            uses[tensor] += 1
    life, sizes = lifetimes(graph, keep), dict[Tensor, int]()
    for step, node in enumerate(graph.nodes):
        for tensor, nbytes in node.op.rings(node).items():
            sizes[tensor] = nbytes
            life.setdefault(tensor, (step, step))
    blocks = [
        Block(
            t,
            aligned(sizes.get(t, t.type.nbytes), t.type.alignment),
            t.type.alignment,
            first,
            last,
            uses.get(t, 1),
        )
        for t, (first, last) in life.items()
    ]
    index = {block.item: k for k, block in enumerate(blocks)}
    overlays: dict[tuple[int, int], int] = {}
    for step, node in enumerate(graph.nodes):
        if nbytes := node.op.scratch_bytes(node):
            alignment = node.output.type.alignment
            blocks.append(Block(node, aligned(nbytes, alignment), alignment, step, step))
        for (out, source), distance in shared_pairs(node, owner).items():
            pair = index[out], index[source]
            dies = blocks[pair[1]].last == step and blocks[pair[0]].first == step
            distance = aligned(distance, min(blocks[k].alignment for k in pair))
            if dies and distance < blocks[pair[0]].size:
                overlays[pair] = distance
    return Demand(tuple(blocks), overlays)


def shared_pairs(node: Node, owner: dict[Tensor, Tensor]) -> dict[tuple[Tensor, Tensor], int]:
    """The distance of each output and input whose bytes the operator can share.

    A tensor that is an input twice needs both of them to allow it.
    """
    found = {}
    rules = node.op.overlays(node)
    for (out, position), _ in rules.items():
        output, source = node.outputs[out], owner[node.inputs[position]]
        again = [k for k, t in enumerate(node.inputs) if owner[t] is source]
        in_arena = source.role in (Role.INPUT, Role.ACTIVATION)
        if in_arena and all((out, k) in rules for k in again):
            found[output, source] = max(rules[out, k] for k in again)
    return found
