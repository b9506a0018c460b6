# SPDX-License-Identifier: Apache-2.0
"""Every byte of a linked program as a row: where it lies and which object file brought it.

The rows come from the map file of GNU ld (``-Wl,-Map``) and are split at the symbols of the ELF
file. They tile each section of the ELF exactly; a gap or an overlap is an error, so no byte can
go missing between the two files.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from mcutrain.host.measure.elf import Image, Section, Symbol, SymbolKind
from mcutrain.trainer.errors import Error

FILL = "*fill*"  # ld's own word for alignment inside a section
RESERVED_STACK = ".stack"  # the section a linker script sets aside for the stack


@dataclass(frozen=True)
class MapRow:
    """Bytes of one symbol, or of one input section where no symbol covers them."""

    section: str  # of the linked file; empty between two sections
    input_section: str
    symbol: str  # empty where no symbol covers the bytes
    origin: str  # object file, "archive(member)", or "linker stubs"; empty for alignment
    address: int
    nbytes: int
    kind: SymbolKind

    @property
    def flash_bytes(self) -> int:
        return self.nbytes if self.kind.in_flash else 0

    @property
    def ram_bytes(self) -> int:
        return self.nbytes if self.kind.in_ram else 0

    @property
    def end(self) -> int:
        return self.address + self.nbytes


def map_rows(image: Image, map_path: Path) -> list[MapRow]:
    """Rows of all loaded sections, in order of address, with the alignment between sections.

    Raises Error naming section, address and number of bytes where map and ELF disagree.
    """
    try:
        text = map_path.read_text(encoding="utf-8", errors="replace")
    except OSError as cause:
        raise Error(f"{map_path}: no linker map ({cause}); link with -Wl,-Map") from cause
    parsed = list(parse_map(text))
    symbols = sorted(image.symbols, key=lambda s: (s.address, -s.nbytes, s.name))
    rows: list[MapRow] = []
    for section in image.sections:
        inside = _section_rows(section, parsed)
        _check_tiling(section, inside, map_path)
        rows += _split_at_symbols(inside, symbols)
    return rows + _gaps_between(image.sections)


@dataclass(frozen=True)
class MapLine:
    """One contribution to an output section, as the map prints it."""

    section: str
    input_section: str
    address: int
    nbytes: int
    origin: str


_SECTION = re.compile(r"^(\S+)(?:\s+0x[0-9a-f]+\s+0x[0-9a-f]+(?:\s+load address .*)?)?\s*$")
_INPUT = re.compile(r"^ (\S+)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)(?:\s+(.*?))?\s*$")
_NAME_ALONE = re.compile(r"^ (\S+)\s*$")
_REST = re.compile(r"^\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)(?:\s+(.*?))?\s*$")


def parse_map(text: str) -> Iterator[MapLine]:
    """Contributions of more than 0 bytes, in the order of the map; no check against the ELF.

    >>> lines = "\\n".join(["Linker script and memory map", "", ".bss  0x20000000  0x7",
    ...     " .bss.a_rather_long_name", "                0x20000000        0x4 obj/a.o",
    ...     " *fill*         0x20000004        0x3 "])
    >>> [(line.input_section, line.nbytes, line.origin) for line in parse_map(lines)]
    [('.bss.a_rather_long_name', 4, 'obj/a.o'), ('*fill*', 3, '')]
    """
    _, _, body = text.partition("\nLinker script and memory map\n")
    body = body or text
    section, name = "", ""
    for line in body.splitlines():
        if found := _SECTION.match(line):
            section, name = found[1], ""
        elif found := _INPUT.match(line):
            yield from _contribution(section, found[1], found[2], found[3], found[4])
            name = ""
        elif found := _NAME_ALONE.match(line):
            name = found[1]  # too long for its column: the numbers are on the next line
        elif found := _REST.match(line):
            # Without a name before it this is a data statement of the script (LONG, BYTE).
            yield from _contribution(section, name or "", found[1], found[2], found[3])
            name = ""
        else:
            name = ""


def _contribution(
    section: str, name: str, address: str, nbytes: str, origin: str | None
) -> Iterator[MapLine]:
    size = int(nbytes, 16)
    # The line of an output section whose name was too long has numbers but no origin.
    is_header = not name and not origin
    if size and not is_header and not (origin or "").startswith("load address"):
        yield MapLine(section, name, int(address, 16), size, "" if name == FILL else origin or "")


def _section_rows(section: Section, parsed: Iterable[MapLine]) -> list[MapRow]:
    rows = [
        MapRow(
            line.section,
            line.input_section,
            "",
            line.origin,
            line.address,
            line.nbytes,
            section.kind,
        )
        for line in parsed
        if line.section == section.name
    ]
    rows.sort(key=lambda row: row.address)
    if section.name == RESERVED_STACK:
        return _stack_rows(section, rows)
    return [_checked_fill(section, row) for row in _without_merged(section, rows)]


_MERGEABLE = re.compile(r"\.(?:str|cst)\d+(?:\.\d+)?$")


def _without_merged(section: Section, rows: Sequence[MapRow]) -> Iterator[MapRow]:
    """Leave out strings that ld found elsewhere: it prints their old size, but they take nothing,
    so the next row begins at the same address."""
    following = [row.address for row in rows[1:]] + [section.end]
    for row, address in zip(rows, following, strict=True):
        if row.address != address or not _MERGEABLE.search(row.input_section):
            yield row


def _stack_rows(section: Section, rows: Sequence[MapRow]) -> list[MapRow]:
    """The reserve, and the alignment before it; ld calls both fill."""
    limit = max(section.alignment, 8)
    reserve_from = section.address
    if rows and rows[0].input_section == FILL and rows[0].nbytes < min(limit, section.nbytes):
        reserve_from = rows[0].end
    reserve = MapRow(
        section.name,
        section.name,
        "",
        "",
        reserve_from,
        section.end - reserve_from,
        section.kind,
    )
    return [row for row in rows if row.end == reserve_from] + [reserve]


def _checked_fill(section: Section, row: MapRow) -> MapRow:
    """Fill is alignment; a longer one is memory set aside under no name."""
    if row.input_section == FILL and row.nbytes >= max(section.alignment, 16):
        raise Error(
            f"{section.name}: {row.nbytes} bytes at 0x{row.address:x} are reserved by the linker "
            f"script without a name; give them a section of their own, or an object"
        )
    return row


def _check_tiling(section: Section, rows: Sequence[MapRow], map_path: Path) -> None:
    cursor = section.address
    for row in rows:
        if row.address != cursor:
            raise _mismatch(map_path, section, cursor, row.address - cursor, row.input_section)
        cursor = row.end
    if cursor != section.end:
        raise _mismatch(map_path, section, cursor, section.end - cursor, "the end of the section")


def _mismatch(map_path: Path, section: Section, at: int, nbytes: int, before: str) -> Error:
    what = "are in no row of the map" if nbytes > 0 else "are in the map twice or beyond the ELF"
    return Error(
        f"{map_path}: {abs(nbytes)} bytes of {section.name} at 0x{at:x}, before {before}, {what}; "
        f"is the map of the same link as the ELF?"
    )


def _split_at_symbols(rows: Iterable[MapRow], symbols: Sequence[Symbol]) -> Iterator[MapRow]:
    starts = [symbol.address for symbol in symbols]
    for row in rows:
        if row.input_section in (FILL, RESERVED_STACK):
            yield row
            continue
        cursor = row.address
        for symbol in symbols[bisect_left(starts, row.address) : bisect_left(starts, row.end)]:
            # An alias, or a symbol inside another, names bytes that have a name already.
            if symbol.address < cursor or symbol.nbytes == 0:
                continue
            if symbol.address > cursor:
                yield replace(row, address=cursor, nbytes=symbol.address - cursor)
            nbytes = min(symbol.nbytes, row.end - symbol.address)
            yield replace(row, symbol=symbol.name, address=symbol.address, nbytes=nbytes)
            cursor = symbol.address + nbytes
        if cursor < row.end:
            yield replace(row, address=cursor, nbytes=row.end - cursor)


def _gaps_between(sections: Sequence[Section]) -> list[MapRow]:
    """Alignment before a section, in RAM and in flash; a longer gap is memory nobody uses."""
    gaps = []
    for kind in (SymbolKind.RAM, SymbolKind.FLASH):
        placed = sorted(
            (s.address if kind is SymbolKind.RAM else s.load_address, s.nbytes, s.alignment)
            for s in sections
            if (s.kind.in_ram if kind is SymbolKind.RAM else s.kind.in_flash)
        )
        for (start, nbytes, _), (following, _, alignment) in pairwise(placed):
            gap = following - start - nbytes
            if 0 < gap < alignment:
                gaps.append(MapRow("", FILL, "", "", start + nbytes, gap, kind))
    return gaps
