# SPDX-License-Identifier: Apache-2.0
"""Exponential linear unit: in reals, x for x >= 0, exp(x) - 1 below (Clevert et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.fixedpoint import Int64
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.ops.lookup import Lookup, float_outputs


@dataclass(frozen=True)
class Elu(Lookup):
    """x s8 -> out s8 (TFLite ELU): filled in float32, from an exponential of float64."""

    tflite_name = "ELU"

    def outputs(self, x: TensorType) -> Int64:
        return float_outputs(x, self.out_quant, elu)

    def slope(self, real: Array) -> Array:
        return np.exp(np.minimum(real, 0.0))


def elu(x: Array) -> Array:
    """In float32."""
    return np.where(x < 0, exponential(np.minimum(x, 0)) - np.float32(1), x)


def exponential(x: Array) -> Array:
    """The float32 that is nearest to the exponential of float32s."""
    return np.asarray(np.exp(x.astype(np.float64)).astype(np.float32))
