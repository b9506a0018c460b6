# SPDX-License-Identifier: Apache-2.0
"""What the operators that take parts, positions or blends mean in reals."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.ops.gather import Gather, Tile
from mcutrain.trainer.ops.pack import Pack
from mcutrain.trainer.ops.resize_bilinear import ResizeBilinear
from mcutrain.trainer.ops.slice import Slice, Split, SplitV, StridedSlice, Unpack


def part(node: Node, reals: list[Array]) -> Array:
    op = node.op
    assert isinstance(op, Slice)
    found = np.empty(op.count)
    for at in np.ndindex(op.count):
        steps = zip(op.first, at, op.step, strict=True)
        found[at] = reals[0][tuple(first + k * step for first, k, step in steps)]
    return found.reshape(op.shape)


def gather(node: Node, reals: list[Array]) -> Array:
    op, shape = node.op, reals[0].shape
    assert isinstance(op, Gather)
    last = op.axis + op.axes
    rows = reals[0].reshape(*shape[: op.axis], -1, *shape[last:])
    return np.stack([np.take(rows, k, op.axis) for k in op.index], op.axis).reshape(op.shape)


def tile(node: Node, reals: list[Array]) -> Array:
    out = node.output.type.shape
    return np.tile(reals[0], [a // b for a, b in zip(out, reals[0].shape, strict=True)])


def pack(node: Node, reals: list[Array]) -> Array:
    assert isinstance(node.op, Pack)
    return np.stack(reals, node.op.axis)


def weights(op: ResizeBilinear, inputs: int, outputs: int) -> Array:
    """(outputs, inputs): how much of each input an output takes, positions being multiples of
    1 / 1024 as TFLite has them."""
    corners = int(op.align_corners and outputs > 1)
    exact = Fraction(1024 * (inputs - corners), outputs - corners)
    step = Fraction(math.floor(exact + Fraction(1, 2)), 1024)
    found = np.zeros((outputs, inputs))
    for k in range(outputs):
        at = k * step
        if op.half_pixel_centers:
            at += Fraction(int(step * 1024) // 2, 1024) - Fraction(1, 2)
        at = min(max(at, Fraction(0)), Fraction(inputs - 1))
        low = int(at)
        found[k, low] += float(1 - (at - low))
        if at > low:
            found[k, low + 1] += float(at - low)
    return found


def resize_bilinear(node: Node, reals: list[Array]) -> Array:
    op = node.op
    assert isinstance(op, ResizeBilinear)
    (in_h, in_w), (out_h, out_w) = reals[0].shape[1:3], op.size
    rows, columns = weights(op, in_h, out_h), weights(op, in_w, out_w)
    return np.einsum("yi,xj,nijc->nyxc", rows, columns, reals[0])


MOVES = {
    Slice: part,
    StridedSlice: part,
    Split: part,
    SplitV: part,
    Unpack: part,
    Gather: gather,
    Tile: tile,
    Pack: pack,
    ResizeBilinear: resize_bilinear,
}
