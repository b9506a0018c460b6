# SPDX-License-Identifier: Apache-2.0
"""The reciprocal of the square root, as in a layer normalisation: in reals, 1 / sqrt(x)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.fixedpoint import Int64, Requant, requantize
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.ops.exponential import inverse_root
from mcutrain.trainer.ops.lookup import Lookup, centred_inputs

FRACTION_BITS = 20  # of the root of an input in quanta
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
        multiplier, right = inverse_root(np.maximum(centred, 1))
        roots = requantize(np.ones_like(centred), multiplier, FRACTION_BITS - right)
        found = requantize(roots, r.multiplier, r.shift) + self.out_quant.zero_point
        return np.where(centred > 0, found, GREATEST)

    def slope(self, real: Array) -> Array:
        """0 where the output is at its end: so steep as it is there, the rest would lose bits."""
        least = np.min(real[real > 0], initial=np.inf)
        at = np.maximum(real, least)
        inside = (GREATEST - self.out_quant.zero_point) * self.out_quant.scale
        return np.where((real > 0) & (at**-0.5 < inside), -0.5 * at**-1.5, 0.0)
