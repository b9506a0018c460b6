# SPDX-License-Identifier: Apache-2.0
"""An arena in several memories of a chip (CCM, DTCM, banks): each block wholly in one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from mcutrain.trainer.chip import Memory
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.planner.lifetimes import Demand
from mcutrain.trainer.planner.placement import Placer, greedy_orders, place_blocks

MAIN = 0  # the index of the main RAM
TRIES = 60  # of an order, with the blocks in front that found no room


@dataclass(frozen=True)
class Spread:
    """For each block the index of its memory and its offset there; -1 if it found no room."""

    memory: tuple[int, ...]
    offsets: tuple[int, ...]

    @property
    def homeless(self) -> list[int]:
        return [k for k, memory in enumerate(self.memory) if memory < 0]


def spread_beside(
    state_bytes: int, demand: Demand, memories: Sequence[Memory], graph: Graph
) -> tuple[Spread, Memory]:
    """Blocks in memories beside the learned state, and the memory in which that lies as a whole.

    It is large and few nodes use each byte of it, so it leaves fast memories to the blocks: it lies
    in the first memory; if not all has room so, in the slowest of the others with which it has.
    Raises BudgetError.
    """
    first, *others = memories
    homes = [first, *sorted(others, key=lambda m: m.speed)]
    refused = None
    for home in homes:
        if home.nbytes >= state_bytes:
            left = [replace(m, nbytes=m.nbytes - state_bytes) if m is home else m for m in memories]
            try:
                return spread_blocks(demand, left, graph), home
            except BudgetError as err:
                refused = refused or err
    if refused is None:
        most = max(m.nbytes for m in memories)
        refused = BudgetError(
            f"the learned state needs {state_bytes:,} bytes in one memory, there are at most "
            f"{most:,} in {listed(memories)}. Train fewer layers, or take a board with more",
            state_bytes,
            most,
        )
    raise refused


def listed(memories: Sequence[Memory]) -> str:
    return ", ".join(f"{m.name} {m.nbytes:,}" for m in memories)


def spread_blocks(demand: Demand, memories: Sequence[Memory], graph: Graph) -> Spread:
    """Blocks in memories, so that of the bytes read and written many are in fast ones, and the
    first, the main RAM, holds no more than it would without the others.

    Raises BudgetError if no placement was found.
    """
    if demand.lower_bound > (available := sum(m.nbytes for m in memories)):
        missing = demand.lower_bound - available
        why = f"{missing:,} more than there are"
        raise no_room(demand, memories, graph, demand.lower_bound, why)
    trials = list(all_trials(demand, memories))
    fitting = [trial for trial in trials if not trial.homeless] or wholly(demand, memories)
    if fitting:
        frugal = without_main_waste(demand, fitting)
        return max(frugal, key=lambda t: (traffic(demand, memories, t), -extent(demand, t)))
    best = min(trials, key=lambda trial: left_over(demand, trial))
    rest, worst = left_over(demand, best), max(best.homeless, key=lambda k: demand.blocks[k].size)
    first = demand.blocks[worst]
    what = f"{first.item.name}{' (scratch)' if isinstance(first.item, Node) else ''}"
    why = f"{rest:,} bytes find no room, {what} of {first.size:,} first"
    raise no_room(demand, memories, graph, available + rest, why)


def wholly(demand: Demand, memories: Sequence[Memory]) -> list[Spread]:
    """All blocks in one memory, placed with more effort, for each that holds them."""
    if demand.lower_bound > max(m.nbytes for m in memories):
        return []
    offsets = tuple(place_blocks(demand))
    trials = [Spread((m,) * len(offsets), offsets) for m in range(len(memories))]
    return [t for m, t in enumerate(trials) if extent(demand, t) <= memories[m].nbytes]


def all_trials(demand: Demand, memories: Sequence[Memory]) -> Iterator[Spread]:
    """The same orders as in one memory, and the most used first; the memories by speed and size."""
    blocks = demand.blocks
    hot = sorted(
        range(len(blocks)),
        key=lambda k: (-blocks[k].uses / (blocks[k].last - blocks[k].first + 1), -blocks[k].size),
    )
    ranks = {
        tuple(sorted(range(len(memories)), key=key))
        for key in (
            lambda m: -memories[m].speed,
            lambda m: memories[m].nbytes,
            lambda m: -memories[m].nbytes,
        )
    }
    placers = [Placer(demand), Placer(demand, downward=True)]
    for order, rank, placer in product([hot, *greedy_orders(demand)], sorted(ranks), placers):
        trial = fill(placer, order, memories, rank)
        for _ in range(TRIES):
            if not trial.homeless or max(blocks[k].size for k in trial.homeless) > max(
                m.nbytes for m in memories
            ):
                break
            first = set(trial.homeless)
            order = [*trial.homeless, *(k for k in order if k not in first)]
            trial = fill(placer, order, memories, rank)
        yield trial


def fill(
    placer: Placer, order: list[int], memories: Sequence[Memory], rank: Sequence[int]
) -> Spread:
    """One memory after another takes of the blocks what fits."""
    memory, offsets = [-1] * len(order), [-1] * len(order)
    for m in rank:
        rest = [k for k in order if memory[k] < 0]
        found, _ = placer.place(rest, memories[m].nbytes)
        for k in rest:
            if found[k] >= 0:
                memory[k], offsets[k] = m, found[k]
    return Spread(tuple(memory), tuple(offsets))


def traffic(demand: Demand, memories: Sequence[Memory], trial: Spread) -> float:
    """Bytes of a step, each counted as often as a node uses it, times the speed of their memory."""
    used = zip(demand.blocks, trial.memory, strict=True)
    return sum(block.size * block.uses * memories[m].speed for block, m in used)


def without_main_waste(demand: Demand, trials: Sequence[Spread]) -> list[Spread]:
    """The trials that take of the main RAM no more than the best that lies in it alone, if one
    does: a fast memory may save main RAM, and must not cost any."""
    taken = [extents(demand, trial).get(MAIN, 0) for trial in trials]
    alone = [n for n, trial in zip(taken, trials, strict=True) if set(trial.memory) == {MAIN}]
    most = min(alone, default=max(taken))
    return [trial for n, trial in zip(taken, trials, strict=True) if n <= most]


def extent(demand: Demand, trial: Spread) -> int:
    """Bytes of the arena in all memories."""
    return sum(extents(demand, trial).values())


def extents(demand: Demand, trial: Spread) -> dict[int, int]:
    """Bytes of the arena in each memory that has blocks, by its index."""
    ends: dict[int, int] = {}
    for block, m, offset in zip(demand.blocks, trial.memory, trial.offsets, strict=True):
        ends[m] = max(offset + block.size, ends.get(m, 0))
    return ends


def left_over(demand: Demand, trial: Spread) -> int:
    return sum(demand.blocks[k].size for k in trial.homeless)


def no_room(
    demand: Demand, memories: Sequence[Memory], graph: Graph, needed: int, why: str
) -> BudgetError:
    """What does not fit, by how much, and the call at which most bytes are live."""
    at = graph.nodes[max(0, min(demand.fullest, len(graph.nodes) - 1))].name
    return BudgetError(
        f"the arena needs {demand.lower_bound:,} bytes at least in the memories "
        f"{listed(memories)}: {why}. Most are live at {at}. Train fewer or later layers, or take a "
        "board with more",
        needed,
        sum(m.nbytes for m in memories),
    )
