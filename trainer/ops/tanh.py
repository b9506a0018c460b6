# SPDX-License-Identifier: Apache-2.0
"""The hyperbolic tangent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.fixedpoint import Int64, rounding_shift_right
from mcutrain.trainer.graph.tensor import Array, QuantParams, TensorType
from mcutrain.trainer.ops.exponential import (
    exp_on_negative_values,
    saturating_shift_left,
    two_over_one_plus,
)
from mcutrain.trainer.ops.logistic import INTEGER_BITS, Logistic, at_fixed_point


@dataclass(frozen=True)
class Tanh(Logistic):
    """x s8 -> out s8 with scale 1/128, zero point 0 (TFLite TANH)."""

    tflite_name = "TANH"
    fixed_quant = QuantParams((1 / 128,), 0)
    out_quant: QuantParams = fixed_quant

    def outputs(self, x: TensorType) -> Int64:
        return at_fixed_point(x, tanh_byte)

    def slope(self, real: Array) -> Array:
        t = np.exp(-2 * np.abs(real))
        return np.asarray(4 * t / (1 + t) ** 2)


def tanh_byte(x: Int64) -> Int64:
    """128 tanh(x) of x as Q4.27; 128 included, which the table saturates."""
    # 2 x has the bits of x with one integer bit more.
    squared = exp_on_negative_values(-np.abs(x), INTEGER_BITS + 1)
    above = saturating_shift_left(two_over_one_plus(squared) - (1 << 29), 2)
    unit = np.where(x < 0, -above, above)
    return rounding_shift_right(np.where(x == 0, 0, unit), 24)
