# SPDX-License-Identifier: Apache-2.0
"""The folder that ``generate`` writes: models with all that they need, a library for any firmware.

A folder says which files it has (``generated.json``), so that a user's own are never written over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mcutrain.codegen.copies import KEYS, VERSION, copied, emit_version, needed, version_of
from mcutrain.codegen.guide import emit_readme, emit_sketch
from mcutrain.codegen.library import Library, emit_build_files
from mcutrain.codegen.program import Program, lay_out
from mcutrain.host.building.keyed import private
from mcutrain.host.building.source import emitted
from mcutrain.host.files import write_all
from mcutrain.host.keys import Keys
from mcutrain.host.outputs import SOURCES
from mcutrain.host.places import FIRMWARE_DIR
from mcutrain.trainer.errors import Error
from mcutrain.trainer.training_plan import TrainingPlan

LISTED = "generated.json"
# What belongs to boards and projects; all else of the firmware can be copied.
OF_BOARDS = ("platform", "ports", "project")
ALWAYS = ("mct/alive.h", "mct/model_api.h", "mct/model_body.h", "mct/digest.h", "mct/quantize.h",
          "learning/guard.h", "learning/model_store.h", "learning/replay.h")  # fmt: skip
OF_A_CHAIN = ("learning/record.h",)
OF_THE_LINK = ("mct/port.h", "mct/port_key.h", "mct/protocol.h", "runtime/session.h",
               "runtime/session.c")  # fmt: skip
OF_KEYS = ("runtime/seal.h",)
# Headers of C and of systems: compilers look into `src` first.
SYSTEM_HEADERS = {
    "alloca", "arduino", "assert", "complex", "ctype", "cpuid", "dirent", "dlfcn", "elf",
    "endian", "errno", "fcntl", "features", "fenv", "float", "inttypes", "io", "iso646",
    "libgen", "limits", "link", "locale", "malloc", "math", "memory", "poll", "process",
    "pthread", "regex", "sched", "semaphore", "setjmp", "signal", "stdalign", "stdarg",
    "stdatomic", "stdbool", "stddef", "stdint", "stdio", "stdlib", "stdnoreturn", "string",
    "strings", "tgmath", "threads", "time", "types", "uchar", "unistd", "utime", "values",
    "varargs", "version", "wchar", "wctype", "windows",
}  # fmt: skip


@dataclass(frozen=True)
class Contents:
    """The files of a folder by their paths in it, and the models among them."""

    files: Mapping[str, str]
    models: tuple[str, ...]

    def listing(self) -> str:
        """The text of ``generated.json``."""
        said = {"models": list(self.models), "files": sorted(self.files)}
        return json.dumps(said, indent=1) + "\n"


def write_folder(
    plans: Sequence[TrainingPlan],
    folder: Path,
    board: str,
    *,
    has_link: bool = False,
    keys: Keys | None = None,
) -> list[Path]:
    """Write the models for a board ("" stands for any) and all that they need; returns the paths
    of all files. Raises Error if that would lose a file that is not of an earlier ``generate``, or
    a model that is in the folder."""
    contents = contents_of(plans, board, has_link=has_link, keys=keys)
    before = Listing.read(folder)
    check_models(folder, before, contents)
    check_owned(folder, before, contents)
    wanted = {**contents.files, LISTED: contents.listing()}
    secret = f"{SOURCES}/{KEYS}"
    with private(keys):
        paths = write_all({folder / secret: wanted.pop(secret)}) if secret in wanted else []
    paths += write_all({folder / path: text for path, text in wanted.items()})
    remove_unneeded(folder, before, contents)
    return paths


def contents_of(
    plans: Sequence[TrainingPlan], board: str, *, has_link: bool, keys: Keys | None = None
) -> Contents:
    """Raises Error for models whose names a folder cannot hold."""
    programs = tuple(lay_out(plan) for plan in plans)
    firmware = firmware_files()
    check_names(plans, firmware)
    copies = needed(firmware, [*roots_of(programs, has_link), *(OF_KEYS if keys else ())])
    number = version_of(firmware)
    # The models first: if the disk is full it is their name that is told.
    sources: dict[str, str] = {}
    for program in reversed(programs):  # the session serves the first
        sources |= emitted(program, board, keys)
    sources |= {name: copied(name, firmware[name], number) for name in copies}
    sources[VERSION] = emit_version(number)
    compiled = tuple(sorted(name for name in sources if name.endswith(".c")))
    library = Library(programs, compiled, package_version(), has_link)
    names = tuple(library.models)
    files = {f"{SOURCES}/{name}": text for name, text in sources.items()}
    files |= emit_build_files(library) | {"README.md": emit_readme(library)}
    files |= {f"examples/{p.plan.name}/{p.plan.name}.ino": emit_sketch(p) for p in programs}
    return Contents(files, names)


def firmware_files() -> dict[str, str]:
    """By their names, all that can be copied."""
    rooms = (room for room in FIRMWARE_DIR.iterdir() if room.name not in OF_BOARDS)
    found = (path for room in rooms for path in room.glob("*.[ch]"))
    return {
        path.relative_to(FIRMWARE_DIR).as_posix(): path.read_text(encoding="utf-8")
        for path in found
    }


def roots_of(programs: Sequence[Program], has_link: bool) -> list[str]:
    units = {f"kernels/{unit}.h" for program in programs for unit in program.headers}
    chained = any(program.plan.learning.chain for program in programs)
    rest = (*ALWAYS, *(OF_A_CHAIN if chained else ()), *(OF_THE_LINK if has_link else ()))
    return [*units, *rest]


def package_version() -> str:
    try:
        return version("mcutrain")
    except PackageNotFoundError:  # a checkout
        return "0.0.0"


def check_names(plans: Sequence[TrainingPlan], firmware: Mapping[str, str]) -> None:
    """Raises Error for two models of one name, and for one whose files would be taken for others:
    object files of one name often lie in one folder, and compilers find headers by name."""
    kernels = {Path(name).stem: name for name in firmware if name.endswith(".c")}
    seen = set[str]()
    for name in (plan.name for plan in plans):
        rename = "rename its file, or give --name"
        if name in seen:
            raise Error(f"two models are called {name}: {rename}")
        if name in kernels:
            raise Error(
                f"a model called {name} meets {kernels[name]}, a file of its kernels: {rename}"
            )
        if name in SYSTEM_HEADERS:
            raise Error(f"a model called {name} hides the header {name}.h of the system: {rename}")
        seen.add(name)


@dataclass(frozen=True)
class Listing:
    """What an earlier ``generate`` has left in a folder."""

    models: tuple[str, ...] = ()
    files: frozenset[str] = frozenset()

    @classmethod
    def read(cls, folder: Path) -> Listing:
        """Empty if there is none, or none that makes sense: all that is there is then somebody
        else's."""
        try:
            found = json.loads((folder / LISTED).read_text(encoding="utf-8"))
            return cls(tuple(map(str, found["models"])), frozenset(map(str, found["files"])))
        except (OSError, ValueError, KeyError, TypeError):
            return cls()


def check_models(folder: Path, before: Listing, contents: Contents) -> None:
    """Raises Error if a model that is in the folder would go."""
    lost = [name for name in before.models if name not in contents.models]
    if lost:
        raise Error(
            f"{folder} holds the model{'s' * (len(lost) > 1)} {', '.join(lost)}: give another "
            "folder, or all models of this one at once"
        )


def check_owned(folder: Path, before: Listing, contents: Contents) -> None:
    """Raises Error if a file is in the way that is not of an earlier ``generate``."""
    wanted = dict(contents.files)
    if not before.files:
        wanted[LISTED] = contents.listing()
    for path, text in wanted.items():
        there = folder / path
        if path not in before.files and there.is_file() and there.read_bytes() != text.encode():
            raise Error(
                f"{there} is not of generate and would be lost: give a folder of its own to the "
                "model"
            )


def remove_unneeded(folder: Path, before: Listing, contents: Contents) -> None:
    """Remove what an earlier ``generate`` wrote and this one does not, or it would be compiled."""
    for path in sorted(before.files - contents.files.keys()):
        file = folder / path
        if file.is_relative_to(folder) and ".." not in Path(path).parts:
            with suppress(OSError):  # it is gone, or will not go
                file.unlink()
                file.parent.rmdir()
