# SPDX-License-Identifier: Apache-2.0
"""Instructions of a plan on a core, without a build: each node's features, weighted.

The weights are data: coefficients.json has those of each kernel on each core, as they were fitted
to counts in QEMU (`python -m benchmarks.instructions.fit`).
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcutrain.host.prediction.calls import Executed, Part, executed
from mcutrain.host.prediction.density import Densities, Density, density_of
from mcutrain.host.prediction.features import Features, features
from mcutrain.trainer.training_plan import TrainingPlan

FILE = Path(__file__).with_name("coefficients.json")
STANDARD = "cortex-m4"  # whose coefficients of portable kernels serve for a core that is not known
# Cores with the instructions of another: their counts are nearly those.
ALIKE = {"cortex-m0plus": "cortex-m0"}
BETWEEN = "between nodes"  # what is counted there, as if it were a kernel

Coefficients = Mapping[str, Mapping[str, float]]  # by kernel and feature


@dataclass(frozen=True)
class Predicted:
    """A node with the instructions that it should take; ``like`` names the kernel whose
    coefficients were taken for want of its own."""

    of: Executed
    instructions: float
    like: str | None = None

    @property
    def slices(self) -> int:
        """In how many pieces it is computed: rows, or groups of channels; 1 in one call."""
        return max((times for _, times in self.of.calls), default=1)

    @property
    def slice_instructions(self) -> int:
        """Of a piece; all are taken to be alike, though rows at an edge have less to do."""
        return round(self.instructions / self.slices)

    def to_json(self) -> dict[str, Any]:
        return {
            "node": self.of.node.name,
            "part": self.of.part.value,
            "kernels": list(self.of.kernels),
            "macs": self.of.macs,
            "instructions": round(self.instructions),
            "like": self.like,
        }


@dataclass(frozen=True)
class Prediction:
    """Instructions of a plan on ``core``; ``like`` is the core whose coefficients were taken, if
    its own are not known."""

    core: str | None
    like: str | None
    nodes: tuple[Predicted, ...]
    between: float  # of a step, all calls and rows

    @property
    def inference(self) -> int:
        forward = (n.instructions for n in self.nodes if n.of.part is Part.FORWARD)
        return round(sum(forward))

    @property
    def step(self) -> int:
        return round(sum(n.instructions for n in self.nodes) + self.between)

    @property
    def longest(self) -> Predicted:
        """The node with the longest slice: what runs between two calls of mct_port_alive."""
        return max(self.nodes, key=lambda node: node.slice_instructions)

    @property
    def notes(self) -> list[str]:
        """What was assumed, a line each."""
        found = []
        if self.like is not None:
            what = "the chip's core is not known" if self.core is None else f"no {self.core}"
            found.append(f"{what}: predicted as portable C on a {self.like}")
        unknown = dict.fromkeys(
            (name, n.like) for n in self.nodes if n.like for name in n.of.kernels[:1]
        )
        found += [f"{name} was never counted: predicted as {like}" for name, like in unknown]
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "core": self.core,
            "like": self.like,
            "inference": self.inference,
            "step": self.step,
            "longest_slice": slice_json(self.longest),
            "notes": self.notes,
            "nodes": [node.to_json() for node in self.nodes],
        }


def slice_json(longest: Predicted) -> dict[str, Any]:
    return {
        "node": longest.of.node.name,
        "kernels": list(longest.of.kernels),
        "slices": longest.slices,
        "instructions": longest.slice_instructions,
    }


@functools.cache
def coefficients() -> dict[str, dict[str, dict[str, float]]]:
    """By core, kernel and feature."""
    found: dict[str, dict[str, dict[str, float]]] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def predict(plan: TrainingPlan, core: str | None, known: Densities | None = None) -> Prediction:
    """What a step of ``plan`` takes on a core, such as ``cortex-m4``; None is not known.

    ``known`` says how much of each tensor is not 0: without it errors are half zeros.
    """
    cores = coefficients()
    like = None if core in cores else ALIKE.get(core or "", STANDARD)
    table = cores[like or str(core)]
    each = executed(plan)
    nodes = tuple(predicted(node, density_of(node, known), table) for node in each)
    return Prediction(core, like, nodes, weighed(between(each), table[BETWEEN]))


def between(each: Iterable[Executed]) -> Features:
    """Of what stands between the nodes of a step."""
    calls = [times for node in each for _, times in node.calls]
    return {"call": len(calls), "row": sum(times for times in calls if times > 1)}


def predicted(each: Executed, density: Density, table: Coefficients) -> Predicted:
    name = kernel_of(each)
    like = name if name in table else nearest(name, table)
    return Predicted(
        each, weighed(features(each, density), table[like]), None if like == name else like
    )


def kernel_of(each: Executed) -> str:
    """The name under which a node's kernels have coefficients: of several they are fitted
    together."""
    return "+".join(each.kernels)


def weighed(found: Features, weights: Mapping[str, float]) -> float:
    return sum(value * weights.get(name, 0.0) for name, value in found.items())


def nearest(name: str, table: Coefficients) -> str:
    """The kernel with coefficients whose name has most words of this one's, less those of a type.

    >>> nearest("conv2d_update_s8", {"conv2d_s8": {}, "conv2d_update_s16": {}, "add_s8": {}})
    'conv2d_update_s16'
    """
    words = words_of(name)
    others = (other for other in sorted(table) if other != BETWEEN)
    return max(others, key=lambda other: (len(words & words_of(other)), -len(words_of(other))))


def words_of(name: str) -> set[str]:
    return {word for word in re.split(r"[_+]", name) if not re.fullmatch(r"s\d+", word)}
