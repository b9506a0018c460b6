# SPDX-License-Identifier: Apache-2.0
"""A ``.tflite`` file without the bytes that nothing in it refers to.

What is left keeps its order, and its place modulo the alignment that it had. So every distance
still leads forward, no file becomes larger, and one that is compact stays as it is.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import dataclass

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.tflite import behind
from mcutrain.trainer.tflite.layout import Extent, Layout


@dataclass(frozen=True)
class Block:
    """Extents that overlap, and so move together: from ``start`` to ``end``, by ``shift``."""

    start: int
    end: int
    shift: int


def compacted(data: bytes) -> bytes:
    """The same file without unused bytes; a zip behind the model stays behind it.

    A file whose objects overlap, lead out of it or are not in the schema as it is known here stays
    as it is: any of its bytes may be used.
    """
    model, packed = behind.split(data)
    try:
        layout = Layout.of(model)
        blocks = moved_together(layout.extents)
    except ModelError:
        return data
    new = bytearray(blocks[-1].end + blocks[-1].shift)
    for block in blocks:
        at = block.start + block.shift
        new[at : at + block.end - block.start] = model[block.start : block.end]
    if len(new) == len(model):
        return data
    starts = [block.start for block in blocks]

    def place(old: int) -> int:
        return old + blocks[bisect_right(starts, old) - 1].shift

    for slot, target in layout.slots.items():
        struct.pack_into("<I", new, place(slot), place(target) - place(slot))
    for table, vtable in layout.vtables.items():
        struct.pack_into("<i", new, place(table), place(table) - place(vtable))
    for slot, start in layout.places.items():
        struct.pack_into("<Q", new, place(slot), place(start))
    return bytes(new) + behind.moved(packed, len(model), len(new))


def moved_together(extents: set[Extent]) -> list[Block]:
    """Blocks one behind the other, each as far in front as its alignment allows."""
    blocks: list[Block] = []
    group: list[Extent] = []
    for extent in sorted(extents, key=lambda e: (e.start, e.end)):
        if group and extent.start >= max(e.end for e in group):
            blocks.append(block_of(group, blocks))
            group = []
        group.append(extent)
    blocks.append(block_of(group, blocks))
    return blocks


def block_of(group: list[Extent], before: list[Block]) -> Block:
    start, end = group[0].start, max(extent.end for extent in group)
    if len({(e.start, e.end) for e in group}) > 1 and any(e.refers for e in group):
        raise ModelError("the objects of the model file overlap")
    room = start - (before[-1].end + before[-1].shift if before else 0)
    align = max(extent.align for extent in group)
    return Block(start, end, -(room // align * align))
