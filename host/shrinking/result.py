# SPDX-License-Identifier: Apache-2.0
"""What came of a shrinking, for tables, pages and programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mcutrain.host.search.budget import Cost
from mcutrain.host.shrinking.quality import Quality
from mcutrain.trainer.notes import Note

ORIGINAL, CUT, REPAIRED, DISTILLED, FOUR_BITS = (
    "original", "channels cut", "least squares", "distillation", "4-bit weights",
)  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """What the model was worth behind one of the phases."""

    name: str
    quality: Quality

    def to_json(self) -> dict[str, Any]:
        return {"stage": self.name, **self.quality.to_json()}


@dataclass(frozen=True)
class Priced:
    """What training a model costs by its plan: ``instructions`` of a step are predicted."""

    name: str
    cost: Cost

    def to_json(self) -> dict[str, Any]:
        cost = self.cost
        return {
            "model": self.name,
            "sram_bytes": cost.sram,
            "arena_bytes": cost.arena,
            "learned_bytes": cost.learned,
            "constant_bytes": cost.constants,
            "step_macs": cost.macs,
            "predicted_instructions": cost.instructions,
        }


@dataclass(frozen=True)
class Built:
    """All bytes of a build for a target, with stack, link and code."""

    target: str
    sram_bytes: int
    flash_bytes: int


@dataclass(frozen=True)
class GroupKept:
    """Of a group of channels that leave together: how many stay of how many, and the bytes of the
    weights and biases that make them, then and now."""

    name: str
    kept: int
    units: int
    nbytes: int
    was_bytes: int


@dataclass(frozen=True)
class Adapted:
    """A training of the original and of the smaller model as they would be trained, on the labelled
    samples: the metric of held-out ones behind it. ``before`` is that of the smaller model."""

    metric: str  # "accuracy" or "mse"
    update: str
    steps: int
    original: float | None
    smaller: float
    before: float


@dataclass(frozen=True)
class Point:
    """A model on the way to the budget: bytes of RAM, channels that stay, and the part of the
    scores that left."""

    sram: int
    channels: int
    loss: float


@dataclass(frozen=True)
class Shrunk:
    """What was made: ``options`` are those of a plan that fits, beside what was asked for;
    ``command`` trains the new file as it was planned."""

    name: str
    output: Path
    data: bytes
    was_bytes: int
    sram: int | None
    flash: int | None
    instructions: int | None
    options: tuple[str, ...]
    groups: tuple[GroupKept, ...]
    stays: Mapping[str, str]
    prices: tuple[Priced, ...]  # of the original, and of what was made
    stages: tuple[Stage, ...]
    adapted: Adapted | None
    curve: tuple[Point, ...]
    judged_on: int  # held-out inputs
    inputs: int
    distillation: Mapping[str, Any]
    command: str
    notes: tuple[Note, ...] = ()
    scheme: str | None = None  # of a search: the scheme file, and what was trained
    search: Mapping[str, Any] | None = None
    built: Built | None = None

    @property
    def sizes(self) -> tuple[int, int]:
        """How many channels stay, of how many in groups."""
        return sum(g.kept for g in self.groups), sum(g.units for g in self.groups)

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.name,
            "output": str(self.output),
            "bytes": len(self.data),
            "original_bytes": self.was_bytes,
            "limits": {"sram": self.sram, "flash": self.flash, "instructions": self.instructions},
            "options": list(self.options),
            "groups": [asdict(each) for each in self.groups],
            "stays": dict(self.stays),
            "prices": [each.to_json() for each in self.prices],
            "build": None if self.built is None else asdict(self.built),
            "stages": [each.to_json() for each in self.stages],
            "adaptation": None if self.adapted is None else asdict(self.adapted),
            "curve": [asdict(each) for each in self.curve],
            "inputs": self.inputs,
            "held_out_inputs": self.judged_on,
            "distillation": dict(self.distillation),
            "search": self.search,
            "command": self.command,
            "notes": [asdict(note) for note in self.notes],
        }
