# SPDX-License-Identifier: Apache-2.0
"""What is known of the build that a board at a serial port runs: its bytes, if this computer has
built it, and its instructions, counted by an emulator or predicted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcutrain.host.boards import core_of
from mcutrain.host.building.firmware import Build, built_before
from mcutrain.host.building.target import Target
from mcutrain.host.cost import measured, planned
from mcutrain.host.files import write_whole
from mcutrain.host.prediction.density import traced
from mcutrain.host.prediction.predict import predict
from mcutrain.host.simulation.counts import Unit
from mcutrain.trainer.training_plan import TrainingPlan

COUNTS = "counts.json"  # beside a simulated build: what was counted last


@dataclass(frozen=True)
class Known:
    """What an emulator has counted of a build, by the keys of Outcome; nothing if none has."""

    counted: Mapping[str, dict[str, float | None]] = field(default_factory=dict)
    unit: Unit = Unit.INSTRUCTIONS


@dataclass(frozen=True)
class PortBuild:
    """``target`` names whose build it is; ``cost`` is measured if ``is_measured``, else planned.
    ``counts`` are those of an emulator; ``predicted`` is of the core."""

    target: str
    cost: dict[str, Any]
    is_measured: bool
    counts: Known
    predicted: dict[str, Any]

    @property
    def instructions_are(self) -> str:
        is_counted = self.counts.counted and self.counts.unit is Unit.INSTRUCTIONS
        return "counted" if is_counted else "predicted"

    def told(self) -> str:
        """Where the figures come from, in words."""
        bytes_ = (
            f"RAM and flash are those of the build for {self.target}, by its linker"
            if self.is_measured
            else f"RAM and flash are not known: `mcutrain build --target {self.target}` measures "
            "this build"
        )
        if self.counts.counted:
            unit = self.counts.unit.value
            return f"{bytes_}; {unit} were counted in an emulator, in another run"
        core = self.predicted["core"]
        like = (
            core if self.predicted["like"] is None else f"{self.predicted['like']}, as portable C"
        )
        return f"{bytes_}; instructions are predicted for a {like}, not counted"

    def to_json(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "bytes_are": "measured" if self.is_measured else "planned",
            "instructions_are": self.instructions_are,
            "predicted_instructions": self.predicted,
            "told": self.told(),
        }


def port_build(plan: TrainingPlan, board: str, *, is_keyed: bool = False) -> PortBuild:
    """What is known of the build of ``plan`` for a board, by its id; nothing is built."""
    target = Target.of_board(board)
    built = built_before(plan, target, is_keyed=is_keyed)
    cost = planned(plan) | {"target": target.name} if built is None else measured(built)
    counts = Known() if built is None else read_counts_of(built.folder)
    found = predict(plan, core_of(board), traced(plan)).to_json()
    predicted = {key: found[key] for key in ("core", "like", "step", "inference", "notes")}
    is_measured = built is not None and built.footprint is not None
    return PortBuild(target.name, cost, is_measured, counts, predicted)


def keep_counts(built: Build, counts: Known) -> None:
    """Leave beside a build what an emulator has counted of it."""
    found = {"unit": counts.unit.value, "counted": dict(counts.counted)}
    write_whole(built.folder / COUNTS, json.dumps(found))


def read_counts_of(folder: Path) -> Known:
    """What ``keep_counts`` left; nothing if it did not, or that is damaged."""
    try:
        found = json.loads((folder / COUNTS).read_text(encoding="utf-8"))
        counted, unit = dict(found["counted"]), Unit(found["unit"])
    except (OSError, ValueError, KeyError, TypeError):
        return Known()
    return Known(counted, unit) if all(isinstance(v, dict) for v in counted.values()) else Known()
