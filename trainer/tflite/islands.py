# SPDX-License-Identifier: Apache-2.0
"""Where a model of int8 computes in floating point for a while: a conversion, functions of one
value, and the conversion back. What they make of 256 inputs is a table."""

from __future__ import annotations

import tflite

from mcutrain.trainer.ops.float_function import FLOAT_FUNCTIONS
from mcutrain.trainer.tflite.listing import Listing

INT8, FLOAT32 = tflite.TensorType.INT8, tflite.TensorType.FLOAT32


def float_islands(listing: Listing) -> dict[int, tuple[int, ...]]:
    """By its last operator each island: its operators, DEQUANTIZE first and QUANTIZE last."""
    readers: dict[int, list[int]] = {}
    for k in range(len(listing)):
        for tensor in listing.inputs_of(k):
            readers.setdefault(tensor, []).append(k)
    outer = {int(listing.subgraph.Outputs(k)) for k in range(listing.subgraph.OutputsLength())}
    found: dict[int, tuple[int, ...]] = {}
    for k in range(len(listing)):
        if listing.kind(k) == "DEQUANTIZE" and k not in listing.edges:
            island = island_from(listing, k, readers, outer)
            found |= {island[-1]: island} if island else {}
    return found


def island_from(
    listing: Listing, first: int, readers: dict[int, list[int]], outer: set[int]
) -> tuple[int, ...]:
    """The operators of the island that begins here; () if it does not end as one."""
    island = [first]
    if not is_unary(listing, first, INT8, FLOAT32):
        return ()
    while True:
        (out,) = listing.outputs_of(island[-1])
        behind = readers.get(out, [])
        if len(behind) != 1 or out in outer or behind[0] <= island[-1]:
            return ()
        island += behind
        if listing.kind(behind[0]) == "QUANTIZE" and is_unary(listing, behind[0], FLOAT32, INT8):
            return tuple(island)
        is_function = listing.kind(behind[0]) in FLOAT_FUNCTIONS
        if not is_function or not is_unary(listing, behind[0], FLOAT32, FLOAT32):
            return ()


def is_unary(listing: Listing, index: int, given: int, made: int) -> bool:
    """Whether an operator makes one tensor of one, of these types."""
    inputs, outputs = listing.inputs_of(index), listing.outputs_of(index)
    if len(inputs) != 1 or len(outputs) != 1:
        return False
    known = range(listing.subgraph.TensorsLength())
    types = [listing.subgraph.Tensors(t).Type() for t in (*inputs, *outputs) if t in known]
    return types == [given, made]
