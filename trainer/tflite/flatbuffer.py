# SPDX-License-Identifier: Apache-2.0
"""Changes a FlatBuffer without rewriting it: new objects at its ends, the rest byte for byte.

Offsets in a FlatBuffer are relative and lead forward. So the old bytes stay right when they move as
a whole; an object behind them can replace one that they refer to; and an object that refers to
theirs must lie before them (FlatBuffers, "Internals": tables, vtables, vectors, strings).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from mcutrain.trainer.errors import ModelError

ALIGNMENT = 16  # of the old bytes in the new file: the greatest that the schema asks for
HEADER_BYTES = 8  # the offset of the root, and the file's identifier


@dataclass(eq=False)
class Piece:
    """A new object. ``links`` are its offsets: where in ``raw``, and to what.

    A link leads to another piece, or to a position in the old file. References to the piece
    lead to ``anchor``; the byte ``aligned`` of it lies at a multiple of ``align``.
    """

    raw: bytearray
    align: int = 4
    aligned: int = 0
    anchor: int = 0
    links: dict[int, Target] = field(default_factory=dict)

    @property
    def lies_in_front(self) -> bool:
        """Whether it refers, itself or by a link, to something in the old bytes."""
        return any(isinstance(t, int) or t.lies_in_front for t in self.links.values())


Target: TypeAlias = Piece | int


def vector(raw: bytes, item_bytes: int, align: int = 4) -> Piece:
    """A vector of scalars, given as its little-endian bytes."""
    count = struct.pack("<I", len(raw) // item_bytes)
    return Piece(bytearray(count + raw), max(4, align), aligned=4)


def string(text: bytes) -> Piece:
    return Piece(bytearray(struct.pack("<I", len(text)) + text + b"\0"))


def offsets(targets: Sequence[Target]) -> Piece:
    """A vector of tables or strings."""
    raw = bytearray(4 * (len(targets) + 1))
    struct.pack_into("<I", raw, 0, len(targets))
    return Piece(raw, links={4 * k: target for k, target in enumerate(targets, 1)})


def table(fields: Mapping[int, bytes | Target]) -> Piece:
    """A table with its own vtable. A field is a scalar's little-endian bytes, or a link."""
    count = max(fields, default=-1) + 1
    entries, inline, links = [0] * count, bytearray(4), {}
    align = max([4, *(len(v) for v in fields.values() if isinstance(v, bytes))])
    for number, value in sorted(fields.items()):
        raw = value if isinstance(value, bytes) else bytes(4)
        inline += bytes(-len(inline) % len(raw))
        entries[number] = len(inline)
        if not isinstance(value, bytes):
            links[len(inline)] = value
        inline += raw
    vtable = struct.pack(f"<{count + 2}H", 2 * count + 4, len(inline), *entries)
    vtable += bytes(-len(vtable) % align)
    struct.pack_into("<i", inline, 0, len(vtable))
    moved = {len(vtable) + at: target for at, target in links.items()}
    return Piece(bytearray(vtable) + inline, align, 0, len(vtable), moved)


