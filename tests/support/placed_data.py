# SPDX-License-Identifier: Apache-2.0
"""Files whose data lie behind the FlatBuffer, as converters write those beyond 2 GB."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import tflite

from tests.support.mutations import packed, unpacked

ALIGNMENT = 16
UNKNOWN = 1 << 40  # stands for a place, until all places are known
OFFSET_SLOT, OPTIONS_SLOT = 6, 22  # of a Buffer, of an Operator, in their vtables


def placed_behind(data: bytes, options: bytes = b"") -> bytes:
    """The file with the data of all buffers behind it; with ``options``, as those of its first
    operator, too."""
    file, found = unpacked(data), []
    for buffer in file.buffers:
        raw = b"" if buffer.data is None else bytes(np.asarray(buffer.data, np.uint8))
        found.append(raw)
        if raw:
            buffer.data, buffer.offset, buffer.size = None, UNKNOWN, len(raw)
    if options:
        first = file.subgraphs[0].operators[0]
        first.largeCustomOptionsOffset, first.largeCustomOptionsSize = UNKNOWN, len(options)
    new = bytearray(packed(file))
    read = tflite.Model.GetRootAsModel(bytes(new), 0)
    for k, raw in enumerate(found):
        if raw:
            append(new, read.Buffers(k)._tab, OFFSET_SLOT, raw)
    if options:
        append(new, read.Subgraphs(0).Operators(0)._tab, OPTIONS_SLOT, options)
    return bytes(new)


def append(data: bytearray, table: Any, slot: int, raw: bytes) -> None:
    data += bytes(-len(data) % ALIGNMENT)
    struct.pack_into("<Q", data, table.Pos + table.Offset(slot), len(data))
    data += raw
