# SPDX-License-Identifier: Apache-2.0
"""How much of its stack a simulated firmware has really used: the stack area starts as paint, and
what is no longer paint has been written.

The paint comes with the file that the simulator loads, and QEMU's own monitor reads it back, so the
firmware has no part in it and no byte for it. What is seen is a lower bound: a frame may leave its
last bytes unwritten. It must never exceed the bound of host.measure.stack.
"""

from __future__ import annotations

import json
import socket
import struct
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TextIO

from mcutrain.host.errors import BuildError, TransportError
from mcutrain.host.measure.elf import load_image
from mcutrain.host.measure.linker_map import RESERVED_STACK
from mcutrain.host.simulation.simulator import simulate

PAINT = 0xA5
MONITOR_TIMEOUT_S = 10.0
_SEGMENT = struct.Struct("<8I")  # Elf32_Phdr
_LOAD = 1


@dataclass(frozen=True)
class PaintedStack:
    """The stack of a firmware that runs: where it lies, and how to ask QEMU for its bytes."""

    address: int
    nbytes: int
    folder: Path

    @property
    def monitor(self) -> Path:
        return self.folder / "monitor"

    def used_bytes(self) -> int:
        """Bytes between the end of the stack and the lowest that was written. TransportError."""
        dump = self.folder / "dump"
        arguments = {"val": self.address, "size": self.nbytes, "filename": str(dump)}
        # As the core sees it: the memory of some boards is not that of the machine.
        ask_monitor(self.monitor, "memsave", arguments)
        return self.nbytes - sum(1 for _ in takewhile(PAINT.__eq__, dump.read_bytes()))


@contextmanager
def simulate_painted(
    board: str, elf: Path, plugin_args: Sequence[str] = ()
) -> Iterator[tuple[str, PaintedStack]]:
    """As host.simulation.simulator.simulate, with the stack painted; the port and the stack."""
    with tempfile.TemporaryDirectory(prefix="mct-") as name:
        folder = Path(name)
        stack = paint(elf, folder)
        monitor = ("-qmp", f"unix:{stack.monitor},server=on,wait=off")
        with simulate(board, folder / elf.name, (*monitor, *plugin_args)) as port:
            yield port, stack


def paint(elf: Path, folder: Path) -> PaintedStack:
    """Write a copy of the firmware into ``folder`` that loads paint where its stack is.

    Raises BuildError if the ELF has no segment of its own for the stack.
    """
    section = load_image(elf).section(RESERVED_STACK)
    contents = bytearray(elf.read_bytes())
    (table,) = struct.unpack_from("<I", contents, 28)  # e_phoff
    size, count = struct.unpack_from("<2H", contents, 42)  # e_phentsize, e_phnum
    for at in range(table, table + size * count, size):
        # type, offset, virtual and physical address, bytes in file and in memory, ...
        kind, _, address, physical, held, nbytes, *rest = _SEGMENT.unpack_from(contents, at)
        is_stack = section is not None and (address, nbytes) == (section.address, section.nbytes)
        if kind == _LOAD and held == 0 and is_stack:
            fields = (kind, len(contents), address, physical, nbytes, nbytes, *rest)
            _SEGMENT.pack_into(contents, at, *fields)
            (folder / elf.name).write_bytes(contents + bytes([PAINT]) * nbytes)
            return PaintedStack(address, nbytes, folder)
    raise BuildError(f"{elf}: no segment that is {RESERVED_STACK} alone; see its linker script")


def ask_monitor(path: Path, command: str, arguments: dict[str, object]) -> None:
    """Have QEMU's monitor (QMP) at a socket execute one command. Raises TransportError."""
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(MONITOR_TIMEOUT_S)
            link.connect(str(path))
            with link.makefile("rw", encoding="utf-8") as stream:
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
