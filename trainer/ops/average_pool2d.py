# SPDX-License-Identifier: Apache-2.0
"""Average over windows, and its gradient.

Forward: the sum over the window divided by the positions inside the input, rounded half
away from zero, clamped (TFLite quantisation specification, AVERAGE_POOL_2D).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.graph.call import KernelCall, Window
from mcutrain.trainer.graph.op import BehindHead, ErrorTensor, Op
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType
from mcutrain.trainer.ops.clamp_mask import masked
from mcutrain.trainer.ops.error import (
    COUNT_BITS,
    SUFFIXES,
    RawError,
    count_share,
    error_types,
    format_of,
)
from mcutrain.trainer.ops.overlap import error_distance, in_step, window_distance
from mcutrain.trainer.ops.rows import row_of_windows
from mcutrain.trainer.ops.window import Geometry, Pool2D

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, Tape


@dataclass(frozen=True)
class AveragePool2D(Pool2D, Op):
    """x (1, H, W, C) s8 -> out (1, H', W', C) s8, same quantisation."""

    tflite_name = "AVERAGE_POOL_2D"
    behind_head = BehindHead.CHANNELS

    def counts(self, g: Geometry) -> Array:
        """(out_h, out_w) int64: positions of each window inside the input."""
        ones = g.padded(np.ones((g.in_h, g.in_w, 1), np.int64))
        return np.asarray(g.windows(ones).sum(axis=(2, 3, 4)))

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        (x,) = inputs
        g = self.geometry(node.inputs[0].type)
        padded = g.padded(x.reshape(g.in_h, g.in_w, g.in_ch), dtype=np.int64)
        sums = g.windows(padded).sum(axis=(2, 3))
        counts = self.counts(g)[..., None]
        out = np.sign(sums) * ((np.abs(sums) + counts // 2) // counts)
        out = np.clip(out, self.act_min, self.act_max).astype(np.int8)
        return (out.reshape(self.out_shape),)

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        (x,) = node.inputs
        if not tape.needs(x):
            return
        if self.halvings(self.geometry(x.type)) is not None:
            op = AveragePool2DPassError(self, x.type)
            yield x, tape.passed_error(op, node, x, *error, tape.mask(x))
        else:
            grad = AveragePool2DGrad(self, x.type)
            yield x, tape.raw_error(grad, node, x, *error, tape.mask(x))

    def halvings(self, g: Geometry) -> int | None:
        """k if the windows are disjoint, inside the input and of 2**k positions; else None."""
        count = g.kernel_h * g.kernel_w
        inside = bool((self.counts(g) == count).all())
        passes_on = self.is_disjoint and inside and count & (count - 1) == 0
        return count.bit_length() - 1 if passes_on else None

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        return {(0, 0): window_distance(self.geometry(node.inputs[0].type), by_channel=True)}

    def lower(self, node: Node) -> KernelCall:
        (x,) = node.inputs
        kernel = "average_pool2d_s8_tall" if self.is_tall else "average_pool2d_s8"
        params = {
            **self.params(x.type),
            "act_min": self.act_min,
            "act_max": self.act_max,
        }
        return KernelCall("average_pool2d", kernel, "average_pool2d", params, (x, node.output))

    def by_rows(self, node: Node) -> KernelCall | None:
        if self.is_tall:
            return None
        return row_of_windows(self.lower(node), Window(*self.row_window))


@dataclass(frozen=True)
class AveragePool2DPassError(Op):
    """dout, dout_e s16, mask of x -> dx, dx_e s16: each position has its window's error.

    For disjoint windows of 2**k positions, which divide by moving the exponent: dx_e = dout_e - k.
    """

    pool: AveragePool2D
    x: TensorType
    output_suffixes = SUFFIXES

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        return error_types(types[0], self.x, types[2])

    @property
    def exponent_step(self) -> int:
        k = self.pool.halvings(self.pool.geometry(self.x))
        assert k is not None
        return k

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, mask = inputs
        g = self.pool.geometry(self.x)
        spread = spread_error(g, dout, np.ones((g.out_h, g.out_w), np.int64))
        dx = masked(spread.reshape(self.x.shape), mask).astype(dout.dtype)
        return dx, (exponent - self.exponent_step).astype(np.int16)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        return spread_overlays(self.pool, self.x, node)

    def lower(self, node: Node) -> KernelCall:
        params = {**self.pool.params(self.x), "exponent_step": self.exponent_step}
        args = (*node.inputs, *node.outputs)
        name, suffix = "average_pool2d_pass_error", format_of(node.inputs[0].type).suffix
        return KernelCall("average_pool2d", f"{name}_{suffix}", name, params, args)


@dataclass(frozen=True)
class AveragePool2DGrad(RawError):
    """dout, dout_e s16, mask of x, history s16[, sgd] -> dx, dx_e s16; history in place.

    raw = sum of dout * round(2**15 / count) over the windows that hold a position;
    dx = REQ(raw, e - 15) with x's mask.
    """

    pool: AveragePool2D
    x: TensorType
    mutates = (3,)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        g = self.pool.geometry(self.x)
        format_ = format_of(types[0])
        ones = np.full((g.out_h, g.out_w, g.in_ch), format_.greatest, np.int64)
        if spread_error(g, ones, count_share(self.pool.counts(g))).max() > 2**31 - 1:
            raise ValueError("windows overlap so much that the gradient overflows 32 bits")
        return error_types(types[0], self.x, types[2])

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, mask, *state = inputs
        g = self.pool.geometry(self.x)
        raw = spread_error(g, dout, count_share(self.pool.counts(g))).reshape(self.x.shape)
        return self.requantized(node, raw, int(exponent[0]) - COUNT_BITS, mask, *state)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        return spread_overlays(self.pool, self.x, node)

    def lower(self, node: Node) -> KernelCall:
        params = self.pool.params(self.x)
        args = (*node.inputs[:3], *self.state_args(node), *node.outputs[:2])
        name, suffix = "average_pool2d_grad", format_of(node.inputs[0].type).suffix
        return KernelCall("average_pool2d", f"{name}_{suffix}", name, params, args)


def spread_overlays(pool: Pool2D, x: TensorType, node: Node) -> dict[tuple[int, int], int]:
    dx, mask = node.output.type, node.inputs[2].type
    return {(0, 0): error_distance(pool.geometry(x), dx), (0, 2): in_step(dx, mask), (1, 1): 0}


def spread_error(g: Geometry, dout: Array, share: Array) -> Array:
    """(in_h, in_w, C) int64: the sum of dout * share over the windows of each position."""
    padded = g.frame(np.int64)
    scaled = dout.reshape(g.out_h, g.out_w, g.in_ch).astype(np.int64) * share[..., None]
    for _, _, positions in g.taps():
        padded[positions] += scaled
    return g.unpadded(padded)
