# SPDX-License-Identifier: Apache-2.0
"""What the kernels for cores with DSP instructions share. Twin of firmware/mct/dsp.h."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.fixedpoint import Int64, requantize, wrap32
from mcutrain.trainer.graph.call import Table
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, Role
from mcutrain.trainer.ops.weighted import Weighted

NEEDS = frozenset({"dsp"})
SURE_RIGHT = 20  # a doubled sum that saturates is then an output beyond +-2**8: it saturates too
MOST_RIGHT = 30


def requant_table(node: Node) -> Table:
    """(1 + 3 O + N,) s32 of a layer: N; for each of its channels multiplier, rounding, shift to the
    right; the N channels that have no fast way.

    A channel takes the kernels' fast way if that is exact for every sum that it can have. One whose
    output is constant, as those of channels that left a model often are, takes it with a multiplier
    of 0. Any other has a shift of 0, and TFLite's shift in place of its rounding.
    """
    op = node.op
    assert isinstance(op, Weighted)
    multiplier, shift = (
        a.astype(np.int64) for a in op.requants(*(t.type for t in node.inputs[:2]))
    )
    zero_point = op.out_quant.zero_point
    right = -shift
    rounding = (1 << np.clip(right - 1, 0, MOST_RIGHT)) + (
        zero_point << np.clip(right, 0, MOST_RIGHT)
    )
    is_fast = (right >= 1) & (right <= SURE_RIGHT)
    is_constant, constant = multiplier == 0, np.full(len(right), zero_point)
    bounds = sum_bounds(node)
    if bounds is not None:
        low, high = bounds
        most = np.maximum(np.abs(low), np.abs(high))
        is_fast |= (
            (right >= 1)
            & (right <= MOST_RIGHT)
            & (most < 2**30)
            & (np.abs(rounding) + most < 2**31)
        )
        wraps_alike = (low + 2**31) // 2**32 == (high + 2**31) // 2**32
        least, greatest = (
            np.clip(wrap32(requantize(wrap32(b), multiplier, shift) + zero_point), -128, 127)
            for b in bounds
        )
        is_monotone = wraps_alike & (shift <= 0)
        is_constant |= is_monotone & (least == greatest)
        constant = np.where(is_monotone, least, constant)
    columns = (
        np.where(is_constant, 0, multiplier),
        np.where(is_constant, 2 * constant + 1, np.where(is_fast, rounding, shift)),
        np.where(is_constant, 1, np.where(is_fast, right, 0)),
    )
    records, slow = np.stack(columns, axis=1), np.flatnonzero(columns[2] == 0)
    return Table(
        "requant", np.concatenate([[len(slow)], records.reshape(-1), slow]).astype(np.int32)
    )


def sum_bounds(node: Node) -> tuple[Int64, Int64] | None:
    """(O,), (O,): the least and the greatest sum of each output channel over all inputs, its bias
    included, before it wraps to 32 bits; None if some of its weights or biases learn."""
    op = node.op
    assert isinstance(op, Weighted)
    x, weights = node.inputs[0].type, node.inputs[1:]
    if op.channels is not None or any(t.role is Role.PARAM or t.data is None for t in weights):
        return None
    data: list[Array] = [t.data.astype(np.int64) for t in weights if t.data is not None]
    w = np.moveaxis(data[0], op.out_axis, 0).reshape(data[0].shape[op.out_axis], -1)
    bias = data[1].reshape(-1) if op.has_bias else np.zeros(len(w), np.int64)
    ends = np.stack([w * (-128 - x.zero_point), w * (127 - x.zero_point)])
    return ends.min(axis=0).sum(axis=1) + bias, ends.max(axis=0).sum(axis=1) + bias
