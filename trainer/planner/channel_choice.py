# SPDX-License-Identifier: Apache-2.0
"""Which nodes of the backward pass go by groups of channels, so that the arena is smallest."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from mcutrain.trainer.graph.call import ByChannels
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Role, Tensor
from mcutrain.trainer.planner.channel_region import ChannelRegion, fuse_channels
from mcutrain.trainer.planner.lifetimes import demand
from mcutrain.trainer.planner.order import dependences

LEAST = 8  # channels of a group: fewer take much more time, and save little


@dataclass(frozen=True)
class Chain:
    """Nodes, by index, from one that makes a wide error to the last that reads one, and in their
    midst others that run before them or behind. No error between them is used by others."""

    members: tuple[int, ...]
    before: tuple[int, ...]
    behind: tuple[int, ...]

    @property
    def first(self) -> int:
        return min(self.members)

    @property
    def end(self) -> int:
        return max(self.members) + 1


class Member(NamedTuple):
    """A node of a chain, and how it goes by groups of channels."""

    node: Node
    calls: ByChannels


@dataclass
class Finder:
    """The chains of a graph."""

    graph: Graph
    needs: list[set[int]] = field(init=False)
    users: dict[Tensor, set[int]] = field(init=False)
    known: dict[tuple[int, bool], Member | None] = field(init=False)

    def __post_init__(self) -> None:
        self.needs, self.users, self.known = dependences(self.graph), {}, {}
        for k, node in enumerate(self.graph.nodes):
            for tensor in (*node.inputs, *node.outputs):
                self.users.setdefault(tensor, set()).add(k)

    def chains(self) -> Iterator[list[Chain]]:
        """Each longest chain with those that begin later in it."""
        seen = set[int]()
        for k in range(len(self.graph.nodes)):
            if k in seen or (longest := self.chain(k)) is None:
                continue
            inner = (self.chain(member) for member in longest.members[1:])
            yield [longest, *(chain for chain in inner if chain is not None)]
            seen |= set(longest.members)

    def member(self, k: int, first: int) -> Member | None:
        """Node k in the chain that ``first`` begins; None if it cannot go by groups of channels.

        The first makes an error by them, the others read one so: one that could sum over them in
        its first half is that half.
        """
        key = k, k == first
        if key not in self.known:
            node = self.graph.nodes[k]
            if k != first and (halves := split(node)) is not None:
                node = halves[0]
            calls = node.op.by_channels(node)
            can = calls is not None and (k != first or calls.made is not None)
            self.known[key] = Member(node, calls) if calls is not None and can else None
        return self.known[key]

    def chain(self, first: int) -> Chain | None:
        """The one that node ``first`` begins; None if it makes no error by groups of channels, or
        something else needs that whole."""
        waiting, members = {first}, dict[int, Member]()
        while waiting:
            k = waiting.pop()
            member = self.member(k, first)
            if member is None:
                return None
            members[k] = member
            if member.calls.made is not None:
                wide, exponent = member.node.outputs[:2]
                waiting |= (self.users[wide] | self.users[exponent]) - set(members)
        return self.placed(first, members) if len(members) > 1 else None

    def placed(self, first: int, members: dict[int, Member]) -> Chain | None:
        """What runs before the members and what behind; None if something must run between, or
        they do not have the same channels, or one changes weights that another layer reads."""
        counts = {t.type.shape[-1] for m in members.values() for t in m.calls.tensors}
        if len(counts) > 1 or self.shares_weights(list(members)):
            return None
        before, behind = list[int](), list[int]()
        for k in range(first, max(members) + 1):
            follows = self.needs[k] & set(behind)
            if k in members and follows:
                return None
            if k not in members:
                (behind if follows or self.needs[k] & set(members) else before).append(k)
        return Chain(tuple(sorted(members)), tuple(before), tuple(behind))

    def shares_weights(self, members: list[int]) -> bool:
        nodes = [self.graph.nodes[k] for k in members]
        changed = {t for n in nodes for t in n.outputs if t.role in (Role.PARAM, Role.STATE)}
        layers = [{n.index for n in nodes if t in n.inputs} for t in changed]
        return any(len(found) > 1 for found in layers)


def split(node: Node) -> tuple[Node, Node] | None:
    """The node as two, by ``Op.halves``."""
    halves = node.op.halves(node)
    if halves is None:
        return None
    (type_,) = halves.first.infer(*(t.type for t in halves.inputs))
    between = Tensor(f"{node.name}_raw", type_, Role.ACTIVATION)
    first = Node(halves.first, halves.inputs, (between,), f"{node.name}_sums", node.index)
    inputs = (between, *halves.others)
    return first, Node(halves.second, inputs, node.outputs, node.name, node.index)


def grouped(graph: Graph, chain: Chain, size: int) -> Graph:
    """The graph with the chain as a region."""
    nodes, rest = list[Node](), list[Node]()
    for k in chain.members:
        node = graph.nodes[k]
        halves = None if k == chain.first else split(node)
        nodes.append(node if halves is None else halves[0])
        rest += [] if halves is None else [halves[1]]
    before, behind = ([graph.nodes[k] for k in part] for part in (chain.before, chain.behind))
    tail = [*rest, *behind, *graph.nodes[chain.end :]]
    region = fuse_channels(nodes, {t for node in tail for t in node.inputs}, size)
    return Graph([*graph.nodes[: chain.first], *before, region, *tail])


def sizes(channels: int) -> list[int]:
    """Of groups, the greatest of each number of groups, from two on."""
    least = min(LEAST, -(-channels // 2))
    found = {-(-channels // count) for count in range(2, channels + 1)}
    return sorted((size for size in found if size >= least), reverse=True)


@dataclass(frozen=True)
class ChannelOption:
    """A way to run a part of the graph: the bytes live at the most of it."""

    peak: int
    chain: Chain | None = None
    size: int = 0


def options(
    graph: Graph, keep: Collection[Tensor], chains: list[Chain], limit: int
) -> Iterator[ChannelOption]:
    """The part of ``chains`` as it is; and each chain of them with the largest groups that keep it
    within ``limit``, or else the smallest."""
    first, left = chains[0].first, len(graph.nodes) - max(chain.end for chain in chains)
    yield ChannelOption(peak_between(graph, keep, first, left))
    for chain in chains:
        trial, at = grouped(graph, chain, 1), chain.first + len(chain.before)
        region, live = trial.nodes[at], demand(trial, keep).live
        assert isinstance(region.op, ChannelRegion)
        beside = live[first + 1 : at + 1] + live[at + 2 : len(trial.nodes) - left + 1]
        others, base = max(beside, default=0), live[at + 1] - region.op.own_bytes(region)
        found = [
            ChannelOption(
                max(others, base + replace(region.op, size=size).own_bytes(region)), chain, size
            )
            for size in sizes(region.op.channels)
        ]
        if found:
            yield next((option for option in found if option.peak <= limit), found[-1])


def peak_between(graph: Graph, keep: Collection[Tensor], first: int, left: int) -> int:
    """Bytes live at the most of the calls from ``first`` on, but the last ``left``."""
    return max(demand(graph, keep).live[first + 1 : len(graph.nodes) - left + 1])


def with_groups(graph: Graph, keep: Collection[Tensor], limit: int) -> Graph:
    """The graph with regions where more than ``limit`` bytes are live, if one helps: of as many
    channels at a time as the limit allows."""
    end = len(graph.nodes)
    for chains in reversed(list(Finder(graph).chains())):
        if max(chain.end for chain in chains) > end:
            continue
        end = chains[0].first
        found = list(options(graph, keep, chains, limit))
        if found[0].peak <= limit:
            continue
        best = min(found, key=lambda option: (max(option.peak, limit), -option.size))
        if best.chain is not None and best.peak < found[0].peak:
            graph = grouped(graph, best.chain, best.size)
    return graph
