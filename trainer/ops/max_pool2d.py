# SPDX-License-Identifier: Apache-2.0
"""Maximum over windows, and its gradient.

Forward: the greatest value of the window inside the input, clamped (TFLite MAX_POOL_2D). The
error of a window goes to its first maximum in row-major order, which is found again from x.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.fixedpoint import Int64
from mcutrain.trainer.graph.call import Arg, KernelCall, Window
from mcutrain.trainer.graph.op import BehindHead, ErrorTensor, Op
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType
from mcutrain.trainer.ops.clamp_mask import masked
from mcutrain.trainer.ops.error import SUFFIXES, RawError, error_types, format_of
from mcutrain.trainer.ops.overlap import error_distance, window_distance
from mcutrain.trainer.ops.rows import row_of_windows
from mcutrain.trainer.ops.window import Geometry, Pool2D

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, Tape

ABOVE_PADDING = 129  # makes every int8 greater than the zeros around the input


@dataclass(frozen=True)
class MaxPool2D(Pool2D, Op):
    """x (1, H, W, C) s8 -> out (1, H', W', C) s8, same quantisation."""

    tflite_name = "MAX_POOL_2D"
    behind_head = BehindHead.CHANNELS

    def windows(self, g: Geometry, x: Array) -> Int64:
        """(out_h, out_w, kernel_h * kernel_w, C): x + 129 in each window, 0 outside."""
        raised = g.padded(x.reshape(g.in_h, g.in_w, g.in_ch), -ABOVE_PADDING, np.int64)
        return g.windows(raised).reshape(g.out_h, g.out_w, -1, g.in_ch)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        greatest = self.windows(self.geometry(node.inputs[0].type), inputs[0]).max(axis=2)
        out = np.clip(greatest - ABOVE_PADDING, self.act_min, self.act_max).astype(np.int8)
        return (out.reshape(self.out_shape),)

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        (x,) = node.inputs
        if not tape.needs(x):
            return
        if self.is_disjoint:
            op = MaxPool2DPassError(self)
            yield x, tape.passed_error(op, node, x, *error, x, tape.mask(x))
        else:
            yield x, tape.raw_error(MaxPool2DGrad(self), node, x, *error, x, tape.mask(x))

    def routed(self, g: Geometry, dout: Array, x: Array) -> Int64:
        """(in_h, in_w, C) int64: the sum of dout over the windows whose first maximum it is."""
        first = self.windows(g, x).argmax(axis=2)  # the first of equals
        padded = g.frame(np.int64)
        error = dout.reshape(first.shape).astype(np.int64)
        for ky, kx, positions in g.taps():
            padded[positions] += np.where(first == ky * g.kernel_w + kx, error, 0)
        return g.unpadded(padded)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        return {(0, 0): window_distance(self.geometry(node.inputs[0].type), by_channel=True)}

    def lower(self, node: Node) -> KernelCall:
        (x,) = node.inputs
        kernel = "max_pool2d_s8_tall" if self.is_tall else "max_pool2d_s8"
        params = {**self.params(x.type), "act_min": self.act_min, "act_max": self.act_max}
        return KernelCall("max_pool2d", kernel, "max_pool2d", params, (x, node.output))

    def by_rows(self, node: Node) -> KernelCall | None:
        if self.is_tall:
            return None
        return row_of_windows(self.lower(node), Window(*self.row_window))


@dataclass(frozen=True)
class MaxPool2DPassError(Op):
    """dout, dout_e s16, x s8, mask of x -> dx, dx_e = dout_e, for disjoint windows."""

    pool: MaxPool2D
    output_suffixes = SUFFIXES

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        if not self.pool.is_disjoint:
            raise ValueError("windows that overlap do not only pass errors on")
        return error_types(types[0], *types[2:4])

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, x, mask = inputs
        routed = self.pool.routed(self.pool.geometry(node.inputs[2].type), dout, x)
        return masked(routed.reshape(x.shape), mask).astype(dout.dtype), exponent.copy()

    def lower(self, node: Node) -> KernelCall:
        return grad_call("max_pool2d_pass_error", self.pool, node)


@dataclass(frozen=True)
class MaxPool2DGrad(RawError):
    """dout, dout_e s16, x s8, mask of x, history s16[, sgd] -> dx, dx_e s16; history in place.

    raw = sum of dout over the windows whose first maximum a position is; dx = REQ(raw, e).
    A position lies in at most 2**16 windows (tflite.bounds: MAX_TAPS), so no sum of errors passes
    int32.
    """

    pool: MaxPool2D
    mutates = (4,)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        return error_types(types[0], *types[2:4])

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, x, mask, *state = inputs
        raw = self.pool.routed(self.pool.geometry(node.inputs[2].type), dout, x)
        return self.requantized(node, raw.reshape(x.shape), int(exponent[0]), mask, *state)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        g = self.pool.geometry(node.inputs[2].type)
        return super().overlays(node) | {(0, 0): error_distance(g, node.output.type)}

    def lower(self, node: Node) -> KernelCall:
        return grad_call("max_pool2d_grad", self.pool, node, *self.state_args(node))


def grad_call(kernel: str, pool: MaxPool2D, node: Node, *state: Arg) -> KernelCall:
    params = pool.params(node.inputs[2].type)
    args = (*node.inputs[:4], *state, *node.outputs[:2])
    kernel = f"{kernel}_{format_of(node.inputs[0].type).suffix}"
    return KernelCall("max_pool2d", kernel, "max_pool2d_grad", params, args)
