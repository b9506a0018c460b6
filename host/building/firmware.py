# SPDX-License-Identifier: Apache-2.0
"""From a plan to a measured firmware: generate the C, build it, fit the stack, keep the result.

The one module of the host that uses codegen.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcutrain.codegen.emit import emit_source, nodes_by_line
from mcutrain.codegen.header import emit_header, emit_selection
from mcutrain.codegen.manifest import manifest
from mcutrain.codegen.program import Program, lay_out
from mcutrain.host.boards import board_names, chip_of
from mcutrain.host.building.cache import Lease, filling, lease, prune, touch
from mcutrain.host.building.compilers import cross_compiler, named, native_compiler
from mcutrain.host.building.linkless import (
    CORE_FLAGS,
    MODEL_FLAGS,
    core_program,
    shared_library,
)
from mcutrain.host.building.pio import Firmware, build_firmware
from mcutrain.host.building.target import Target, TargetKind
from mcutrain.host.errors import BuildError
from mcutrain.host.files import write_all, write_whole
from mcutrain.host.outputs import check_writable
from mcutrain.host.places import EMULATORS_DIR, FIRMWARE_DIR, PACKAGE, cache_dir, installation
from mcutrain.trainer.chip import Chip
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.planner.memory import ARENA
from mcutrain.trainer.training_plan import TrainingPlan

if TYPE_CHECKING:
    from mcutrain.host.measure.footprint import Footprint

STACK_ALIGN = 8
MEASURED_HOSTS = ("x86_64", "AMD64")  # whose code the stack analysis can read
RECORD, ELF, MAP = "build.json", "firmware.elf", "firmware.map"
UNFINISHED = "unfinished"  # in a folder of object files while they are made


@dataclass(frozen=True)
class Build:
    """A built firmware: where it is, which it is, and what it takes (Footprint.to_json).

    ``footprint`` is None for a native build on a computer that is not an x86-64, and where the
    model's functions alone are built (Target.has_link).
    """

    plan: TrainingPlan
    target: Target
    folder: Path
    elf: Path
    build_hash: bytes
    footprint: dict[str, Any] | None
    lease: Lease  # the firmware stays in the cache while somebody has it


def build_hash(program: Program, board: str) -> bytes:
    """8 bytes that name a build: generated source, firmware sources, board description."""
    digest = hashlib.sha256(emit_source(program).encode())
    for path in sorted(FIRMWARE_DIR.rglob("*")):
        is_other_board = path.parent.name == "boards" and path.stem != board
        if EMULATORS_DIR in path.parents:  # what runs a firmware is no part of it
            continue
        if path.suffix in (".c", ".h", ".ld", ".json", ".py") and not is_other_board:
            digest.update(path.relative_to(FIRMWARE_DIR).as_posix().encode())
            digest.update(path.read_bytes())
    digest.update((PACKAGE / "platformio.ini").read_bytes())
    digest.update(board.encode())
    return digest.digest()[:8]


def constant_bytes(plan: TrainingPlan) -> int:
    """Flash of the weights, tables and parameters of the generated C."""
    return lay_out(plan).constant_bytes


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


def generate(plan: TrainingPlan, folder: Path, board: str) -> list[Path]:
    """Write the model's C for a board and its manifest; returns their paths. Unchanged files stay.

    The board "" stands for any: the C is the plan's alone.
    """
    program = lay_out(plan)
    build = build_hash(program, board)
    files = {
        f"{plan.name}.c": emit_source(program),
        f"{plan.name}.h": emit_header(program),
        "mct_selected_model.h": emit_selection(plan, build),
        f"{plan.name}.json": json.dumps(manifest(program, build), indent=1) + "\n",
    }
    return write_all({folder / name: text for name, text in files.items()})


def build(plan: TrainingPlan, target: Target, verbose: bool = False) -> Build:
    """The firmware of ``plan`` for ``target``, built now or before by the same compiler.

    A bare-metal firmware is linked twice: the second time its stack has exactly the bytes
    that the analysis of the first link bounds it by. Raises BuildError, BudgetError.
    """
    check_chip(plan, target)
    check_budget(plan, target)
    target.require()
    digest, compiler = build_hash(lay_out(plan), target.board), compiler_version(target)
    folder = cache_dir() / "firmware" / target.board / f"{plan.name}-{digest.hex()}"
    held = lease(folder, shared=True)
    with filling(folder):
        done = read_record(folder)
        if done is None or done["compiler"] != compiler:
            generate(plan, folder / "gen", target.board)
            footprint = None
            if target.has_link:
                with objects_of(target.board) as objects:
                    footprint = link(plan, target, folder, objects, verbose)
            else:
                link_functions(plan, target, folder)
            done = write_record(folder, compiler, footprint)
    touch(folder)
    prune()
    return Build(plan, target, folder, folder / ELF, digest, done["footprint"], held)


def check_copies(plan: TrainingPlan, target: Target, folder: Path) -> None:
    """Raises Error now if ``copy_build`` could not write to ``folder`` later."""
    for path in copies(plan, target, folder) if folder.is_dir() else ():
        check_writable(path)


def copies(plan: TrainingPlan, target: Target, folder: Path) -> list[Path]:
    """What ``copy_build`` leaves in ``folder``, beside what is the same for all models."""
    own = (f"{plan.name}.{ending}" for ending in ("c", "h", "json"))
    return [folder / name for name in (ELF, *([MAP] if target.has_link else []), *own)]


def copy_build(built: Build, folder: Path) -> list[Path]:
    """Put the firmware, its map and the generated C into ``folder``; returns their paths."""
    measured = [built.folder / MAP] if built.target.has_link else []
    sources = [built.elf, *measured, *sorted((built.folder / "gen").iterdir())]
    return write_all({folder / path.name: path.read_bytes() for path in sources})


def write_record(folder: Path, compiler: str, footprint: dict[str, Any] | None) -> dict[str, Any]:
    """Leave beside a finished firmware what is known of it; returns that."""
    done = {"compiler": compiler, "footprint": footprint, "elf": file_hash(folder / ELF)}
    write_whole(folder / RECORD, json.dumps(done))
    return done


def read_record(folder: Path) -> dict[str, Any] | None:
    """What an earlier build left; None if there was none, it was cut short, or its firmware is not
    the one that it made."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        is_whole = record["elf"] == file_hash(folder / ELF) and {"compiler", "footprint"} <= {
            *record
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return record if is_whole else None


