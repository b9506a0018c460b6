# SPDX-License-Identifier: Apache-2.0
"""From a plan to a measured firmware: generate the C, build it, fit the stack, keep the result.

Beside ``folder`` the one module of the host that uses codegen.
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

from mcutrain.codegen.copies import KEYS
from mcutrain.codegen.emit import emit_source, nodes_by_line
from mcutrain.codegen.header import emit_header, emit_keys, emit_selection
from mcutrain.codegen.manifest import manifest
from mcutrain.codegen.program import Program, lay_out
from mcutrain.host.boards import REAL, board_names, chip_of, description_path, real_board_names
from mcutrain.host.building.cache import Lease, filling, lease, prune, touch
from mcutrain.host.building.compilers import cross_compiler, named, native_compiler
from mcutrain.host.building.keyed import check_keys, private, told_of_nonces, whole
from mcutrain.host.building.known import FIRMWARE
from mcutrain.host.building.linkless import (
    CORE_FLAGS,
    MODEL_FLAGS,
    core_program,
    shared_library,
)
from mcutrain.host.building.pio import (
    Firmware,
    build_firmware,
    link_again,
    run_platformio,
    upload_command,
)
from mcutrain.host.building.target import Target, TargetKind
from mcutrain.host.errors import BuildError
from mcutrain.host.extras import require_extra
from mcutrain.host.files import write_all, write_whole
from mcutrain.host.keys import Keys
from mcutrain.host.places import (
    BOARDS_DIR,
    EMULATORS_DIR,
    FIRMWARE_DIR,
    PACKAGE,
    PROJECT_DIR,
    REAL_BOARDS_DIR,
    cache_dir,
    installation,
)
from mcutrain.host.real_boards import real_board
from mcutrain.trainer.chip import FRAMES, Chip
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.planner.memory import ARENA
from mcutrain.trainer.training_plan import TrainingPlan

if TYPE_CHECKING:
    from mcutrain.host.measure.footprint import Footprint

STACK_ALIGN = 8
MOST_BYTES_OF_16_BITS = 32767  # of an array, where a difference of pointers has 16 bits
MEASURED_HOSTS = ("x86_64", "AMD64")  # whose code the stack analysis can read
RECORD, ELF, MAP = "build.json", "firmware.elf", "firmware.map"
DESCRIPTIONS = {BOARDS_DIR.name, REAL_BOARDS_DIR.name}
NOT_FETCHED = ("HTTPClientError", "UnknownPackageError", "InternetConnectionError")
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
    keys: Keys | None = None  # that it has


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


def build(
    plan: TrainingPlan, target: Target, verbose: bool = False, keys: Keys | None = None
) -> Build:
    """The firmware of ``plan`` for ``target``, built now or before by the same compiler.

    A bare-metal firmware is linked twice: the second time its stack has exactly the bytes
    that the analysis of the first link bounds it by. With ``keys`` it obeys only who has them.
    Raises BuildError, BudgetError, KeyFileError.
    """
    check_before_build(plan, target)
    check_keys(keys, target)
    if target.kind is TargetKind.REAL:
        require_extra("build")
    target.require()
    digest = build_hash(lay_out(plan), target.board, is_keyed=keys is not None)
    made_by = {"compiler": compiler_version(target), "keys": None if keys is None else keys.tag()}
    folder = folder_of(plan, target, digest)
    held = lease(folder, shared=True)
    with filling(folder), private(keys), told_of_nonces(target):
        done = read_record(folder)
        if done is None or any(done.get(name) != value for name, value in made_by.items()):
            generate(plan, folder / "gen", target.board, keys)
            footprint = None
            if target.has_link:
                with objects_of(target.board) as objects:
                    footprint = link(plan, target, folder, objects, verbose)
            else:
                link_functions(plan, target, folder)
            done = write_record(folder, made_by, footprint)
    touch(folder)
    prune()
    return Build(plan, target, folder, folder / ELF, digest, done["footprint"], held, keys)


def check_before_build(plan: TrainingPlan, target: Target) -> None:
    """Raises BuildError, BudgetError for what can be seen before a compiler runs."""
    check_chip(plan, target)
    check_budget(plan, target)
    if target.kind is TargetKind.REAL:
        check_real_fit(plan, target)


def gen_folder(plan: TrainingPlan, target: Target, *, is_keyed: bool = False) -> Path:
    """Where the cache has, or will have, the generated C of a build."""
    digest = build_hash(lay_out(plan), target.board, is_keyed=is_keyed)
    return folder_of(plan, target, digest) / "gen"


def folder_of(plan: TrainingPlan, target: Target, digest: bytes) -> Path:
    """The cache's folder of a build, which need not be there."""
    return cache_dir() / FIRMWARE / target.board / f"{plan.name}-{digest.hex()}"


def built_before(plan: TrainingPlan, target: Target, *, is_keyed: bool = False) -> Build | None:
    """The build of ``plan`` for ``target`` that the cache has, whatever its keys; None if it has
    none. Nothing is compiled."""
    digest = build_hash(lay_out(plan), target.board, is_keyed=is_keyed)
    folder = folder_of(plan, target, digest)
    if not folder.is_dir():
        return None
    held, done = lease(folder, shared=True), read_record(folder)
    if done is None:
        held.release()
        return None
    touch(folder)
    return Build(plan, target, folder, folder / ELF, digest, done["footprint"], held)


