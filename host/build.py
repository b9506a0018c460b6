# SPDX-License-Identifier: Apache-2.0
"""From a plan to a measured firmware: generate the C, build it, fit the stack, keep the result.

The one module of the host that uses codegen.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codegen.emit import emit_header, emit_selection, emit_source
from codegen.image import Image, lay_out
from codegen.manifest import manifest
from host.footprint import measure
from host.pio import PROJECT_DIR, Firmware, build_firmware
from host.simulator import board_names
from host.target import Kind, Target
from trainer.plan import TrainingPlan

FIRMWARE_DIR = PROJECT_DIR / "firmware"
BUILDS_DIR = PROJECT_DIR / "build" / "firmware"
STACK_ALIGN = 8
MEASURED_HOSTS = ("x86_64", "AMD64")  # whose code the stack analysis can read
RECORD = "build.json"


@dataclass(frozen=True)
class Build:
    """A built firmware: where it is, which it is, and what it takes (Footprint.to_json).

    ``footprint`` is None for a native build on a computer that is not an x86-64.
    """

    plan: TrainingPlan
    target: Target
    folder: Path
    elf: Path
    build_hash: bytes
    footprint: dict[str, Any] | None


def build_hash(image: Image, board: str) -> bytes:
    """8 bytes that name a build: generated source, firmware sources, board description."""
    digest = hashlib.sha256(emit_source(image).encode())
    for path in sorted(FIRMWARE_DIR.rglob("*")):
        is_other_board = path.parent.name == "boards" and path.stem != board
        if path.suffix in (".c", ".h", ".ld", ".json", ".py") and not is_other_board:
            digest.update(path.relative_to(FIRMWARE_DIR).as_posix().encode())
            digest.update(path.read_bytes())
    digest.update((PROJECT_DIR / "platformio.ini").read_bytes())
    digest.update(board.encode())
    return digest.digest()[:8]


def constant_bytes(plan: TrainingPlan) -> int:
    """Flash of the weights, tables and parameters of the generated C."""
    return lay_out(plan).constant_bytes


def generate(plan: TrainingPlan, folder: Path, board: str) -> list[Path]:
    """Write the model's C and its manifest; returns their paths. Unchanged files stay."""
    image = lay_out(plan)
    build = build_hash(image, board)
    files = {
        f"{plan.name}.c": emit_source(image),
        f"{plan.name}.h": emit_header(image),
        "mct_selected_model.h": emit_selection(plan.name, build),
        f"{plan.name}.json": json.dumps(manifest(image, build), indent=1) + "\n",
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    return [folder / name for name in files]


def build(plan: TrainingPlan, target: Target, verbose: bool = False) -> Build:
    """The firmware of ``plan`` for ``target``, built now or before. Raises BuildError.

    A bare-metal firmware is linked twice: the second time its stack has exactly the bytes
    that the analysis of the first link bounds it by.
    """
    digest = build_hash(lay_out(plan), target.board)
    folder = BUILDS_DIR / target.board / f"{plan.name}-{digest.hex()}"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "lock"):
        record = folder / RECORD
        if not record.is_file():
            generate(plan, folder / "gen", target.board)
            done = link(plan, target, folder, verbose)
            temporary = record.with_suffix(".tmp")
            temporary.write_text(json.dumps(done), encoding="utf-8")
            temporary.replace(record)
        done = json.loads(record.read_text(encoding="utf-8"))
    return Build(plan, target, folder, folder / done["elf"], digest, done["footprint"])


def link(plan: TrainingPlan, target: Target, folder: Path, verbose: bool) -> dict[str, Any]:
    """Build and measure; what the record of a build holds."""

    def once(stack_bytes: int | None) -> tuple[Firmware, dict[str, Any] | None]:
        firmware = build_firmware(folder / "gen", target.env, folder / "pio", verbose, stack_bytes)
        if target.kind is Kind.NATIVE and platform.machine() not in MEASURED_HOSTS:
            return firmware, None
        footprint = measure(
            firmware.elf, firmware.map, firmware.objects_dir, plan.name, target.toolchain_prefix
        )
        return firmware, footprint.to_json()

    firmware, footprint = once(None)
    if footprint is not None and target.kind is Kind.SIMULATED:
        stack = -(-footprint["stack_bytes"] // STACK_ALIGN) * STACK_ALIGN
        firmware, footprint = once(stack)
    return {"elf": str(firmware.elf.relative_to(folder.resolve())), "footprint": footprint}


def board_of(plan: TrainingPlan, digest: bytes) -> str | None:
    """The board for which today's build of ``plan`` has this hash; None if there is none."""
    image = lay_out(plan)
    return next((b for b in board_names() if build_hash(image, b) == digest), None)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time in here."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
