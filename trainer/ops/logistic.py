# SPDX-License-Identifier: Apache-2.0
"""The logistic function: in reals, 1 / (1 + exp(-x))."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mcutrain.trainer.errors import UnsupportedOpError
from mcutrain.trainer.fixedpoint import INT32_MAX, Int64, Requant, requantize, rounding_shift_right
from mcutrain.trainer.graph.op import BehindHead, Op, OutputScale
from mcutrain.trainer.graph.tensor import Array, QuantParams, Tensor, TensorType
from mcutrain.trainer.ops.exponential import (
    exp_on_negative_values,
    saturating_shift_left,
    two_over_one_plus,
)
from mcutrain.trainer.ops.lookup import Lookup, centred_inputs

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import OperatorSource

INTEGER_BITS = 4  # of the input in fixed point; beyond 15 the functions are at their ends
# Of the input: below, tflite-micro shifts by a negative number; above, by more than 30.
MIN_SCALE, MAX_SCALE = 2.0**-28, 8.0


@dataclass(frozen=True)
class Logistic(Lookup):
    """x s8 -> out s8 with scale 1/256, zero point -128 (TFLite LOGISTIC)."""

    tflite_name = "LOGISTIC"
    output_scale = OutputScale.FIXED
    behind_head = BehindHead.OUTPUT
    fixed_quant: ClassVar[QuantParams] = QuantParams((1 / 256,), -128)
    out_quant: QuantParams = fixed_quant

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        quant, fixed = source.out.type.quant, cls.fixed_quant
        if quant != fixed:
            raise UnsupportedOpError(
                f"{source}: the output has another quantisation than scale {fixed.scale}, "
                f"zero point {fixed.zero_point}"
            )
        return super().from_tflite(source)

    def outputs(self, x: TensorType) -> Int64:
        return at_fixed_point(x, logistic_byte) - 128

    def slope(self, real: Array) -> Array:
        t = np.exp(-np.abs(real))
        return np.asarray(t / (1 + t) ** 2)


def at_fixed_point(x: TensorType, function: Callable[[Int64], Int64]) -> Int64:
    """``function`` of the inputs as Q4.27, saturated beyond +-15: there its last value counts."""
    if not MIN_SCALE <= x.scale < MAX_SCALE:
        raise ValueError(
            f"the input's scale is {x.scale:.6g}; {MIN_SCALE:.3g} to {MAX_SCALE:g} is supported"
        )
    r = Requant.from_real(x.scale * 2.0 ** (31 - INTEGER_BITS))
    reach = math.floor((2**INTEGER_BITS - 1) * 2.0 ** (31 - INTEGER_BITS - r.shift))
    centred = centred_inputs(x)
    inside = np.abs(centred) < reach
    fixed = requantize(np.where(inside, centred, 0), r.multiplier, r.shift)
    ends = np.where(centred > 0, INT32_MAX, -INT32_MAX)
    return function(np.where(inside, fixed, ends))


def logistic_byte(x: Int64) -> Int64:
    """256 / (1 + exp(-x)) of x as Q4.27, at most 255."""
    above = two_over_one_plus(exp_on_negative_values(-np.abs(x), INTEGER_BITS))
    above = saturating_shift_left(above, 1)
    unit = np.where(x < 0, INT32_MAX - above, above)
    unit = np.where(x == 0, 1 << 30, unit)
    return np.minimum(rounding_shift_right(unit, 23), 255)
