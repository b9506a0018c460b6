# SPDX-License-Identifier: Apache-2.0
"""Which saved activations to compute again, so that the arena is smallest at the fewest operations
(docs/adr/0038-recomputation.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.tensor import Tensor
from mcutrain.trainer.planner.channel_choice import with_groups
from mcutrain.trainer.planner.lifetimes import aligned, demand
from mcutrain.trainer.planner.parts import Placed
from mcutrain.trainer.planner.recompute import Recomputed, StepGraph
from mcutrain.trainer.planner.row_choice import with_regions

TRIES = 3  # to meet one limit
Key = tuple[int, int]


@dataclass(frozen=True)
class Trial:
    """A step with some activations dropped, and the bytes live at each call, from -1 on."""

    dropped: frozenset[Tensor]
    done: Recomputed
    live: list[int]

    @property
    def key(self) -> Key:
        """(peak, calls at which it is reached): less is better."""
        return key_of(self.live)


def key_of(live: list[int]) -> Key:
    peak = max(live, default=0)
    return peak, live.count(peak)


class RecomputeSearch:
    """Which of a step's saved activations to drop. Bytes are those with regions of rows, and of
    channels as in ``grouped``, the step's graph with as small ones as help."""

    def __init__(self, step: StepGraph, grouped: Graph) -> None:
        self.plain, self.step = step, replace(step, graph=grouped)
        found = self.tried(frozenset())
        assert found is not None
        self.best = found

    def tried(self, dropped: frozenset[Tensor], bound: Key | None = None) -> Trial | None:
        """The step without ``dropped``; None if there is none or its key is not below ``bound``."""
        done, step = self.step.without(dropped), self.step
        if done is None or self.plain.without(dropped) is None:
            return None
        nodes, live = done.graph.nodes, demand(done.graph, step.keep).live[1:]
        copies = set(done.copies)
        fixed = [live[k] for k in range(done.end, len(nodes)) if nodes[k] not in copies]
        if bound is not None and key_of(fixed) >= bound:
            return None
        anew = bool(copies)
        rows = with_regions(done.graph, step.keep, done.end, step.border, step.arriving, anew)
        trial = Trial(dropped, done, demand(rows, step.keep).live)
        return trial if bound is None or trial.key < bound else None

    def options(self, excess: int) -> Iterator[frozenset[Tensor]]:
        """What to drop next, the cheapest first: by price for each byte of what is too much."""
        found = []
        for k, tensor in enumerate(self.step.saved):
            if tensor in self.best.dropped:
                continue
            dropped = self.best.dropped | {tensor}
            if (done := self.step.without(dropped)) is not None:
                size = aligned(tensor.type.nbytes, tensor.type.alignment)
                price = done.price - self.best.done.price
                found.append((price / min(size, excess), k, dropped))
        return (dropped for *_, dropped in sorted(found, key=lambda option: option[:2]))

    def lower(self, limit: int) -> None:
        """Drop one after another, as long as the peak is above ``limit`` and gets lower."""
        while (peak := self.best.key[0]) > limit:
            tries = (self.tried(dropped, self.best.key) for dropped in self.options(peak - limit))
            found = next((trial for trial in tries if trial is not None), None)
            if found is None:
                return
            self.best = found

    def spare(self, limit: int) -> None:
        """Save again what need not be dropped for ``limit``, or for the peak that was reached; the
        dearest first."""
        bound = max(limit, self.best.key[0]) + 1, 0
        prices = {}
        for tensor in self.best.dropped:
            if (done := self.step.without(self.best.dropped - {tensor})) is not None:
                prices[tensor] = done.price
        for tensor in sorted(prices, key=lambda t: (prices[t], t.name)):
            self.best = self.tried(self.best.dropped - {tensor}, bound) or self.best


def place_recomputed(
    step: StepGraph, whole: Placed, place: Callable[[Recomputed], Placed], limit: int
) -> tuple[Placed, Recomputed | None]:
    """The step with as much computed again as an arena of ``limit`` bytes takes, or the least
    arena; ``whole``, the step as it is, if that is no larger."""
    best: tuple[Placed, Recomputed | None] = whole, None
    grouped, wanted = with_groups(step.graph, step.keep, 0), limit
    for left in reversed(range(TRIES)):
        if best[0][1].arena_bytes <= limit:
            break
        search = RecomputeSearch(step, grouped)
        search.lower(wanted)
        search.spare(wanted)
        if search.best.key[0] > wanted > 0:  # what is cheap at first can end too early
            wanted = 0
            continue
        done = step.without(search.best.dropped) if search.best.dropped else None
        found = whole if done is None else place(done)
        if found[1].arena_bytes < best[0][1].arena_bytes:
            best = found, done
        if wanted == 0:
            break
        # A placement can need more than is live.
        above = found[1].arena_bytes - limit
        wanted = max(0, wanted - above) if left > 1 else 0
    return best