def file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_chip(plan: TrainingPlan, target: Target) -> None:
    """Raises BuildError for a plan of another chip; one of the generic chip runs on any."""
    if not plan.chip.is_generic and plan.chip != target.chip:
        raise BuildError(
            f"the plan is for {plan.chip.name}, not for {target.name}: plan for the target that "
            "is built for"
        )


def check_budget(plan: TrainingPlan, target: Target) -> None:
    """Raises BudgetError if arena, state, kept latents and the next sample alone exceed the board's
    main RAM, or kept latents its flash, where constants lie."""
    available = target.chip.ram_bytes
    needed = plan.memory.ram_bytes[ARENA] + plan.slot_bytes + plan.ahead_bytes
    if available and needed > available:
        raise BudgetError(
            f"training needs {needed:,} bytes of RAM for arena and learned state alone, "
            f"{target.name} has {available:,}; the arena is fullest at "
            f"{plan.memory.peak(plan.graph).name}. Train fewer or later layers",
            needed,
            available,
        )
    if plan.latents.flash is None:
        return
    available, needed = target.chip.flash_bytes, constant_bytes(plan)
    if available and needed > available:
        raise BudgetError(
            f"constants need {needed:,} bytes of flash, {target.name} has {available:,}; "
            f"{plan.latents.flash.nbytes:,} of them are latents: give fewer samples to "
            "--flash-latents",
            needed,
            available,
        )


def compiler_version(target: Target) -> str:
    """The first line the target's compiler says of itself, empty if it is not there; with the flags
    where they are not in the build's hash, which covers platformio.ini."""
    if target.has_link:
        return named(f"{target.toolchain_prefix}gcc").version
    if target.kind is TargetKind.CORE:
        return " ".join([cross_compiler(target.core).version, *CORE_FLAGS])
    found = native_compiler()
    return "" if found is None else " ".join([found.version, *MODEL_FLAGS])


