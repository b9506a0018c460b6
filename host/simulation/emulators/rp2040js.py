# SPDX-License-Identifier: Apache-2.0
"""rp2040js: a Raspberry Pi Pico under node, from npm.

What runs it is firmware/platform/emulators/rp2040js/board.mjs; package.json beside it says which
version of the emulator.
"""

from __future__ import annotations

import functools
import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from mcutrain.host.errors import TransportError
from mcutrain.host.places import EMULATORS_DIR, PACKAGE, cache_dir
from mcutrain.host.simulation.counts import Counting, Unit
from mcutrain.host.simulation.emulators.emulator import Emulator, Missing
from mcutrain.host.system import terminal
from mcutrain.host.system.here import connect_local

FOLDER = EMULATORS_DIR / "rp2040js"
NAME = "rp2040js"
MEMORY_TIMEOUT_S = 60.0


class Rp2040js(Emulator):
    """It counts cycles, and reads SRAM."""

    title = NAME
    port_pattern = r"^(/dev/\S+)$"
    counts = Unit.CYCLES
    counts_by_owner = True
    caveat = "it has no model of the flash's cache, for which a real chip waits"
    reads_memory = True

    def command(self, elf: Path) -> list[str]:
        # -I -S: the launcher needs nothing that is installed, and begins at once.
        launcher = [sys.executable, "-I", "-S", terminal.__file__]
        board = ["node", str(FOLDER / "board.mjs"), str(modules_folder())]
        return [*launcher, *board, str(elf), terminal.PATH]

    def missing(self) -> Iterator[Missing]:
        if shutil.which("node") is None:
            yield Missing("node", "sudo apt-get install nodejs npm")
        wanted, found = version(), [installed_version(folder) for folder in folders()]
        if wanted not in found:
            others = [each for each in found if each]
            beside = f" ({others[0]} is installed)" if others else ""
            place = shlex.quote(str(folders()[0]))
            remedy = f"npm install --prefix {place} {NAME}@{wanted}"
            yield Missing(f"{NAME} {wanted}{beside}", remedy)

    def counting_args(self, counting: Counting) -> list[str]:
        regions = [f"region={r.name}:{r.begin:x}:{r.end:x}" for r in counting.regions]
        owners = [] if counting.owners is None else [f"owners={counting.owners}"]
        return [*regions, f"out={counting.out}", *owners]

    def flash_args(self, image: Path) -> list[str]:
        return [f"flash={image}"]

    def memory_args(self, folder: Path) -> list[str]:
        return [f"memory={folder / 'memory'}"]

    def read_memory(self, folder: Path, address: int, nbytes: int) -> bytes:
        found = b""
        try:
            with connect_local(folder / "memory", MEMORY_TIMEOUT_S) as link:
                link.sendall(f"{address} {nbytes}\n".encode())
                while data := link.recv(65536):
                    found += data
        except OSError as cause:
            raise TransportError(f"{NAME} does not show its memory: {cause}") from cause
        if len(found) != nbytes:
            raise TransportError(f"{NAME} has shown {len(found):,} bytes of memory, not {nbytes:,}")
        return found


@functools.cache
def version() -> str:
    """The version of the emulator that the project runs."""
    package = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))
    return str(package["dependencies"][NAME])


def folders() -> list[Path]:
    """Where npm may have installed it: in the user's cache, or in the checkout by `make setup`."""
    return [cache_dir() / "node", PACKAGE.parent / "build" / "node"]


def installed_version(folder: Path) -> str | None:
    """The version that npm has installed in a folder; None if there is none that can be read."""
    try:
        package = json.loads(
            (folder / "node_modules" / NAME / "package.json").read_text(encoding="utf-8")
        )
        return str(package["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def modules_folder() -> Path:
    """The folder with the right version; the first, if none has it."""
    found = (folder for folder in folders() if installed_version(folder) == version())
    return next(found, folders()[0])
