# SPDX-License-Identifier: Apache-2.0
"""An arena in several memories of a chip (CCM, DTCM, banks): each block wholly in one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from trainer.errors import BudgetError
from trainer.graph import Graph, Node
from trainer.lifetimes import Demand
from trainer.placement import Placer, greedy_orders

TRIES = 60  # of an order, with the blocks in front that found no room


@dataclass(frozen=True)
class Memory:
    """``nbytes`` of RAM in a section ``name``; ``speed`` is relative, more is faster."""

    name: str
    nbytes: int
    speed: float = 1.0


@dataclass(frozen=True)
class Spread:
    """For each block the index of its memory and its offset there; -1 if it found no room."""

    memory: tuple[int, ...]
    offsets: tuple[int, ...]

    @property
    def homeless(self) -> list[int]:
        return [k for k, memory in enumerate(self.memory) if memory < 0]


def spread_blocks(demand: Demand, memories: Sequence[Memory], graph: Graph) -> Spread:
    """Blocks in memories, so that of the bytes read and written many are in fast ones.

    Raises BudgetError if no placement was found.
    """
    trials = list(all_trials(demand, memories))
    fitting = [trial for trial in trials if not trial.homeless]
    if fitting:
        return max(fitting, key=lambda trial: traffic(demand, memories, trial))
    raise no_room(demand, memories, graph, min(trials, key=lambda trial: left_over(demand, trial)))


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


def left_over(demand: Demand, trial: Spread) -> int:
    return sum(demand.blocks[k].size for k in trial.homeless)


def no_room(demand: Demand, memories: Sequence[Memory], graph: Graph, trial: Spread) -> BudgetError:
    """What does not fit, by how much, and the call at which most bytes are live."""
    available = sum(m.nbytes for m in memories)
    sizes = ", ".join(f"{m.name} {m.nbytes:,}" for m in memories)
    worst = demand.blocks[max(trial.homeless, key=lambda k: demand.blocks[k].size)]
    at = graph.nodes[max(0, min(demand.fullest, len(graph.nodes) - 1))].name
    what = f"{worst.item.name}{' (scratch)' if isinstance(worst.item, Node) else ''}"
    rest = left_over(demand, trial)
    why = f"{rest:,} bytes find no room, {what} of {worst.size:,} first"
    needed = available + rest
    if demand.lower_bound > available:
        needed, why = demand.lower_bound, f"{demand.lower_bound - available:,} more than there are"
    return BudgetError(
        f"the arena needs {demand.lower_bound:,} bytes at least in the memories {sizes}: {why}. "
        f"Most are live at {at}. Train fewer or later layers, or take a board with more",
        needed,
        available,
    )
