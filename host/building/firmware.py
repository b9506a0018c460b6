# SPDX-License-Identifier: Apache-2.0
"""From a plan to a measured firmware: generate the C, build it, fit the stack, keep the result."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcutrain.host.building.cache import Lease, filling, lease, prune, touch
from mcutrain.host.building.compilers import cross_compiler, named, native_compiler
from mcutrain.host.building.fitting import check_before_build, check_fit
from mcutrain.host.building.keyed import check_keys, private, told_of_nonces
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
from mcutrain.host.building.source import generate, hash_of
from mcutrain.host.building.target import Target, TargetKind
from mcutrain.host.errors import BuildError
from mcutrain.host.extras import require_extra
from mcutrain.host.files import write_whole
from mcutrain.host.keys import Keys
from mcutrain.host.places import cache_dir, installation
from mcutrain.host.real_boards import real_board
from mcutrain.trainer.training_plan import TrainingPlan

if TYPE_CHECKING:
    from mcutrain.host.measure.footprint import Footprint

STACK_ALIGN = 8
MEASURED_HOSTS = ("x86_64", "AMD64")  # whose code the stack analysis can read
RECORD, ELF, MAP = "build.json", "firmware.elf", "firmware.map"
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
    digest = hash_of(plan, target.board, is_keyed=keys is not None)
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


def gen_folder(plan: TrainingPlan, target: Target, *, is_keyed: bool = False) -> Path:
    """Where the cache has, or will have, the generated C of a build."""
    digest = hash_of(plan, target.board, is_keyed=is_keyed)
    return folder_of(plan, target, digest) / "gen"


def folder_of(plan: TrainingPlan, target: Target, digest: bytes) -> Path:
    """The cache's folder of a build, which need not be there."""
    return cache_dir() / FIRMWARE / target.board / f"{plan.name}-{digest.hex()}"


def built_before(plan: TrainingPlan, target: Target, *, is_keyed: bool = False) -> Build | None:
    """The build of ``plan`` for ``target`` that the cache has, whatever its keys; None if it has
    none. Nothing is compiled."""
    digest = hash_of(plan, target.board, is_keyed=is_keyed)
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


def link_functions(plan: TrainingPlan, target: Target, folder: Path) -> None:
    """Leave the model's functions alone in the folder, without a link and without a map."""
    made = folder / f"{ELF}.made"
    if target.kind is TargetKind.CORE:
        core_program(plan.name, folder / "gen", made, target.core)
    else:
        shared_library(plan.name, folder / "gen", made)
    made.replace(folder / ELF)


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
