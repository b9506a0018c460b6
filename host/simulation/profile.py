# SPDX-License-Identifier: Apache-2.0
"""Instructions, or cycles, of a step and of an inference by node of the plan.

The firmware is the one that is always built. Its debug information says which instructions come
from a line of the generated C that calls a node's kernel: they are the node's, with all that they
call. All other instructions, such as those of the loop over the rows of a region, stand between
nodes. So the parts add up to the whole by their definition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcutrain.host.boards import core_of
from mcutrain.host.building.firmware import Build
from mcutrain.host.building.source import source_nodes
from mcutrain.host.prediction.calls import Executed, Part, executed
from mcutrain.host.simulation.counts import STEPS, Counted, Owned, Unit, read_counted
from mcutrain.host.simulation.cycles import TIMINGS, Timing
from mcutrain.host.simulation.emulators.known import emulator_of

BETWEEN = "between"  # what no node has of a step or an inference


@dataclass(frozen=True)
class NodeCost:
    """A node and what was counted of it in one step or inference; where that are instructions, with
    an estimate of its cycles."""

    of: Executed
    count: int
    estimated_cycles: int | None

    @property
    def per_mac(self) -> float | None:
        return self.count / self.of.macs if self.of.macs else None

    def to_json(self, whole: int, unit: Unit) -> dict[str, Any]:
        return {
            "node": self.of.node.name,
            "operator": self.of.node.index,
            "kind": type(self.of.node.op).__name__,
            "part": self.of.part.value,
            "kernels": list(self.of.kernels),
            "macs": self.of.macs,
            unit.value: self.count,
            f"{unit.value}_per_mac": self.per_mac,
            "estimated_cycles": self.estimated_cycles,
            "share": self.count / whole,
        }


@dataclass(frozen=True)
class Profile:
    """One run of a region, a step or an inference: what ``emulator`` counted of it in ``unit``, and
    of each node. ``estimated_cycles`` are None for a core of which there is no estimate, and where
    the emulator itself counts cycles."""

    region: str
    count: int
    estimated_cycles: int | None
    nodes: tuple[NodeCost, ...]
    unit: Unit
    emulator: str
    caveat: str  # what the counts leave out

    @property
    def parts(self) -> dict[str, int]:
        """The count of each Part, and of what stands between the nodes."""
        found = {
            part.value: sum(cost.count for cost in self.nodes if cost.of.part is part)
            for part in Part
        }
        return {**found, BETWEEN: self.count - sum(found.values())}

    def to_json(self) -> dict[str, Any]:
        return {
            "unit": self.unit.value,
            "emulator": self.emulator,
            "caveat": self.caveat,
            self.unit.value: self.count,
            "estimated_cycles": self.estimated_cycles,
            "parts": self.parts,
            "nodes": [cost.to_json(self.count, self.unit) for cost in self.nodes],
        }


def profiles_json(found: dict[str, Profile]) -> dict[str, Any]:
    return {region: profile.to_json() for region, profile in found.items()}


def owners(build: Build) -> Iterator[Owned]:
    """Who owns the instructions of the generated C: what is ``executed`` as number n, counted from
    1, is owner n."""
    from mcutrain.host.measure.lines import line_ranges

    source, nodes = source_nodes(build.plan)
    numbers = {each.node: n for n, each in enumerate(executed(build.plan), 1)}
    for each in line_ranges(build.elf, source):
        node = nodes.get(each.line) if each.file == source else None
        yield Owned(each.begin, each.end, 0 if node is None else numbers[node])


def profiles(build: Build, counts: Path) -> dict[str, Profile]:
    """Of each region that was counted by node, the run whose count is the median, the lower of two:
    of a step the first left out if there is another, for it takes less."""
    found = read_counted(counts)
    return {region: _profile(build, region, runs) for region, runs in found.items()}


def timing_of(build: Build) -> Timing | None:
    """What instructions take on the build's core, if it is known and their kinds are counted."""
    board = build.target.board
    return TIMINGS.get(core_of(board) or "") if emulator_of(board).counts_kinds else None


def _profile(build: Build, region: str, runs: Sequence[Counted]) -> Profile:
    steady = runs[1:] if region in STEPS and len(runs) > 1 else runs
    run = sorted(steady, key=lambda each: each.count)[(len(steady) - 1) // 2]
    timing, kinds = timing_of(build), run.kinds
    cycles = {n: timing.estimate(counts) for n, counts in kinds.items()} if timing else {}
    numbered = enumerate(executed(build.plan), 1)
    costs = [
        NodeCost(each, run.by_owner[n], cycles.get(n)) for n, each in numbered if n in run.by_owner
    ]
    emulator = emulator_of(build.target.board)
    assert emulator.counts is not None  # or there were no counts
    return Profile(
        region, run.count, sum(cycles.values()) if cycles else None, tuple(costs),
        emulator.counts, emulator.title, emulator.caveat,
    )  # fmt: skip
