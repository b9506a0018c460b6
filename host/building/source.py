# SPDX-License-Identifier: Apache-2.0
"""The C of a plan and the hash that names its builds: beside ``folder`` the one module of the host
that uses codegen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mcutrain.codegen.copies import KEYS
from mcutrain.codegen.emit import emit_source, nodes_by_line
from mcutrain.codegen.header import emit_header, emit_keys, emit_selection
from mcutrain.codegen.manifest import manifest
from mcutrain.codegen.program import Program, lay_out
from mcutrain.host.boards import REAL, board_names, chip_of, description_path, real_board_names
from mcutrain.host.building.keyed import whole
from mcutrain.host.files import write_all
from mcutrain.host.keys import Keys
from mcutrain.host.places import (
    BOARDS_DIR,
    EMULATORS_DIR,
    FIRMWARE_DIR,
    PACKAGE,
    PROJECT_DIR,
    REAL_BOARDS_DIR,
)
from mcutrain.trainer.chip import Chip
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.training_plan import TrainingPlan

DESCRIPTIONS = {BOARDS_DIR.name, REAL_BOARDS_DIR.name}
WITH_STORE, WITH_KEYS = b"store", b", with keys"  # end what is hashed of such a build


def build_hash(program: Program, board: str, *, is_keyed: bool = False) -> bytes:
    """8 bytes that name a build: generated source, firmware sources, board description, and whether
    it has keys, which themselves are left out (the bytes are for everyone), and a store."""
    without, with_store = build_hashes(program, board, is_keyed=is_keyed)
    return with_store if program.plan.options.store else without


def build_hashes(program: Program, board: str, *, is_keyed: bool = False) -> tuple[bytes, bytes]:
    """``build_hash`` without a store, and with one."""
    digest = hashlib.sha256(emit_source(program).encode())
    is_described = board.removeprefix(REAL) in (*board_names(), *real_board_names())
    own = description_path(board) if is_described else None  # a core alone has no description
    for path in sorted(FIRMWARE_DIR.rglob("*")):
        is_other_board = path.parent.name in DESCRIPTIONS and path != own
        # What runs a firmware is no part of it, nor is what a user's own begins with.
        if is_other_board or {EMULATORS_DIR, PROJECT_DIR} & {*path.parents}:
            continue
        if path.suffix in (".c", ".cpp", ".h", ".ld", ".json", ".py"):
            digest.update(path.relative_to(FIRMWARE_DIR).as_posix().encode())
            digest.update(path.read_bytes())
    digest.update((PACKAGE / "platformio.ini").read_bytes())
    digest.update(board.encode())
    if is_keyed:
        digest.update(WITH_KEYS)
    without = digest.digest()[:8]
    digest.update(WITH_STORE)
    return without, digest.digest()[:8]


def hash_of(plan: TrainingPlan, board: str, *, is_keyed: bool = False) -> bytes:
    """``build_hash`` of the plan's C."""
    return build_hash(lay_out(plan), board, is_keyed=is_keyed)


def constant_bytes(plan: TrainingPlan) -> int:
    """Flash of the weights, tables and parameters of the generated C."""
    return lay_out(plan).constant_bytes


def copied_constant_bytes(plan: TrainingPlan, chip: Chip) -> int:
    """Of these, what lies in RAM too on a chip."""
    return lay_out(plan).pointed_bytes if chip.copies_constants else 0


def step_calls(plan: TrainingPlan) -> int:
    """Kernel calls of a step, as the generated C counts them."""
    return len(lay_out(plan).calls)


def kernels(plan: TrainingPlan) -> set[str]:
    """The names of the C functions that a step calls."""
    calls = (name for each in lay_out(plan).calls for name in each.kernels.split("+"))
    return {f"mct_{name}" for name in calls}


def source_nodes(plan: TrainingPlan) -> tuple[str, dict[int, Node]]:
    """The name of the generated C file, and for each of its lines that calls a kernel its node."""
    return f"{plan.name}.c", nodes_by_line(lay_out(plan))


def generate(plan: TrainingPlan, folder: Path, board: str, keys: Keys | None = None) -> list[Path]:
    """Write the model's C for a board and its manifest; returns their paths. Unchanged files stay.

    The board "" stands for any: the C is the plan's alone.
    """
    files = emitted(lay_out(plan), board, keys)
    return write_all({folder / name: text for name, text in files.items()})


def emitted(program: Program, board: str, keys: Keys | None = None) -> dict[str, str]:
    """By their names, the files that are a model's own."""
    is_keyed = keys is not None
    plan, build = program.plan, build_hash(program, board, is_keyed=is_keyed)
    secret = {} if keys is None else {KEYS: emit_keys(whole(keys))}
    return secret | {
        f"{plan.name}.c": emit_source(program),
        f"{plan.name}.h": emit_header(program),
        "mct_selected_model.h": emit_selection(plan, build, is_keyed=is_keyed),
        f"{plan.name}.json": json.dumps(manifest(program, build), indent=1) + "\n",
    }


def with_store(plan: TrainingPlan, store: bool) -> TrainingPlan:
    """The plan of a firmware with a store, or without."""
    return replace(plan, options=replace(plan.options, store=store))


def plan_with_hash(
    plan_for: Callable[[Chip], TrainingPlan], digest: bytes, *, is_keyed: bool = False
) -> tuple[TrainingPlan, str] | None:
    """The plan whose build of today for one of the boards has this hash, with a store or without,
    and the board; None if none has."""
    made: dict[Chip, Program] = {}
    for board in (*board_names(), *(REAL + name for name in real_board_names())):
        chip = chip_of(board)
        alike = replace(chip, name="")  # what the plan depends on
        if alike not in made:
            try:
                made[alike] = lay_out(plan_for(chip))
            except BudgetError:  # its memories are too small
                continue
        hashes = build_hashes(made[alike], board, is_keyed=is_keyed)
        if digest in hashes:
            return with_store(made[alike].plan, digest == hashes[1]), board
    return None
