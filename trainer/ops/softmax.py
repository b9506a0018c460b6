# SPDX-License-Identifier: Apache-2.0
"""Softmax over the last axis, as tflite-micro computes it, and its gradient.

At the end of a classifier it is left out of a training: the loss is made of the logits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.fixedpoint import (
    Int64,
    Requant,
    doubling_high_mul,
    near,
    rounding_shift_right,
    sat23,
    scale_exponent,
)
from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.op import BehindHead, ErrorTensor, Op, OutputScale
from mcutrain.trainer.graph.tensor import Array, QuantParams, Tensor, TensorType
from mcutrain.trainer.ops.error import RawError, error_types, format_of
from mcutrain.trainer.ops.exponential import (
    exp_on_negative_values,
    saturating_shift_left,
    two_over_one_plus,
)
from mcutrain.trainer.ops.overlap import in_step

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource, Tape

DIFF_INTEGER_BITS = 5
SUM_INTEGER_BITS = 12
MAX_CHANNELS = 4095  # the sum of the exponentials is below 2**12
OUT_BITS = 8  # of the output's fraction
OUT_QUANT = QuantParams((2.0**-OUT_BITS,), -128)


@dataclass(frozen=True)
class Softmax(Op):
    """x (.., N) s8 -> out (.., N) s8 with scale 1/256, zero point -128 (TFLite SOFTMAX)."""

    tflite_name = "SOFTMAX"
    output_scale = OutputScale.FIXED
    behind_head = BehindHead.SCORES
    beta: float = 1.0

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        return cls(float(source.option("Beta"))), (source.activation(0),)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        require_range(x, self.beta)
        return (TensorType(x.shape, x.dtype, OUT_QUANT),)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        _, counted, e, total = exponentials(inputs[0], *scaling(node, self.beta))
        reciprocal, bits_over_unit = inverse(total)
        shift = bits_over_unit + 31 - OUT_BITS
        out = rounding_shift_right(doubling_high_mul(reciprocal, e), shift)
        return (np.clip(np.where(counted, out - 128, -128), -128, 127).astype(np.int8),)

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        (x,) = node.inputs
        if tape.needs(x):
            op = SoftmaxGrad(x.type, self.beta)
            yield x, tape.raw_error(op, node, x, *error, node.output, tape.mask(x))

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        return {(0, 0): 0}

    def lower(self, node: Node) -> KernelCall:
        (x,) = node.inputs
        r, least = scaling(node, self.beta)
        channels = x.type.shape[-1]
        params = {
            "rows": x.type.size // channels,
            "channels": channels,
            "multiplier": r.multiplier,
            "shift": r.shift,
            "least_difference": least,
        }
        return KernelCall("softmax", "softmax_s8", "softmax", params, (x, node.output))


@dataclass(frozen=True)
class SoftmaxGrad(RawError):
    """dout, dout_e s16, y s8, mask of x, history s16[, sgd] -> dx, dx_e s16; history in place.

    p = y + 128, S = sum p dout of a row, d = 2^8 dout - S, f = round(256 beta / 2**kf);
    raw = p near(sat23(d) f, 8), dx = REQ(raw, e + kf - 16) with x's mask. S and d fit 32 bits:
    a row has at most 4095 errors of up to 2047.
    """

    x: TensorType
    beta: float
    mutates = (4,)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        return error_types(types[0], self.x, types[3])

    @property
    def fold(self) -> tuple[int, int]:
        """(f, kf): beta as an 8-bit fraction of 2**kf."""
        kf = scale_exponent(np.array([self.beta]))
        return int(np.floor(256 * self.beta / 2.0**kf + 0.5)), kf

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, y, mask, *state = inputs
        share, error = y.astype(np.int64) + 128, dout.reshape(y.shape).astype(np.int64)
        factor, kf = self.fold
        across = (error << OUT_BITS) - (share * error).sum(axis=-1, keepdims=True)
        raw = share * near(sat23(across) * factor, 8)
        return self.requantized(node, raw, int(exponent[0]) + kf - 2 * OUT_BITS, mask, *state)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        """A row's sum is there before the first of its errors is written."""
        dx, (y, mask) = node.output.type, (t.type for t in node.inputs[2:4])
        pairs = {(0, 0): 0, (0, 2): in_step(dx, y), (0, 3): in_step(dx, mask)}
        return super().overlays(node) | pairs

    def lower(self, node: Node) -> KernelCall:
        channels = self.x.shape[-1]
        factor, kf = self.fold
        params = {
            "rows": self.x.size // channels,
            "channels": channels,
            "fold": factor,
            "exponent_step": kf - 2 * OUT_BITS,
        }
        args = (*node.inputs[:4], *self.state_args(node), *node.outputs[:2])
        kernel = f"softmax_grad_{format_of(node.inputs[0].type).suffix}"
        return KernelCall("softmax", kernel, "softmax_grad", params, args)


def require_range(x: TensorType, beta: float) -> None:
    """Raises ValueError for what the fixed point of the exponentials does not hold."""
    if not 2.0**-26 < beta * x.scale < 16 or x.shape[-1] > MAX_CHANNELS:
        raise ValueError(
            f"softmax over {x.shape[-1]} logits of scale {beta * x.scale:.4g}; "
            f"up to {MAX_CHANNELS} logits and scales between 2**-26 and 16 are supported"
        )


def scaling(node: Node, beta: float) -> tuple[Requant, int]:
    """(factor of a logit difference to Q5.26, least difference that counts)."""
    r = Requant.from_real(beta * node.inputs[0].type.scale * 2.0 ** (31 - DIFF_INTEGER_BITS))
    reach = (2**DIFF_INTEGER_BITS - 1) * 2.0 ** (31 - DIFF_INTEGER_BITS) / 2.0**r.shift
    return r, -math.floor(reach)


def exponentials(x: Array, r: Requant, least: int) -> tuple[Int64, Array, Int64, Int64]:
    """Of each row: (difference from the greatest, which count, exp Q0.31, their sum Q12.19)."""
    difference = x.astype(np.int64) - x.max(axis=-1, keepdims=True)
    counted = difference >= least
    scaled = doubling_high_mul(np.maximum(difference, least) << r.shift, r.multiplier)
    e = np.where(counted, exp_on_negative_values(scaled, DIFF_INTEGER_BITS), 0)
    total = rounding_shift_right(e, SUM_INTEGER_BITS).sum(axis=-1, keepdims=True)
    return difference, counted, e, total


def inverse(total: Int64) -> tuple[Int64, Int64]:
    """(mantissa Q0.31, bits above one) of 1 / total, total > 0 as Q12.19."""
    headroom = 32 - np.floor(np.log2(total.astype(np.float64))).astype(np.int64) - 1
    reciprocal = two_over_one_plus((total << headroom) - (1 << 31))
    return saturating_shift_left(reciprocal, 1), SUM_INTEGER_BITS - headroom
