# SPDX-License-Identifier: Apache-2.0
"""Arrays in a pipe: what the process of tflite-micro is asked, and what it answers."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import IO

import numpy as np

from mcutrain.trainer.graph.tensor import Array

REFUSED = 3  # the exit status where tflite-micro refuses a file; Python's own is 1
_LENGTH = struct.Struct("<Q")


def send(pipe: IO[bytes], arrays: Sequence[Array]) -> None:
    """Write arrays of any shapes and types. Raises OSError if nobody reads."""
    packed = io.BytesIO()
    np.savez(packed, *arrays)
    pipe.write(_LENGTH.pack(packed.tell()) + packed.getvalue())
    pipe.flush()


def receive(pipe: IO[bytes]) -> list[Array]:
    """The arrays of one ``send``; nothing in them can run. Raises EOFError at the end."""
    (length,) = _LENGTH.unpack(_whole(pipe, _LENGTH.size))
    with np.load(io.BytesIO(_whole(pipe, length)), allow_pickle=False) as found:
        return [found[f"arr_{k}"] for k in range(len(found.files))]


def _whole(pipe: IO[bytes], nbytes: int) -> bytes:
    data = pipe.read(nbytes)
    if len(data) < nbytes:
        raise EOFError
    return data