class FlatBufferPatch:
    """A file and its changes, by positions in the old file; ``apply`` makes the new one."""

    def __init__(self, data: bytes) -> None:
        self.old = bytearray(data)
        self.links: dict[int, Piece] = {}
        self.absolute: set[int] = set()  # where a uint64 is a distance from the file's beginning

    def unsigned(self, at: int) -> int:
        """The uint32 at ``at``."""
        self.check(at, 4)
        return int(struct.unpack_from("<I", self.old, at)[0])

    def unsigned_64(self, at: int) -> int:
        """The uint64 at ``at``."""
        self.check(at, 8)
        return int(struct.unpack_from("<Q", self.old, at)[0])

    def check(self, at: int, nbytes: int) -> None:
        if not 0 <= at <= len(self.old) - nbytes:
            raise ModelError(f"byte {at} lies outside the model's {len(self.old)} bytes")

    def follow(self, slot: int) -> int:
        """Where the offset at ``slot`` leads."""
        return slot + self.unsigned(slot)

    def field(self, table_at: int, number: int) -> int:
        """Where the table has its field ``number``; 0 if it has not."""
        self.check(table_at, 4)
        vtable = table_at - struct.unpack_from("<i", self.old, table_at)[0]
        self.check(vtable, 4)
        entry = 4 + 2 * number
        if entry + 2 > struct.unpack_from("<H", self.old, vtable)[0]:
            return 0
        self.check(vtable + entry, 2)
        distance = int(struct.unpack_from("<H", self.old, vtable + entry)[0])
        return table_at + distance if distance else 0

    def field_count(self, table_at: int) -> int:
        """One more than the greatest field number that the table can have."""
        vtable = table_at - struct.unpack_from("<i", self.old, table_at)[0]
        self.check(vtable, 4)
        return max(int(struct.unpack_from("<H", self.old, vtable)[0]) - 4, 0) // 2

    def copied(self, table_at: int, changed: Mapping[int, bytes]) -> Piece:
        """A copy of a table of scalars, with other values of fields that it has."""
        vtable = table_at - struct.unpack_from("<i", self.old, table_at)[0]
        self.check(vtable, 4)
        nbytes, size = struct.unpack_from("<2H", self.old, vtable)
        self.check(vtable, nbytes)
        self.check(table_at, size)
        raw = self.old[vtable : vtable + nbytes] + bytes(-nbytes % 4)
        anchor = len(raw)
        raw += self.old[table_at : table_at + size]
        struct.pack_into("<i", raw, anchor, anchor)
        for number, value in changed.items():
            at = anchor + self.field(table_at, number) - table_at
            raw[at : at + len(value)] = value
        return Piece(raw, 4, 0, anchor)

    def elements(self, slot: int) -> list[int]:
        """Where each element of the vector of 4-byte elements lies that ``slot`` refers to."""
        at = self.follow(slot)
        count = self.unsigned(at)
        self.check(at, 4 * (count + 1))
        return [at + 4 * k for k in range(1, count + 1)]

    def write(self, at: int, raw: bytes) -> None:
        """Overwrite old bytes."""
        self.check(at, len(raw))
        self.old[at : at + len(raw)] = raw

    def point(self, slot: int, piece: Piece) -> None:
        """The old offset at ``slot`` leads to ``piece``."""
        self.check(slot, 4)
        self.links[slot] = piece

    def apply(self, root: Piece | None = None) -> bytes:
        """The new file; ``root`` takes the place of the root table, in front of all."""
        if any(piece.lies_in_front for piece in self.links.values()):
            raise ModelError("the model file cannot be changed here: an offset would lead back")
        front = list(pieces_from([root] if root else [], in_front=True))
        places, end = laid_out(front, HEADER_BYTES)
        shift = -(-end // ALIGNMENT) * ALIGNMENT if root else 0
        tails = list(pieces_from([*([root] if root else []), *self.links.values()], in_front=False))
        tail_places, end = laid_out(tails, shift + len(self.old))
        places |= tail_places
        new = bytearray(end)
        new[shift : shift + len(self.old)] = self.old
        for slot in self.absolute:
            struct.pack_into("<Q", new, shift + slot, self.unsigned_64(slot) + shift)
        for piece, at in places.items():
            new[at : at + len(piece.raw)] = piece.raw
        if root:
            new[:HEADER_BYTES] = struct.pack("<I", places[root] + root.anchor) + self.old[4:8]
        for slot, target in self.all_links(places, shift):
            where = shift + target if isinstance(target, int) else places[target] + target.anchor
            if not 0 < where - slot < 2**32:
                raise ModelError("the model file cannot be changed here: an offset would lead back")
            struct.pack_into("<I", new, slot, where - slot)
        return bytes(new)

    def all_links(self, places: dict[Piece, int], shift: int) -> Iterator[tuple[int, Target]]:
        """Every offset to set: where in the new file, and to what."""
        yield from ((shift + slot, piece) for slot, piece in self.links.items())
        for piece, at in places.items():
            yield from ((at + slot, target) for slot, target in piece.links.items())


def pieces_from(roots: Sequence[Piece], in_front: bool) -> Iterator[Piece]:
    """The pieces at and behind ``roots`` of one side, each before those that it refers to."""
    for piece in roots:
        if piece.lies_in_front == in_front:
            yield piece
        linked = [t for t in piece.links.values() if isinstance(t, Piece)]
        yield from pieces_from(linked, in_front)


def laid_out(pieces: Sequence[Piece], start: int) -> tuple[dict[Piece, int], int]:
    """Where each piece lies, one after the other from ``start``, and where they end."""
    places: dict[Piece, int] = {}
    for piece in pieces:
        if piece not in places:
            start += -(start + piece.aligned) % piece.align
            places[piece] = start
            start += len(piece.raw)
    return places, start
