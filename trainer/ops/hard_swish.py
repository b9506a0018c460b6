# SPDX-License-Identifier: Apache-2.0
"""Hard swish: in reals, x min(max(x + 3, 0), 6) / 6 (Howard et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.fixedpoint import Int64, Requant, rounding_shift_right
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.ops.lookup import Lookup, centred_inputs

FRACTION_BITS = 7  # of the centred input in 16 bits
INT16_MAX = 2**15 - 1


@dataclass(frozen=True)
class HardSwish(Lookup):
    """x s8 -> out s8 (TFLite HARD_SWISH), in 16-bit fixed point.

    The factor min(max(x + 3, 0), 6) / 6 is a Q0.15 number whose saturation clamps it.
    """

    tflite_name = "HARD_SWISH"

    def factors(self, x: TensorType) -> tuple[tuple[int, int], tuple[int, int]]:
        """(multiplier, shift) to the output's quanta, and to the gate's; quotients in float32."""
        s_x, s_y = x.scale, self.out_quant.scale
        if 2.0**-20 < s_x / s_y < 2.0**20 and 2.0**-40 < s_x < 2.0**20:  # far inside float32
            fine = np.float32(s_x) / np.float32(1 << FRACTION_BITS)
            to_out = factor16(float(fine / np.float32(s_y)))
            to_gate = factor16(float(fine / np.float32(3 / 2**15)))
            if -15 <= to_out[1] <= 0 and -15 <= to_gate[1] <= 15:
                return to_out, to_gate
        raise ValueError(f"scales {s_x:.6g} in and {s_y:.6g} out lie too far apart")

    def outputs(self, x: TensorType) -> Int64:
        (out_multiplier, out_shift), (multiplier, shift) = self.factors(x)
        value = centred_inputs(x) << FRACTION_BITS
        gate = saturated16(value << max(shift - 1, 0))
        gate = high_mul16(gate, multiplier)
        gate = saturated16(gate << min(max(shift, 0), 1))
        gate = (rounding_shift_right(gate, max(-shift, 0)) + 2**15) >> 1
        product = gate * high_mul16(value, out_multiplier)
        truncated = np.sign(product) * (np.abs(product) >> 15)
        return rounding_shift_right(truncated, -out_shift) + self.out_quant.zero_point

    def slope(self, real: Array) -> Array:
        inside = (2 * real + 3) / 6
        return np.where(real <= -3, 0.0, np.where(real >= 3, 1.0, inside))


def factor16(factor: float) -> tuple[int, int]:
    """(multiplier Q0.15, shift) of a positive factor."""
    r = Requant.from_real(factor)
    return min((r.multiplier + 2**15) >> 16, INT16_MAX), r.shift


def saturated16(x: Int64) -> Int64:
    return np.clip(x, -INT16_MAX - 1, INT16_MAX)


def high_mul16(a: Int64, b: int) -> Int64:
    """round(a * b / 2**15), ties toward +inf."""
    return (a * b + (1 << 14)) >> 15
