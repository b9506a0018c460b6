# SPDX-License-Identifier: Apache-2.0
"""An order of the nodes with a low peak of live bytes; no bit depends on it.

A node follows what it reads. What is changed in place is changed after the earlier reads and before
the later ones, as in the order given. Greedy list scheduling and moves of single nodes at the peak.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence

from mcutrain.trainer.graph.graph import Graph, storage
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Role, Tensor
from mcutrain.trainer.planner.lifetimes import aligned, shared_pairs

MOVES = 40  # of single nodes, at most
Order = list[int]
Key = tuple[int, int]


def ordered(graph: Graph, ends: Sequence[int] = (), keep: Collection[Tensor] = ()) -> Graph:
    """The graph in an order whose peak is at most that of the order given.

    The nodes before each index of ``ends`` stay in front of the others.
    """
    search = OrderSearch(graph, ends, keep)
    orders = [list(range(len(graph.nodes))), search.greedy()]
    best = min(orders, key=search.key)
    return Graph([graph.nodes[k] for k in search.improved(best)])


class OrderSearch:
    """A graph's nodes by index: what each must follow, and what an order of them needs."""

    def __init__(self, graph: Graph, ends: Sequence[int], keep: Collection[Tensor]) -> None:
        self.nodes, self.ends = graph.nodes, sorted(ends)
        self.before = dependences(graph)
        self.after: list[set[int]] = [set() for _ in graph.nodes]
        for k, earlier in enumerate(self.before):
            for j in earlier:
                self.after[j].add(k)
        self._measure(graph, keep)

    def _measure(self, graph: Graph, keep: Collection[Tensor]) -> None:
        """Sizes: of tensors with the nodes that use them, of scratch, of what pairs can share."""
        owner, users = storage(graph), dict[Tensor, list[int]]()
        for k, node in enumerate(self.nodes):
            for tensor in dict.fromkeys(owner[t] for t in (*node.inputs, *node.outputs)):
                if tensor.role in (Role.INPUT, Role.ACTIVATION):
                    users.setdefault(tensor, []).append(k)
        kept = {owner[t] for t in keep if t in owner}
        self.index = {tensor: i for i, tensor in enumerate(users)}
        self.users = list(users.values())
        self.sizes = [aligned(t.type.nbytes, t.type.alignment) for t in users]
        self.given = [t.role is Role.INPUT for t in users]
        self.kept = [t in kept for t in users]
        self.used: list[list[int]] = [[] for _ in self.nodes]
        for i, nodes in enumerate(self.users):
            for k in nodes:
                self.used[k].append(i)
        self.scratch = [aligned(n.op.scratch_bytes(n), n.output.type.alignment) for n in self.nodes]
        self.pairs = [self._pairs(node, owner) for node in self.nodes]

    def _pairs(self, node: Node, owner: dict[Tensor, Tensor]) -> list[tuple[int, int]]:
        """(index of an input, the most bytes that an output can share with it)."""
        found = []
        for (out, source), distance in shared_pairs(node, owner).items():
            i = self.index[source]
            size = self.sizes[self.index[out]]
            if distance < size and not self.kept[i]:
                found.append((i, min(self.sizes[i], size - aligned(distance, out.type.alignment))))
        return found

    def live(self, order: Order) -> list[int]:
        """Bytes that each call of the order needs; an output shares with one input."""
        at = [0] * len(order)
        for position, k in enumerate(order):
            at[k] = position
        change, last = [0] * (len(order) + 1), []
        for i, nodes in enumerate(self.users):
            positions = [at[k] for k in nodes]
            last.append(max(positions))
            change[0 if self.given[i] else min(positions)] += self.sizes[i]
            if not self.kept[i]:
                change[last[i] + 1] -= self.sizes[i]
        total, found = 0, []
        for position, k in enumerate(order):
            total += change[position]
            shared = [common for i, common in self.pairs[k] if last[i] == position]
            found.append(total + self.scratch[k] - max(shared, default=0))
        return found

    def key(self, order: Order) -> Key:
        """(peak, sum over the calls), in bytes: less is better."""
        live = self.live(order)
        return max(live, default=0), sum(live)

    def greedy(self) -> Order:
        """Of the nodes that can run, always the one after which least is live."""
        left = [len(nodes) for nodes in self.users]
        waiting = [len(earlier) for earlier in self.before]
        ready, order = {k for k, n in enumerate(waiting) if n == 0}, Order()

        def grown(k: int) -> int:
            freed = sum(self.sizes[i] for i in self.used[k] if left[i] == 1 and not self.kept[i])
            begun = sum(
                self.sizes[i]
                for i in self.used[k]
                if left[i] == len(self.users[i]) and not self.given[i]
            )
            return begun - freed

        while ready:
            group = min(self.group(k) for k in ready)
            k = min((k for k in ready if self.group(k) == group), key=lambda k: (grown(k), k))
            ready.remove(k)
            order.append(k)
            for i in self.used[k]:
                left[i] -= 1
            for j in self.after[k]:
                waiting[j] -= 1
                if waiting[j] == 0:
                    ready.add(j)
        return order

    def group(self, k: int) -> int:
        """Of the parts that ``ends`` divides the nodes into."""
        return bisect_right(self.ends, k)

    def improved(self, order: Order) -> Order:
        """The order after moves of single nodes to the peak, each of which lowers it."""
        best = self.key(order)
        for _ in range(MOVES):
            live = self.live(order)
            trials = ((self.key(trial), trial) for trial in self.moves(order, live.index(best[0])))
            found = min(trials, default=None, key=lambda trial: trial[0])
            if found is None or found[0] >= best:
                break
            best, order = found
        return order

    def moves(self, order: Order, peak: int) -> Iterator[Order]:
        """Orders in which one node runs just before the peak instead of after it, or after it
        instead of before."""
        at = {k: position for position, k in enumerate(order)}
        group = self.group(order[peak])
        for position, k in enumerate(order):
            if position == peak or self.group(k) != group:
                continue
            if position > peak:
                allowed = all(at[j] < peak for j in self.before[k])
            else:
                allowed = all(at[j] > peak for j in self.after[k])
            if allowed:
                rest = order[:position] + order[position + 1 :]
                yield [*rest[:peak], k, *rest[peak:]]


def dependences(graph: Graph) -> list[set[int]]:
    """For each node the indices of those that must run before it."""
    found: list[set[int]] = [set() for _ in graph.nodes]
    written: dict[Tensor, int] = {}
    read: dict[Tensor, set[int]] = {}
    for k, node in enumerate(graph.nodes):
        changed = set(node.outputs)
        for tensor in {*node.inputs, *changed}:
            if tensor in written:
                found[k].add(written[tensor])
        for tensor in changed:
            found[k] |= read.pop(tensor, set())
            written[tensor] = k
        for tensor in set(node.inputs) - changed:
            read.setdefault(tensor, set()).add(k)
        found[k].discard(k)
    return found
