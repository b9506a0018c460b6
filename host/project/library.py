# SPDX-License-Identifier: Apache-2.0
"""The model of a project as a library of PlatformIO: lib/NAME."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from mcutrain.host.building.firmware import generate
from mcutrain.host.building.target import Target
from mcutrain.host.places import FIRMWARE_DIR
from mcutrain.trainer.training_plan import TrainingPlan
from mcutrain.trainer.variants import beyond


def library_files(plan: TrainingPlan, target: Target) -> dict[str, bytes]:
    """The files of the library, by their paths in the project."""
    with tempfile.TemporaryDirectory() as name:
        made = {path.name: path.read_bytes() for path in generate(plan, Path(name), target.board)}
    root = f"lib/{plan.name}"
    found = {f"{root}/src/{path}": content for path, content in made.items()}
    left_out = set(beyond(plan.chip.features))
    for pattern in ("kernels/*.[ch]", "mct/*.[ch]", "runtime/*.[ch]"):
        for path in FIRMWARE_DIR.glob(pattern):
            inside = path.relative_to(FIRMWARE_DIR).as_posix()
            if inside not in left_out and inside != "runtime/main.c":
                found[f"{root}/src/{inside}"] = path.read_bytes()
    found[f"{root}/library.json"] = json.dumps({"name": plan.name, "version": "0.1.0"}).encode()
    return found
