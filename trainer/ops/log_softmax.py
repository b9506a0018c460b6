# SPDX-License-Identifier: Apache-2.0
"""Log-softmax at the end of a classifier, as tflite-micro computes it.

A training leaves it out, for the loss is made of the logits: so it has no gradient, and no kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import UnsupportedOpError
from mcutrain.trainer.fixedpoint import (
    Int64,
    Requant,
    doubling_high_mul,
    requantize,
    rounding_shift_right,
)
from mcutrain.trainer.graph.op import BehindHead, Op, OutputScale
from mcutrain.trainer.graph.tensor import Array, QuantParams, Tensor, TensorType
from mcutrain.trainer.ops.exponential import saturating_shift_left, two_over_one_plus
from mcutrain.trainer.ops.softmax import (
    DIFF_INTEGER_BITS,
    SUM_INTEGER_BITS,
    exponentials,
    require_range,
    scaling,
)

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource

OUT_INTEGER_BITS = 4
OUT_QUANT = QuantParams((2.0**OUT_INTEGER_BITS / 256,), 127)
LN_2, SQRT_HALF, FOURTH_ROOT_OF_HALF = 1488522236, 1518500250, 1805811301  # Q0.31
# Of the quotient that approximates the logarithm, Q0.31: 11/240, 1/20 and 1/4 of the fourth root
# of 2, and 2 over that root less the root.
ALPHA_N, ALPHA_D, ALPHA_F, ALPHA_I = 117049297, 127690142, 638450708, 1057819769


@dataclass(frozen=True)
class LogSoftmax(Op):
    """x (.., N) s8 -> out (.., N) s8 with scale 1/16, zero point 127 (TFLite LOG_SOFTMAX)."""

    tflite_name = "LOG_SOFTMAX"
    output_scale = OutputScale.FIXED
    behind_head = BehindHead.SCORES

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        if not source.is_last:
            raise UnsupportedOpError(f"{source} is not at the end of the model")
        return cls(), (source.activation(0),)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        require_range(x, 1.0)
        return (TensorType(x.shape, x.dtype, OUT_QUANT),)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        r, least = scaling(node, 1.0)
        difference, _, _, total = exponentials(inputs[0], r, least)
        log_total = logarithm(total)
        back = Requant.from_real(2.0 ** (31 - r.shift) / r.multiplier)
        reach = requantize(log_total - 2**31, back.multiplier, back.shift)
        counted = difference > np.maximum(reach, least - 1)
        scaled = doubling_high_mul(np.maximum(difference, least) << r.shift, r.multiplier)
        shift = 31 - DIFF_INTEGER_BITS - OUT_INTEGER_BITS
        out = rounding_shift_right(scaled - log_total, shift) + 127
        return (np.where(counted, np.clip(out, -128, 127), -128).astype(np.int8),)


def bit_length(x: Int64) -> Int64:
    return np.asarray(np.frexp(x.astype(np.float64))[1].astype(np.int64))


def logarithm(x: Int64) -> Int64:
    """ln(x) as Q5.26 of x >= 1 as Q12.19, with the roundings of TFLite.

    >>> logarithm(np.array([1 << 19, 10 << 19])) / 2.0**26
    array([0.       , 2.3025851])
    """
    bits, quarter = 31 - DIFF_INTEGER_BITS - 1, 1 << 23
    headroom = 32 - bit_length(x)
    halved = doubling_high_mul(saturating_shift_left(x, headroom - 1), SQRT_HALF)
    first = saturating_shift_left(halved, 1)
    power = np.minimum(((SUM_INTEGER_BITS - headroom) << bits) + quarter, 2**31 - 1)
    room = 31 - bit_length(doubling_high_mul(x, SQRT_HALF))
    second = saturating_shift_left(x, room)
    power = np.maximum(power, ((SUM_INTEGER_BITS - room) << bits) - quarter)
    r = np.minimum(first, second)
    p = (r + FOURTH_ROOT_OF_HALF + 1) >> 1
    q = 2 * (r - FOURTH_ROOT_OF_HALF)
    square = doubling_high_mul(q, q)
    cube = doubling_high_mul(doubling_high_mul(q, square), ALPHA_N)
    numerator = doubling_high_mul(q, r) + cube
    slope = ALPHA_I + q + doubling_high_mul(square, ALPHA_D)
    denominator = doubling_high_mul(p, slope) + doubling_high_mul(q, ALPHA_F)
    reciprocal = saturating_shift_left(two_over_one_plus(denominator), 1)
    scaled = rounding_shift_right(numerator, DIFF_INTEGER_BITS + 1)
    total = doubling_high_mul(power, LN_2) + doubling_high_mul(scaled, reciprocal)
    return saturating_shift_left(total, 1)
