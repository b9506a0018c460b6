# SPDX-License-Identifier: Apache-2.0
"""Offsets for blocks with lifetimes: the best of several greedy orders, then a local search.

Finding the least arena is NP-hard (dynamic storage allocation). A greedy placement is a matter of
the order of the blocks, so orders are what is searched, until the lower bound is met.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

from mcutrain.trainer.planner.lifetimes import Demand, aligned


class PlacementEffort(NamedTuple):
    """A local search of ``work`` neighbours from each of the first ``starts``, if the arena is more
    than a ``close``-th above the bound. ``heat``: how much worse an order may get, as a part of the
    bytes above the bound at first."""

    work: int
    starts: int
    close: int
    heat: float


EFFORTS = (
    PlacementEffort(20_000, 12, 1000, 0.05),
    PlacementEffort(60_000, 12, 50, 0.05),
    PlacementEffort(400_000, 12, 50, 0.05),
    PlacementEffort(1_000_000, 2, 50, 0.1),
)
FEW = 8  # bytes above the bound are close too, if they are less than a 100th
QUICK = 80  # blocks are searched in no time
SMALL = 200  # a block of less than this part of the arena is placed last
Offsets = list[int]


class Placer:
    """Places blocks of a Demand one after another, each at the lowest offset that is free.

    ``downward`` builds from the arena's end: an output, which may lie below its input, then finds
    room for it when the input was placed first. ``only`` are the blocks that it can place.
    """

    def __init__(
        self, demand: Demand, *, downward: bool = False, only: Iterable[int] | None = None
    ) -> None:
        self.demand, self.blocks, self.downward = demand, demand.blocks, downward
        self.around: list[list[tuple[int, int, int]]] = [[] for _ in self.blocks]
        self._find_neighbours(range(len(self.blocks)) if only is None else only)

    def _find_neighbours(self, wanted: Iterable[int]) -> None:
        """``around``: (j, before, after) of the blocks live beside a block, which must not begin
        between offset_j - before and offset_j + after."""
        live: list[int] = []
        for i in sorted(wanted, key=lambda k: self.blocks[k].first):
            live = [j for j in live if self.blocks[j].last >= self.blocks[i].first]
            for j in live:
                self.around[i].append(self._limits(i, j))
                self.around[j].append(self._limits(j, i))
            live.append(i)

    def _limits(self, i: int, j: int) -> tuple[int, int, int]:
        own, other, overlays = self.blocks[i].size, self.blocks[j].size, self.demand.overlays
        if (i, j) in overlays:  # i is an output over the input j
            least = overlays[i, j]
            return (j, own, other + least - own) if self.downward else (j, least, other)
        if (j, i) in overlays:
            least = overlays[j, i]
            return (j, own + least - other, other) if self.downward else (j, own, least)
        return j, own, other

    def place(self, order: Sequence[int], limit: float = float("inf")) -> tuple[Offsets, int]:
        """(offset of each block, the end of the highest); -1 for a block that is not in the order
        or would pass ``limit``."""
        offsets = self.stack(order, [-1] * len(self.blocks), limit)
        end = max(
            (o + b.size for o, b in zip(offsets, self.blocks, strict=True) if o >= 0), default=0
        )
        if self.downward:
            end = aligned(end, max((b.alignment for b in self.blocks), default=1))
            for i in order:
                if offsets[i] >= 0:
                    offsets[i] = end - offsets[i] - self.blocks[i].size
        return offsets, end

    def stack(self, order: Sequence[int], offsets: Offsets, limit: float = float("inf")) -> Offsets:
        """Adds the blocks of ``order`` to ``offsets``, which are bytes from where this builds."""
        for i in order:
            offset = self.lowest(i, offsets)
            if offset + self.blocks[i].size <= limit:
                offsets[i] = offset
        return offsets

    def restack(self, order: Sequence[int], before: Sequence[int], offsets: Offsets) -> Offsets:
        """What ``stack`` gives for ``order``, where ``offsets`` is what it gave for ``before``."""
        kept = next((k for k, (i, j) in enumerate(zip(order, before, strict=True)) if i != j), 0)
        anew = [-1] * len(offsets)
        for i in order[:kept]:
            anew[i] = offsets[i]
        return self.stack(order[kept:], anew)

    def lowest(self, i: int, offsets: Offsets) -> int:
        """The lowest offset at which block ``i`` is clear of those that have one."""
        alignment = self.blocks[i].alignment
        taken = [
            (offsets[j] - before, offsets[j] + after)
            for j, before, after in self.around[i]
            if offsets[j] >= 0
        ]
        taken.sort()
        offset = 0
        for low, high in taken:
            if offset <= low:
                break
            if offset < high:
                offset = -(-high // alignment) * alignment
        return offset

    def above(self, bound: int, offsets: Offsets) -> dict[int, int]:
        """The blocks that are stacked to above ``bound``, and by how many bytes."""
        found = {}
        for k, offset in enumerate(offsets):
            far = offset + self.blocks[k].size
            if offset >= 0 and far > bound:
                found[k] = far - bound
        return found


def greedy_orders(demand: Demand) -> Iterator[list[int]]:
    """Orders worth trying: big blocks first, or long ones, those of full moments, early, late."""
    blocks, live = demand.blocks, demand.live
    load = [max(live[b.first + 1 : b.last + 2]) for b in blocks]
    keys: list[Callable[[int], tuple[int, ...]]] = [
        lambda k: (-blocks[k].size, blocks[k].first),
        lambda k: (-load[k], -blocks[k].size, blocks[k].first),
        lambda k: (blocks[k].first - blocks[k].last, -blocks[k].size),
        lambda k: (blocks[k].size * (blocks[k].first - blocks[k].last - 1),),
        lambda k: (blocks[k].first, -blocks[k].last),
        lambda k: (-blocks[k].last, blocks[k].first),
    ]
    for key in keys:
        yield sorted(range(len(blocks)), key=key)


def place_blocks(demand: Demand, *, thorough: bool = True) -> Offsets:
    """The offset of each block, in an arena as small as was found; always the same.

    Stops at the lower bound, or close to it; if not ``thorough``, before the local search of
    more than a few blocks.
    """
    bound, placers = demand.lower_bound, (Placer(demand), Placer(demand, downward=True))
    starts = list(product(greedy_orders(demand), placers))
    best, least = Offsets(), 0
    for order, placer in starts:
        offsets, end = placer.place(order)
        if not best or end < least:
            best, least = offsets, end
        if least <= bound:
            return best
    big = [k for k, block in enumerate(demand.blocks) if block.size * SMALL >= bound]
    if not big or (not thorough and len(demand.blocks) > QUICK):
        return best
    search = {placer: Placer(demand, downward=placer.downward, only=big) for placer in placers}
    for effort, (order, placer) in ((e, start) for e in EFFORTS for start in starts[: e.starts]):
        if least <= bound + max(bound // effort.close, min(bound // 100, FEW)):
            continue
        better = improved(search[placer], order, set(big), bound, effort)
        offsets, end = placer.place(better)
        if end < least:
            best, least = offsets, end
    return best


def improved(
    placer: Placer, order: list[int], big: set[int], bound: int, effort: PlacementEffort
) -> list[int]:
    """The order after big blocks above the bound, or beside those, moved in it.

    Simulated annealing (Kirkpatrick et al. 1983) of the bytes above the bound. Small blocks, many
    and easily placed, follow the others.
    """
    rng = random.Random(effort.work)
    best, small = [k for k in order if k in big], [k for k in order if k not in big]
    offsets = placer.stack(best, [-1] * len(placer.blocks))
    above = placer.above(bound, offsets)
    current, energy, least = best, sum(above.values()), sum(above.values())
    heat, rounds = energy * effort.heat, effort.work // sum(1 + len(placer.around[k]) for k in best)
    for done in range(rounds):
        if not above:
            break
        trial = moved(current, [*above, *(j for k in above for j, _, _ in placer.around[k])], rng)
        anew = placer.restack(trial, current, offsets)
        higher = placer.above(bound, anew)
        found = sum(higher.values())
        if found <= energy + heat * (1 - done / rounds) * rng.expovariate(1):
            current, offsets, above, energy = trial, anew, higher, found
            if found < least:
                best, least = trial, found
    return [*best, *small]


def moved(order: list[int], blocks: list[int], rng: random.Random) -> list[int]:
    """The order with one of ``blocks`` at an earlier place, or two of them exchanged."""
    trial, one = list(order), rng.choice(blocks)
    at = trial.index(one)
    if rng.random() < 0.5:
        to = trial.index(rng.choice(blocks))
        trial[at], trial[to] = trial[to], trial[at]
    else:
        trial.insert(rng.randrange(at + 1), trial.pop(at))
    return trial