def link(
    plan: TrainingPlan, target: Target, folder: Path, objects: Path, verbose: bool
) -> dict[str, Any] | None:
    """Build with the object files in ``objects``, measure, and leave the firmware in the folder."""
    is_simulated, gen_dir = target.kind is TargetKind.SIMULATED, folder / "gen"
    firmware = build_firmware(gen_dir, target.env, objects, verbose, is_measuring=is_simulated)
    footprint = None
    if is_simulated:
        first = footprint_of(plan, target, firmware, is_final=False)
        stack = -(-first.stack_bytes // STACK_ALIGN) * STACK_ALIGN
        check_fit(plan, target, first, stack)
        firmware = build_firmware(gen_dir, target.env, objects, verbose, stack)
    if is_simulated or platform.machine() in MEASURED_HOSTS:
        footprint = footprint_of(plan, target, firmware, is_final=True).to_json()
    firmware.map.replace(folder / MAP)
    firmware.elf.replace(folder / ELF)
    return footprint


def link_functions(plan: TrainingPlan, target: Target, folder: Path) -> None:
    """Leave the model's functions alone in the folder, without a link and without a map."""
    made = folder / f"{ELF}.made"
    if target.kind is TargetKind.CORE:
        core_program(plan.name, folder / "gen", made, target.core)
    else:
        shared_library(plan.name, folder / "gen", made)
    made.replace(folder / ELF)


def check_fit(plan: TrainingPlan, target: Target, found: Footprint, stack_bytes: int) -> None:
    """Raises BudgetError, with what takes the bytes, if a measured firmware exceeds its board."""
    other_ram = sum(found.other_ram_bytes.values()) - found.stack_headroom_bytes
    named = {"latents": "latents", "ahead": "next sample"}
    own = {
        name: found.other_ram_bytes[key]
        for key, name in named.items()
        if key in found.other_ram_bytes
    }
    ram = {
        "arena": plan.memory.regions[ARENA],
        "learned": plan.memory.ram_bytes[ARENA] - plan.memory.regions[ARENA],
        "stack": stack_bytes,
        "link": found.link_bytes,
        **own,
        "other": other_ram - sum(own.values()),
    }
    flash = {
        "constants": found.constant_bytes,
        "code": found.code_bytes,
        "other": sum(found.other_flash_bytes.values()),
    }
    chip = target.chip
    for memory, parts, available, advice in (
        ("RAM", ram, chip.ram_bytes, "train fewer or later layers"),
        ("flash", flash, chip.flash_bytes, "take a smaller model"),
    ):
        needed = sum(parts.values())
        if available is not None and needed > available:
            listed = ", ".join(f"{name} {nbytes:,}" for name, nbytes in parts.items())
            raise BudgetError(
                f"{plan.name}, {plan.scheme.name}: needs {needed:,} bytes of {memory} ({listed}), "
                f"{needed - available:,} more than the {available:,} of {target.name}; {advice}, "
                "or take a larger board",
                needed,
                available,
            )


def footprint_of(
    plan: TrainingPlan, target: Target, firmware: Firmware, is_final: bool
) -> Footprint:
    from mcutrain.host.measure.footprint import measure  # with pyelftools, of an extra

    return measure(
        firmware.elf,
        firmware.map,
        firmware.objects_dir,
        plan.name,
        target.toolchain_prefix,
        checks_reserve=is_final,
        memories=[memory.name for memory in target.chip.beside],
    )


def plan_with_hash(plan_for: Callable[[Chip], TrainingPlan], digest: bytes) -> TrainingPlan | None:
    """The plan whose build of today for one of the boards has this hash; None if none has."""
    made: dict[Chip, Program] = {}
    for board in board_names():
        chip = chip_of(board)
        alike = replace(chip, name="")  # what the plan depends on
        if alike not in made:
            try:
                made[alike] = lay_out(plan_for(chip))
            except BudgetError:  # its memories are too small
                continue
        if build_hash(made[alike], board) == digest:
            return made[alike].plan
    return None


@contextmanager
def objects_of(board: str) -> Iterator[Path]:
    """A folder for this process alone that keeps the board's object files: those that do not
    depend on the model are compiled once. After a build that did not end they are made anew."""
    for number in count():
        folder = cache_dir() / "objects" / installation() / f"{board}-{number}"
        try:
            held = lease(folder, waits=False)
        except BlockingIOError:
            continue
        try:
            unfinished = folder / UNFINISHED
            if unfinished.exists():
                shutil.rmtree(folder)
            folder.mkdir(parents=True, exist_ok=True)
            unfinished.touch()
            yield folder / "build"  # PlatformIO empties it when its own files change
            unfinished.unlink()
            touch(folder)
        finally:
            held.release()
        return
