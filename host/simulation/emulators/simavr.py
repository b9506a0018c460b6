# SPDX-License-Identifier: Apache-2.0
"""simavr: AVRs with a USART0, by a program of the project's own, which runs its library.

A board's description names the ``mcu`` as simavr knows it, and the ``hz`` of its clock. simavr
takes the cycles of each instruction from the instruction set's manual.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from mcutrain.host.errors import TransportError
from mcutrain.host.places import EMULATORS_DIR
from mcutrain.host.simulation.compiled import compiled
from mcutrain.host.simulation.counts import Counting, Unit
from mcutrain.host.simulation.emulators.emulator import Emulator, Missing
from mcutrain.host.system.here import connect_local

ANSWER_TIMEOUT_S = 10.0
HEADER = Path("/usr/include/simavr/sim_avr.h")


class Simavr(Emulator):
    """The core of an AVR and its peripherals; what it counts are cycles of the core."""

    title = "simavr"
    port_pattern = r"USART0 is (/dev/\S+)"
    counts = Unit.CYCLES
    counts_by_owner = True
    caveat = "they are those of the instruction set's manual, and no silicon has checked them"
    reads_memory = True

    def command(self, elf: Path) -> list[str]:
        return [str(compile_runner()), self.simulation["mcu"], str(self.simulation["hz"]), str(elf)]

    def missing(self) -> Iterator[Missing]:
        if not HEADER.is_file():
            yield Missing("libsimavr", "sudo apt-get install libsimavr-dev")
        if shutil.which("gcc") is None:
            yield Missing("gcc", "sudo apt-get install gcc libc6-dev")

    def counting_args(self, counting: Counting) -> list[str]:
        regions = [f"region={r.name}:{r.begin:x}:{r.end:x}" for r in counting.regions]
        owners = [] if counting.owners is None else [f"owners={counting.owners}"]
        return [*regions, f"out={counting.out}", *owners]

    def flash_args(self, image: Path) -> list[str]:
        return [f"eeprom={image}"]

    def memory_args(self, folder: Path) -> list[str]:
        return [f"memory={_server(folder)}"]

    def read_memory(self, folder: Path, address: int, nbytes: int) -> bytes:
        try:
            with connect_local(_server(folder), ANSWER_TIMEOUT_S) as link:
                link.sendall(f"{address:x} {nbytes:x}\n".encode())
                parts = list(iter(lambda: link.recv(1 << 16), b""))
        except OSError as cause:
            raise TransportError(f"simavr does not answer: {cause}") from cause
        found = b"".join(parts)
        if len(found) != nbytes:
            raise TransportError(
                f"simavr has no {nbytes} bytes of RAM at 0x{address:x}; is it this firmware's?"
            )
        return found


def compile_runner() -> Path:
    """The program that runs a firmware."""
    folder = EMULATORS_DIR / "simavr"
    return compiled(folder, "runner.c", "runner", (), (str(folder / "counter.c"), "-lsimavr"))


def _server(folder: Path) -> Path:
    return folder / "memory"
