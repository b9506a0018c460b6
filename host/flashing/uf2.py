# SPDX-License-Identifier: Apache-2.0
"""UF2 files, which a bootloader takes as a file on its drive: Microsoft's specification
(microsoft/uf2, README.md).

A file is blocks of 512 bytes, each with its address and 256 bytes of flash.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from mcutrain.host.flashing.image import Segment

MAGIC_BEGIN, MAGIC_NEXT, MAGIC_END = 0x0A324655, 0x9E5D5157, 0x0AB16F30
FAMILY_PRESENT = 0x00002000  # a flag: the field of the file's size holds the family
PAGE_BYTES, BLOCK_BYTES = 256, 512
_HEADER = struct.Struct("<8I")
_DATA_BYTES = BLOCK_BYTES - _HEADER.size - 4


def uf2(segments: Sequence[Segment], family: int) -> bytes:
    """The UF2 file of what is loaded, for a family of chips.

    >>> len(uf2([Segment(0x10000000, bytes(257))], 0xE48BFF56))
    1024
    """
    pages = pages_of(segments)
    return b"".join(
        block(address, data, number, len(pages), family)
        for number, (address, data) in enumerate(sorted(pages.items()))
    )


def pages_of(segments: Sequence[Segment]) -> dict[int, bytes]:
    """Whole pages by their addresses, with zeros where nothing is loaded."""
    pages: dict[int, bytearray] = {}
    for segment in segments:
        at = 0
        while at < len(segment.data):
            page, begin = divmod(segment.address + at, PAGE_BYTES)
            part = segment.data[at : at + PAGE_BYTES - begin]
            whole = pages.setdefault(page * PAGE_BYTES, bytearray(PAGE_BYTES))
            whole[begin : begin + len(part)] = part
            at += len(part)
    return {address: bytes(data) for address, data in pages.items()}


def block(address: int, data: bytes, number: int, count: int, family: int) -> bytes:
    header = _HEADER.pack(
        MAGIC_BEGIN, MAGIC_NEXT, FAMILY_PRESENT, address, PAGE_BYTES, number, count, family
    )
    return header + data.ljust(_DATA_BYTES, b"\0") + struct.pack("<I", MAGIC_END)
