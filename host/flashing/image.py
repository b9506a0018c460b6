# SPDX-License-Identifier: Apache-2.0
"""A firmware's ELF file as what loads it takes: bytes at addresses, and their files.

pyelftools comes with what builds firmware: it is imported where a file is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from mcutrain.host.extras import require_extra
from mcutrain.trainer.errors import ModelError

FILL = b"\xff"  # flash that is erased
LARGEST_BYTES = 64 << 20  # of an image in one piece: more is a hole between memories
HEX_BYTES = 16  # of data in a line
NUMERICS, BUILD = "_numerics_hash", "build_hash"  # symbols: of the model, and of the session


@dataclass(frozen=True)
class Segment:
    """Bytes that are loaded at an address."""

    address: int
    data: bytes

    @property
    def end(self) -> int:
        return self.address + len(self.data)


@dataclass(frozen=True)
class Image:
    """What an ELF file loads, in order of its addresses. ``machine`` is ELF's name, such as EM_ARM;
    ``model`` and the hashes are None in a program that is no firmware of mcutrain."""

    path: Path
    machine: str
    segments: tuple[Segment, ...]
    model: str | None = None
    build_hash: bytes | None = None
    numerics_hash: bytes | None = None

    @property
    def address(self) -> int:
        return self.segments[0].address

    @property
    def nbytes(self) -> int:
        return sum(len(segment.data) for segment in self.segments)

    def binary(self) -> bytes:
        """All of it in one piece from ``address`` on, with erased flash in between. Raises
        ModelError if it lies too far apart for that."""
        if self.segments[-1].end - self.address > LARGEST_BYTES:
            raise ModelError(
                f"{self.path}: what it loads lies from 0x{self.address:x} to "
                f"0x{self.segments[-1].end:x}, too far apart for one file: flash the ELF itself"
            )
        found = bytearray()
        for segment in self.segments:
            found += FILL * (segment.address - self.address - len(found)) + segment.data
        return bytes(found)

    def intel_hex(self) -> str:
        """The same as Intel HEX (Intel's specification of 1988): lines with addresses."""
        lines, upper = [], 0
        for segment in self.segments:
            for begin in range(0, len(segment.data), HEX_BYTES):
                address = segment.address + begin
                data = segment.data[begin : begin + HEX_BYTES]
                # No line crosses a border of 64 KiB, where its upper half changes.
                first = min(len(data), 0x10000 - (address & 0xFFFF))
                for at, part in ((address, data[:first]), (address + first, data[first:])):
                    if part and at >> 16 != upper:
                        upper = at >> 16
                        lines.append(hex_line(4, 0, upper.to_bytes(2, "big")))
                    if part:
                        lines.append(hex_line(0, at & 0xFFFF, part))
        return "\n".join([*lines, hex_line(1, 0, b"")]) + "\n"


def hex_line(kind: int, address: int, data: bytes) -> str:
    """A line of Intel HEX.

    >>> hex_line(1, 0, b"")
    ':00000001FF'
    """
    raw = bytes([len(data), address >> 8, address & 0xFF, kind]) + data
    return f":{(raw + bytes([-sum(raw) & 0xFF])).hex().upper()}"


def read_image(path: Path) -> Image:
    """What an ELF file loads. Raises ModelError for another file."""
    require_extra("build", "elftools")
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            segments = loaded(elf)
            machine = str(elf["e_machine"])
            names = named(elf)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    except (ELFError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(
            f"{path} is no ELF file of a firmware, or only a part of one: build it again "
            f"({error or 'damaged'})"
        ) from error
    if not segments:
        raise ModelError(f"{path} loads nothing: give the linked firmware, such as firmware.elf")
    return Image(path, machine, segments, *names)


def loaded(elf: object) -> tuple[Segment, ...]:
    """What is loaded, at the addresses where it lies in flash."""
    found = [
        Segment(int(each["p_paddr"]), each.data())
        for each in elf.iter_segments("PT_LOAD")  # type: ignore[attr-defined]
        if each["p_filesz"]
    ]
    found.sort(key=lambda segment: segment.address)
    for before, after in pairwise(found):
        if before.end > after.address:
            raise ValueError(f"two parts of it overlap at 0x{after.address:x}")
    return tuple(found)


def named(elf: object) -> tuple[str | None, bytes | None, bytes | None]:
    """The model's name, the build's hash and the model's, by the symbols of a firmware."""
    table = elf.get_section_by_name(".symtab")  # type: ignore[attr-defined]
    model = build_hash = numerics_hash = None
    for symbol in table.iter_symbols() if table is not None else ():
        name, nbytes = str(symbol.name), symbol["st_size"]
        if nbytes != 8 or not isinstance(symbol["st_shndx"], int):
            continue
        if name.endswith(NUMERICS):
            model = name.removesuffix(NUMERICS)
            numerics_hash = contents(elf, symbol)
        elif name.partition(".")[0] == BUILD:
            build_hash = contents(elf, symbol)
    return model, build_hash, numerics_hash


def contents(elf: object, symbol: object) -> bytes | None:
    """The eight bytes of a symbol, as they lie in the file."""
    section = elf.get_section(symbol["st_shndx"])  # type: ignore[attr-defined,index]
    begin = symbol["st_value"] - section["sh_addr"]  # type: ignore[index]
    data: bytes = section.data()[begin : begin + 8]
    return data if len(data) == 8 else None
