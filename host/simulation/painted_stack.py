# SPDX-License-Identifier: Apache-2.0
"""How much of its stack a simulated firmware has really used: the stack area starts as paint, and
what is no longer paint has been written.

The paint comes with the file that the emulator loads, and the emulator reads it back, so the
firmware has no part in it and no byte for it. What is seen is a lower bound: a frame may leave its
last bytes unwritten. It must never exceed the bound of host.measure.stack.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path

from mcutrain.host.errors import BuildError
from mcutrain.host.measure.elf import load_image
from mcutrain.host.measure.linker_map import RESERVED_STACK
from mcutrain.host.simulation.emulators.known import emulator_of
from mcutrain.host.simulation.simulator import simulate

PAINT = 0xA5
_SEGMENT = struct.Struct("<8I")  # Elf32_Phdr
_LOAD = 1


@dataclass(frozen=True)
class PaintedStack:
    """The stack of a firmware that runs: where it lies, and how to ask for bytes of its memory."""

    address: int
    nbytes: int
    read: Callable[[int, int], bytes]  # an address and a number of bytes

    def used_bytes(self) -> int:
        """Bytes between the end of the stack and the lowest that was written. TransportError."""
        contents = self.read(self.address, self.nbytes)
        return self.nbytes - sum(1 for _ in takewhile(PAINT.__eq__, contents))


@contextmanager
def simulate_painted(
    board: str, elf: Path, arguments: Sequence[str] = (), image: Path | None = None
) -> Iterator[tuple[str, PaintedStack | None]]:
    """As host.simulation.simulator.simulate, with the stack painted; the port and the stack, None
    of a board whose emulator shows no memory."""
    emulator = emulator_of(board)
    if not emulator.reads_memory:
        with simulate(board, elf, arguments, image) as port:
            yield port, None
        return
    with tempfile.TemporaryDirectory(prefix="mct-") as name:
        folder = Path(name)
        address, nbytes = paint(elf, folder)
        stack = PaintedStack(address, nbytes, partial(emulator.read_memory, folder))
        asked = (*emulator.memory_args(folder), *arguments)
        with simulate(board, folder / elf.name, asked, image) as port:
            yield port, stack


def paint(elf: Path, folder: Path) -> tuple[int, int]:
    """Write a copy of the firmware into ``folder`` that loads paint where its stack is; the stack's
    address, and its bytes.

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
            return address, nbytes
    raise BuildError(f"{elf}: no segment that is {RESERVED_STACK} alone; see its linker script")
