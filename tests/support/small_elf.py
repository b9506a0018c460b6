# SPDX-License-Identifier: Apache-2.0
"""Small ELF files: what a linked firmware has that flashing looks at, without a compiler."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

ARM, AVR, RISCV, XTENSA = 40, 83, 243, 94  # e_machine (System V ABI)
_HEADER, _PROGRAM = struct.Struct("<16sHHIIIIIHHHHHH"), struct.Struct("<8I")
_SECTION, _SYMBOL = struct.Struct("<10I"), struct.Struct("<IIIBBH")


def small_elf(
    parts: Sequence[tuple[int, bytes]],
    machine: int = ARM,
    symbols: Mapping[str, bytes] | None = None,
) -> bytes:
    """A 32-bit program that loads bytes at addresses. ``symbols`` are objects that lie one behind
    the other at the end of the first part."""
    names = b"\0.text\0.symtab\0.strtab\0"
    strings, table = b"\0", _SYMBOL.pack(0, 0, 0, 0, 0, 0)
    address, first = parts[0]
    for name, value in (symbols or {}).items():
        place = address + len(first)
        table += _SYMBOL.pack(len(strings), place, len(value), 1, 0, 1)
        strings += name.encode() + b"\0"
        first += value
    parts = [(address, first), *parts[1:]]
    at = _HEADER.size + _PROGRAM.size * len(parts)
    programs, data, offsets = b"", b"", []
    for where, part in parts:
        offsets.append(at + len(data))
        sizes = len(part), len(part)
        programs += _PROGRAM.pack(1, offsets[-1], where, where, *sizes, 5, 1)
        data += part
    blocks = [table, strings, names]
    places = [at + len(data) + sum(map(len, blocks[:k])) for k in range(4)]
    sections = [
        (0,) * 10,
        (1, 1, 6, address, offsets[0], len(first), 0, 0, 1, 0),
        (7, 2, 0, 0, places[0], len(table), 3, 1, 4, _SYMBOL.size),
        (15, 3, 0, 0, places[1], len(strings), 0, 0, 1, 0),
        (15, 3, 0, 0, places[2], len(names), 0, 0, 1, 0),
    ]
    magic = b"\x7fELF\x01\x01\x01" + bytes(9)
    header = _HEADER.pack(
        magic, 2, machine, 1, address, _HEADER.size, places[3], 0, _HEADER.size, _PROGRAM.size,
        len(parts), _SECTION.size, len(sections), 4,
    )  # fmt: skip
    return (
        header + programs + data + b"".join(blocks) + b"".join(_SECTION.pack(*s) for s in sections)
    )
