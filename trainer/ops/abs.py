# SPDX-License-Identifier: Apache-2.0
"""The absolute value: in reals, |x|."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.fixedpoint import Int64
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.ops.lookup import Lookup, centred_inputs, rescaled


@dataclass(frozen=True)
class Abs(Lookup):
    """x s8 -> out s8 (TFLite ABS): |x - z_x|, requantised. At 0 the slope is 0."""

    tflite_name = "ABS"

    def outputs(self, x: TensorType) -> Int64:
        return rescaled(x, self.out_quant, 1.0, np.abs(centred_inputs(x)))

    def slope(self, real: Array) -> Array:
        return np.sign(real)
