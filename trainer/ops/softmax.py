# SPDX-License-Identifier: Apache-2.0
"""Softmax at the end of a classifier, as tflite-micro computes it; never differentiated.

The fixed-point exponential and reciprocal are those of gemmlowp (fixedpoint.h): a
polynomial on [-1/4, 0) with a barrel of exact factors, and Newton-Raphson division.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainer.errors import UnsupportedOpError
from trainer.fixedpoint import (
    INT32_MAX,
    INT32_MIN,
    Int64,
    Requant,
    doubling_high_mul,
    rounding_shift_right,
)
from trainer.ops.base import KernelCall, Op
from trainer.tensor import Array, QuantParams, Tensor, TensorType

if TYPE_CHECKING:
    from trainer.graph import Node
    from trainer.operator_source import OperatorSource

DIFF_INTEGER_BITS = 5
SUM_INTEGER_BITS = 12
QUARTER = 1 << (31 - DIFF_INTEGER_BITS - 2)
# exp(-2**k) as Q0.31 for k = -2..4
BARREL = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
MAX_CHANNELS = 4095  # the sum of the exponentials is below 2**12
OUT_QUANT = QuantParams((1 / 256,), -128)


@dataclass(frozen=True)
class Softmax(Op):
    """x (.., N) s8 -> out (.., N) s8 with scale 1/256, zero point -128 (TFLite SOFTMAX)."""

    tflite_name = "SOFTMAX"
    beta: float = 1.0

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        if not source.is_last:
            raise UnsupportedOpError(f"{source} is not at the end of the model")
        return cls(float(source.option("Beta"))), (source.activation(0),)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        if not 2.0**-26 < self.beta * x.scale < 16 or x.shape[-1] > MAX_CHANNELS:
            raise ValueError(
                f"softmax over {x.shape[-1]} logits of scale {self.beta * x.scale:.4g}; "
                f"up to {MAX_CHANNELS} logits and scales between 2**-26 and 16 are supported"
            )
        return (TensorType(x.shape, x.dtype, OUT_QUANT),)

    def scaling(self, node: Node) -> tuple[Requant, int]:
        """(factor of a logit difference to Q5.26, least difference that counts)."""
        factor = self.beta * node.inputs[0].type.scale * 2.0 ** (31 - DIFF_INTEGER_BITS)
        r = Requant.from_real(factor)
        reach = (2**DIFF_INTEGER_BITS - 1) * 2.0 ** (31 - DIFF_INTEGER_BITS) / 2.0**r.shift
        return r, -math.floor(reach)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        (x,) = inputs
        r, least = self.scaling(node)
        difference = x.astype(np.int64) - x.max(axis=-1, keepdims=True)
        counted = difference >= least
        scaled = doubling_high_mul(np.maximum(difference, least) << r.shift, r.multiplier)
        e = np.where(counted, exp_on_negative_values(scaled), 0)
        total = rounding_shift_right(e, SUM_INTEGER_BITS).sum(axis=-1, keepdims=True)
        reciprocal, bits_over_unit = inverse(total)
        out = rounding_shift_right(doubling_high_mul(reciprocal, e), bits_over_unit + 31 - 8)
        return (np.clip(np.where(counted, out - 128, -128), -128, 127).astype(np.int8),)

    def lower(self, node: Node) -> KernelCall:
        (x,) = node.inputs
        r, least = self.scaling(node)
        channels = x.type.shape[-1]
        params = {
            "rows": x.type.size // channels,
            "channels": channels,
            "multiplier": r.multiplier,
            "shift": r.shift,
            "least_difference": least,
        }
        return KernelCall("softmax", "softmax_s8", "softmax", params, (x, node.output))


def saturating_shift_left(x: Int64, bits: int) -> Int64:
    return np.asarray(np.clip(x << bits, INT32_MIN, INT32_MAX))


def exp_on_negative_values(x: Int64) -> Int64:
    """exp(x) as Q0.31 of x <= 0 as Q5.26."""
    in_quarter = (x & (QUARTER - 1)) - QUARTER
    result = _exp_last_quarter(saturating_shift_left(in_quarter, DIFF_INTEGER_BITS))
    rest = in_quarter - x
    for k, factor in enumerate(BARREL):
        result = np.where(rest & (QUARTER << k), doubling_high_mul(result, factor), result)
    return np.where(x == 0, INT32_MAX, result)


def _exp_last_quarter(x: Int64) -> Int64:
    """exp(x) as Q0.31 of x in [-1/4, 0) as Q0.31, from its Taylor series about -1/8."""
    at = x + (1 << 28)
    at2 = doubling_high_mul(at, at)
    at3, at4 = doubling_high_mul(at2, at), doubling_high_mul(at2, at2)
    third = doubling_high_mul(rounding_shift_right(at4, 2) + at3, 715827883)
    series = at + rounding_shift_right(third + at2, 1)
    return 1895147668 + doubling_high_mul(series, 1895147668)


def inverse(total: Int64) -> tuple[Int64, Int64]:
    """(mantissa Q0.31, bits above one) of 1 / total, total > 0 as Q12.19."""
    headroom = 32 - np.floor(np.log2(total.astype(np.float64))).astype(np.int64) - 1
    half_denominator = ((total << headroom) - (1 << 31) + INT32_MAX + 1) >> 1
    x = 1515870810 + doubling_high_mul(half_denominator, -1010580540)
    for _ in range(3):
        error = (1 << 29) - doubling_high_mul(half_denominator, x)
        x = x + saturating_shift_left(doubling_high_mul(x, error), 2)
    return saturating_shift_left(x, 1), SUM_INTEGER_BITS - headroom
