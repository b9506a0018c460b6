# SPDX-License-Identifier: Apache-2.0
"""A tensor as a ``.tflite`` declares it, and how it is written anew."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.tflite.flatbuffer import Piece, Target, string, table, vector


@dataclass(frozen=True)
class FileTensor:
    """A tensor as the file declares it; ``quant`` None where it has no scale.

    What a FileTensor does not hold (ranges seen in training, sparsity) is of no use once the
    tensor has other data.
    """

    name: bytes
    shape: tuple[int, ...]
    type: int
    buffer: int
    quant: QuantParams | None
    signature: tuple[int, ...] = ()
    is_variable: bool = False
    has_rank: bool = False

    def with_last(self, old: int, new: int) -> FileTensor:
        """With the last dimension changed from ``old`` to ``new``. Raises ModelError."""
        if not self.shape or self.shape[-1] != old:
            name = self.name.decode("utf-8", "replace")
            raise ModelError(
                f"tensor '{name}' behind the head has the shape {self.shape}: its last dimension "
                f"is not the head's, {old}, and cannot become {new}"
            )
        is_fixed = self.signature[-1:] == (old,)
        signature = (*self.signature[:-1], new) if is_fixed else self.signature
        return replace(self, shape=(*self.shape[:-1], new), signature=signature)

    def piece(self) -> Piece:
        fields: dict[int, bytes | Target] = {
            0: integers(self.shape), 1: struct.pack("<b", self.type),
            2: struct.pack("<I", self.buffer), 3: string(self.name),
        }  # fmt: skip
        if self.quant is not None:
            scales = np.array(self.quant.scales, "<f4")
            zeros = np.full(scales.shape, self.quant.zero_point, "<i8")
            quant: dict[int, bytes | Target] = {
                2: vector(scales.tobytes(), 4), 3: vector(zeros.tobytes(), 8, 8),
            }  # fmt: skip
            if self.quant.axis:
                quant[6] = struct.pack("<i", self.quant.axis)
            fields[4] = table(quant)
        if self.is_variable:
            fields[5] = b"\1"
        if self.signature:
            fields[7] = integers(self.signature)
        if self.has_rank:
            fields[8] = b"\1"
        return table(fields)


def integers(values: Sequence[int]) -> Piece:
    return vector(struct.pack(f"<{len(values)}i", *values), 4)
