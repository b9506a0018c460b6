# SPDX-License-Identifier: Apache-2.0
"""QEMU: any machine that it has, for any of its instruction sets.

A board's description names the ``program``, the apt package that has it, and the ``arguments``
that say which machine, and which of its serial ports is the link. ``since`` has the memories that
the machine has got in a later version of QEMU, each with that version.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from mcutrain.host.errors import TransportError
from mcutrain.host.measure.elf import load_image
from mcutrain.host.places import EMULATORS_DIR
from mcutrain.host.simulation.compiled import compiled
from mcutrain.host.simulation.counts import Counting, Unit
from mcutrain.host.simulation.emulators.emulator import Emulator, Missing
from mcutrain.host.system.here import connect_local

MONITOR_TIMEOUT_S = 10.0


class Qemu(Emulator):
    """Its plugin counts guest instructions; its monitor (QMP) reads memory."""

    title = "QEMU"
    port_pattern = r"char device redirected to (/dev/\S+)"
    counts = Unit.INSTRUCTIONS
    counts_by_owner = True
    counts_kinds = True
    caveat = "they are not cycles"
    reads_memory = True

    def command(self, elf: Path) -> list[str]:
        self._check_memories(elf)
        plain = ("-nographic", "-monitor", "none")
        simulation = self.simulation
        return [simulation["program"], *plain, *simulation["arguments"], "-kernel", str(elf)]

    def missing(self) -> Iterator[Missing]:
        program = self.simulation["program"]
        if shutil.which(program) is None:
            yield Missing(program, f"sudo apt-get install {self.simulation['apt']}")

    def _check_memories(self, elf: Path) -> None:
        """Raises TransportError if this QEMU's machine lacks a memory that the firmware uses; one
        that is not built yet is not asked."""
        program = self.simulation["program"]
        for name, since in self.simulation.get("since", {}).items():
            section = load_image(elf).section(f".{name}") if elf.is_file() else None
            if section is None or section.nbytes == 0:
                continue
            found = version_of(program)
            if found < _numbers(since):
                raise TransportError(
                    f"{program} {'.'.join(map(str, found))} has no {name}, where the firmware has "
                    f"{section.nbytes:,} bytes: install {since} or later, or train fewer layers"
                )

    def counting_args(self, counting: Counting) -> list[str]:
        regions = (f"region={r.name}:{r.begin:x}:{r.end:x}" for r in counting.regions)
        parts = [_escaped(compile_plugin()), *regions, f"out={_escaped(counting.out)}"]
        if counting.owners is not None:
            parts.append(f"owners={_escaped(counting.owners)}")
        if counting.kinds:
            parts.append("kinds=on")
        return ["-plugin", ",".join(parts)]

    def flash_args(self, image: Path) -> list[str]:
        # The firmware reads and writes the file by semihosting (firmware/ports/semihosting).
        return ["-semihosting-config", f"enable=on,target=native,arg={_escaped(image)}"]

    def memory_args(self, folder: Path) -> list[str]:
        return ["-qmp", f"unix:{_monitor(folder)},server=on,wait=off"]

    def read_memory(self, folder: Path, address: int, nbytes: int) -> bytes:
        dump = folder / "dump"
        arguments = {"val": address, "size": nbytes, "filename": str(dump)}
        # As the core sees it: the memory of some boards is not that of the machine.
        ask_monitor(_monitor(folder), "memsave", arguments)
        return dump.read_bytes()


def version_of(program: str) -> tuple[int, ...]:
    """The version that a QEMU says it has, such as (7, 2, 22); () if it says none."""
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, encoding="utf-8", check=False
        )
    except OSError:
        return ()
    found = re.search(r"version (\d+(?:\.\d+)*)", said.stdout)
    return _numbers(found.group(1)) if found else ()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def compile_plugin() -> Path:
    """The plugin that counts."""
    folder = EMULATORS_DIR / "qemu"
    return compiled(folder, "region_counter.c", "region_counter.so", ("-fPIC", "-shared"))


def _escaped(path: Path) -> str:
    """A path as a part of an option of QEMU's."""
    return str(path).replace(",", ",,")


def _monitor(folder: Path) -> Path:
    return folder / "monitor"


def ask_monitor(path: Path, command: str, arguments: dict[str, object]) -> None:
    """Have QEMU's monitor (QMP) at a socket execute one command. Raises TransportError."""
    try:
        with (
            connect_local(path, MONITOR_TIMEOUT_S) as link,
            link.makefile("rw", encoding="utf-8") as stream,
        ):
            stream.readline()  # its greeting
            for name, given in (("qmp_capabilities", {}), (command, arguments)):
                stream.write(json.dumps({"execute": name, "arguments": given}) + "\n")
                stream.flush()
                _await_return(stream, name)
    except (OSError, ValueError) as cause:
        raise TransportError(f"the simulator's monitor does not answer: {cause}") from cause


def _await_return(stream: TextIO, command: str) -> None:
    """Read up to the command's answer; events may come before it."""
    for line in stream:
        reply = json.loads(line)
        if "return" in reply:
            return
        if "error" in reply:
            raise TransportError(f"the simulator refused {command}: {reply['error']['desc']}")
    raise TransportError("the simulator's monitor has closed")