def upload(built: Build, port: str | None, verbose: bool = False) -> tuple[int, str]:
    """Let PlatformIO put a build onto the board; its status, and what it printed."""
    with objects_of(built.target.board) as objects:
        command = upload_command(built.target.env, port)
        return run_platformio(command, built.folder / "gen", objects, {}, verbose)


def write_record(
    folder: Path, made_by: dict[str, str | None], footprint: dict[str, Any] | None
) -> dict[str, Any]:
    """Leave beside a finished firmware what is known of it; returns that."""
    done = {**made_by, "footprint": footprint, "elf": file_hash(folder / ELF)}
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
    """Raises BuildError for a plan of another chip, or of a store where there is no flash for it;
    one of the generic chip runs on any."""
    if not plan.chip.is_generic and plan.chip != target.chip:
        raise BuildError(
            f"the plan is for {plan.chip.name}, not for {target.name}: plan for the target that "
            "is built for"
        )
    if plan.options.store and target.kind is TargetKind.CORE:
        raise BuildError(f"{target.name}: a core alone has no flash: leave --store out")


def check_budget(plan: TrainingPlan, target: Target) -> None:
    """Raises BudgetError if arena, state, kept latents, the next sample and constants that are
    copied alone exceed the board's main RAM, or kept latents its flash, where constants lie."""
    available = target.chip.ram_bytes
    copied = copied_constant_bytes(plan, target.chip)
    needed = plan.memory.ram_bytes[ARENA] + plan.held_bytes + copied
    if available and needed > available:
        constants = f", {copied:,} of them for constants, which pointers reach in RAM only"
        raise BudgetError(
            f"training needs {needed:,} bytes of RAM for arena and learned state alone"
            f"{constants if copied else ''}; "
            f"{target.name} has {available:,}; the arena is fullest at "
            f"{plan.memory.peak(plan.graph).name}. Train fewer or later layers",
            needed,
            available,
        )
    if plan.latents.flash is None:
        return
    if target.chip.word_bytes == 2 and plan.latents.flash.latents.nbytes > MOST_BYTES_OF_16_BITS:
        raise BudgetError(
            f"latents in flash are one array of {plan.latents.flash.latents.nbytes:,} bytes; "
            f"the compiler for {target.name} takes {MOST_BYTES_OF_16_BITS:,}: give fewer samples "
            "to --flash-latents",
            plan.latents.flash.latents.nbytes,
            MOST_BYTES_OF_16_BITS,
        )
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
    where they are not in the build's hash, which covers platformio.ini. A real board's is a package
    of PlatformIO's, which has a version of its own."""
    if target.kind is TargetKind.REAL:
        return ""
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
    if target.kind is TargetKind.REAL:
        link_real(target, folder, objects, verbose)
        return None
    firmware = build_firmware(gen_dir, target.env, objects, verbose, is_measuring=is_simulated)
    footprint = None
    if is_simulated:
        first = footprint_of(plan, target, firmware, is_final=False)
        stack = -(-first.stack_bytes // STACK_ALIGN) * STACK_ALIGN
        check_fit(plan, target, first, stack)
        link_again(firmware, stack, verbose)
    if is_simulated or platform.machine() in MEASURED_HOSTS:
        footprint = footprint_of(plan, target, firmware, is_final=True).to_json()
    firmware.map.replace(folder / MAP)
    firmware.elf.replace(folder / ELF)
    return footprint


def link_real(target: Target, folder: Path, objects: Path, verbose: bool) -> None:
    """Build by the board's own platform, which has its own stack and is not measured. Raises
    BuildError, also where PlatformIO cannot fetch that platform."""
    try:
        firmware = build_firmware(folder / "gen", target.env, objects, verbose)
    except BuildError as err:
        if not any(sign in str(err) for sign in NOT_FETCHED):
            raise
        package = real_board(target.env).platform
        raise BuildError(
            f"building {target.env} needs PlatformIO's platform {package}, and its registry does "
            f"not answer: build once with a network ({err})"
        ) from err
    if firmware.map.is_file():
        firmware.map.replace(folder / MAP)
    firmware.elf.replace(folder / ELF)


def check_real_fit(plan: TrainingPlan, target: Target) -> None:
    """Raises BudgetError if what is known before a build exceeds a real board."""
    chip = target.chip
    ram = {
        "arena": plan.memory.regions[ARENA],
        "learned": plan.memory.ram_bytes[ARENA] - plan.memory.regions[ARENA],
        "stack": chip.stack_bytes,
        "link": FRAMES * chip.payload_bytes,
        "latents": plan.slot_bytes,
        "next sample": plan.ahead_bytes,
        "record": plan.record_bytes,
        "constants": copied_constant_bytes(plan, chip),
    }
    refuse_excess(plan, target, ram, {"constants": constant_bytes(plan)})


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
    named = {
        "latents": "latents", "ahead": "next sample", "record": "record", "constants": "constants"
    }  # fmt: skip
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
    refuse_excess(plan, target, ram, flash)


def refuse_excess(
    plan: TrainingPlan, target: Target, ram: dict[str, int], flash: dict[str, int]
) -> None:
    """Raises BudgetError, with the parts that take bytes, if they exceed the board's memory."""
    chip = target.chip
    for memory, parts, available, advice in (
        ("RAM", ram, chip.ram_bytes, "train fewer or later layers"),
        ("flash", flash, chip.flash_bytes, "take a smaller model"),
    ):
        needed = sum(parts.values())
        if available is not None and needed > available:
            listed = ", ".join(f"{name} {nbytes:,}" for name, nbytes in parts.items() if nbytes)
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
