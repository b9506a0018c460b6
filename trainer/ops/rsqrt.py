# SPDX-License-Identifier: Apache-2.0
"""The reciprocal of the square root, as in a layer normalisation: in reals, 1 / sqrt(x)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.fixedpoint import (
    INT32_MAX,
    Int64,
    Requant,
    doubling_high_mul,
    requantize,
    rounding_shift_right,
)
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.ops.exponential import saturating_shift_left
from mcutrain.trainer.ops.lookup import Lookup, centred_inputs

FRACTION_BITS = 20  # of the root of an input in quanta
STEPS = 5  # of Newton and Raphson
HALF_ROOT_2 = 1518500250  # sqrt(2) / 2 as Q0.31
GREATEST = 127


@dataclass(frozen=True)
class Rsqrt(Lookup):
    """x s8 -> out s8 (TFLite RSQRT), in fixed point.

    0 gives the greatest int8. So do values below it, at which tflite-micro stops.
    """

    tflite_name = "RSQRT"

    def factor(self, x: TensorType) -> Requant:
        """From the root in 2**-20 to the output. Raises ValueError for what tflite-micro cannot
        shift by."""
        r = Requant.from_real(1.0 / (math.sqrt(x.scale) * self.out_quant.scale))
        if not -11 <= r.shift <= 30:
            raise ValueError(
                f"scales {x.scale:.6g} in and {self.out_quant.scale:.6g} out lie too far apart"
            )
        return Requant(r.multiplier, r.shift - FRACTION_BITS)

    def outputs(self, x: TensorType) -> Int64:
        r, centred = self.factor(x), centred_inputs(x)
        roots = reciprocal_roots(np.maximum(centred, 1))
        found = requantize(roots, r.multiplier, r.shift) + self.out_quant.zero_point
        return np.where(centred > 0, found, GREATEST)

    def slope(self, real: Array) -> Array:
        """0 where the output is at its end: so steep as it is there, the rest would lose bits."""
        least = np.min(real[real > 0], initial=np.inf)
        at = np.maximum(real, least)
        inside = (GREATEST - self.out_quant.zero_point) * self.out_quant.scale
        return np.where((real > 0) & (at**-0.5 < inside), -0.5 * at**-1.5, 0.0)


def reciprocal_roots(x: Int64) -> Int64:
    """2**20 / sqrt(x) of x in 1..255 (TFLite GetInvSqrtQuantizedMultiplierExp)."""
    pairs = (31 - np.frexp(x)[1]) // 2 - 1  # of bits: the number becomes one of 2**27 to 2**29
    fixed = (x << 2 * pairs) >> 1  # Q3.28, as all below
    half = rounding_shift_right(fixed, 1)
    y = np.full_like(x, 1 << 28)
    for _ in range(STEPS):
        cube = saturating_shift_left(doubling_high_mul(doubling_high_mul(y, y), y), 6)
        steps = doubling_high_mul(y, 3 << 27) - doubling_high_mul(half, cube)
        y = saturating_shift_left(steps, 3)
    multiplier, shift = doubling_high_mul(y, HALF_ROOT_2), pairs - 11
    is_left = shift > 0
    multiplier = np.where(is_left, multiplier << np.maximum(shift, 0), multiplier)
    shift = np.minimum(shift, 0)
    one = x == 1
    multiplier, shift = np.where(one, INT32_MAX, multiplier), np.where(one, 0, shift)
    return requantize(np.ones_like(x), multiplier, shift + FRACTION_BITS)
