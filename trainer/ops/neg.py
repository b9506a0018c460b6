# SPDX-License-Identifier: Apache-2.0
"""The negative: in reals, -x."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.fixedpoint import Int64
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.ops.lookup import Lookup, centred_inputs, rescaled


@dataclass(frozen=True)
class Neg(Lookup):
    """x s8 -> out s8 (TFLite NEG of int8): -(x - z_x), requantised.

    No runtime computes it: tflite-micro has no int8 form, and LiteRT negates the bytes, which means
    that only where both zero points are 0.
    """

    tflite_name = "NEG"
    is_activation = False

    def outputs(self, x: TensorType) -> Int64:
        return rescaled(x, self.out_quant, 1.0, -centred_inputs(x))

    def slope(self, real: Array) -> Array:
        return -np.ones_like(real)
