# SPDX-License-Identifier: Apache-2.0
"""A build's firmware, map and C, copied into a folder of the user's."""

from __future__ import annotations

import shutil
from pathlib import Path

from mcutrain.host.building.firmware import ELF, MAP, Build
from mcutrain.host.building.keyed import private
from mcutrain.host.building.target import Target
from mcutrain.host.errors import BuildError
from mcutrain.host.files import write_all
from mcutrain.host.outputs import check_writable
from mcutrain.trainer.training_plan import TrainingPlan

# What each kind of file that is copied holds; a linker's map has no sign of its own.
SIGNS = {
    ".c": b"enerated by mcutrain",
    ".h": b"enerated by mcutrain",
    ".json": b'"numerics_hash"',
    ".elf": b"\x7fELF",
}


def check_copies(plan: TrainingPlan, target: Target, folder: Path) -> None:
    """Raises Error now if ``copy_build`` could not write to ``folder`` later, or would write over a
    file of somebody else's there."""
    for path in copies(plan, target, folder) if folder.is_dir() else ():
        check_writable(path)
        if path.is_file() and not is_ours(path):
            raise BuildError(
                f"{path} is not of mcutrain and would be lost: give another folder, or move it"
            )


def is_ours(path: Path) -> bool:
    """Whether a file is of the kind that ``copy_build`` leaves under its name."""
    sign = SIGNS.get(path.suffix)
    return sign is None or sign in path.read_bytes()


def copies(plan: TrainingPlan, target: Target, folder: Path) -> list[Path]:
    """What ``copy_build`` leaves in ``folder``, beside what is the same for all models."""
    own = (f"{plan.name}.{ending}" for ending in ("c", "h", "json"))
    return [folder / name for name in (ELF, *([MAP] if target.has_link else []), *own)]


def copy_build(built: Build, folder: Path) -> list[Path]:
    """Put the firmware, its map and the generated C into ``folder``; returns their paths."""
    linked = built.folder / MAP  # a real board's platform need not leave one
    sources = [
        built.elf,
        *([linked] if linked.is_file() else []),
        *sorted((built.folder / "gen").iterdir()),
    ]
    with private(built.keys):
        written = write_all({folder / path.name: path.read_bytes() for path in sources})
    shutil.copymode(built.elf, folder / ELF)  # the native one is a program
    return written
