# SPDX-License-Identifier: Apache-2.0
"""Views of a model file that tests of edits compare."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import tflite

# Tensors of the small residual model whose values lie in the file.
CONSTANTS = [1, 2, 4, 5, 7, 8, 12, 14, 15]


def plain(value: Any) -> Any:
    """An object of the object API as dicts and lists, to compare."""
    if isinstance(value, (list, np.ndarray)):
        return [plain(v) for v in value]
    return {k: plain(v) for k, v in vars(value).items()} if hasattr(value, "__dict__") else value


def data_positions(data: bytes) -> Iterator[int]:
    """Where the bytes of each buffer begin in the file."""
    model = tflite.Model.GetRootAsModel(data, 0)
    for k in range(model.BuffersLength()):
        tab = model.Buffers(k)._tab
        if tab.Offset(4):
            yield tab.Vector(tab.Offset(4))


def share_buffer(data: bytes, tensor: int, other: int) -> bytes:
    """The file with ``tensor`` on the buffer of ``other``."""
    graph = tflite.Model.GetRootAsModel(data, 0).Subgraphs(0)
    tab = graph.Tensors(tensor)._tab
    changed = bytearray(data)
    struct.pack_into("<I", changed, tab.Pos + tab.Offset(8), graph.Tensors(other).Buffer())
    return bytes(changed)
