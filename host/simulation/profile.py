# SPDX-License-Identifier: Apache-2.0
"""Instructions of a step and of an inference by node of the plan.

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
from mcutrain.host.building.firmware import Build, source_nodes
from mcutrain.host.prediction.calls import Executed, Part, executed
from mcutrain.host.simulation.cycles import TIMINGS, Timing
from mcutrain.host.simulation.instructions import STEPS, Counted, Owned, read_counted

BETWEEN = "between"  # instructions of a step or an inference that no node has


@dataclass(frozen=True)
class NodeCost:
    """A node and its instructions in one step or inference, with an estimate of its cycles."""

    of: Executed
    instructions: int
    cycles: int | None

    @property
    def per_mac(self) -> float | None:
        return self.instructions / self.of.macs if self.of.macs else None

    def to_json(self, whole: int) -> dict[str, Any]:
        return {
            "node": self.of.node.name,
            "operator": self.of.node.index,
            "kind": type(self.of.node.op).__name__,
            "part": self.of.part.value,
            "kernels": list(self.of.kernels),
            "macs": self.of.macs,
            "instructions": self.instructions,
            "instructions_per_mac": self.per_mac,
            "estimated_cycles": self.cycles,
            "share": self.instructions / whole,
        }


@dataclass(frozen=True)
class Profile:
    """One run of a region, a step or an inference: its instructions, and those of each node.
    ``cycles`` are an estimate; None for a core of which there is none."""

    region: str
    instructions: int
    cycles: int | None
    nodes: tuple[NodeCost, ...]

    @property
    def parts(self) -> dict[str, int]:
        """Instructions of each Part, and of what stands between the nodes."""
        found = {
            part.value: sum(cost.instructions for cost in self.nodes if cost.of.part is part)
            for part in Part
        }
        return {**found, BETWEEN: self.instructions - sum(found.values())}

    def to_json(self) -> dict[str, Any]:
        return {
            "instructions": self.instructions,
            "estimated_cycles": self.cycles,
            "parts": self.parts,
            "nodes": [cost.to_json(self.instructions) for cost in self.nodes],
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
    """What instructions take on the build's core, if it is known."""
    return TIMINGS.get(core_of(build.target.board) or "")


def _profile(build: Build, region: str, runs: Sequence[Counted]) -> Profile:
    steady = runs[1:] if region in STEPS and len(runs) > 1 else runs
    run = sorted(steady, key=lambda each: each.count)[(len(steady) - 1) // 2]
    timing, kinds = timing_of(build), run.kinds
    cycles = {n: timing.estimate(counts) for n, counts in kinds.items()} if timing else {}
    numbered = enumerate(executed(build.plan), 1)
    costs = [
        NodeCost(each, run.by_owner[n], cycles.get(n)) for n, each in numbered if n in run.by_owner
    ]
    return Profile(region, run.count, sum(cycles.values()) if cycles else None, tuple(costs))
