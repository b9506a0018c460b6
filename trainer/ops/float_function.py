# SPDX-License-Identifier: Apache-2.0
"""Functions of one value that a file computes in float32, between a DEQUANTIZE and a QUANTIZE.

Converters leave them there for operators without an int8 form. Of 256 inputs the outputs are a
table, made in the float32 of tflite-micro: only functions whose float32 result is the nearest one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mcutrain.trainer.fixedpoint import Int64
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.ops.lookup import Lookup, centred_inputs

Float32 = npt.NDArray[np.float32]
GREATEST = 2.0**30  # quanta that QUANTIZE can round to int32


@dataclass(frozen=True)
class Function:
    """A function in float32, and its derivative at real inputs."""

    value: Callable[[Float32], Float32]
    slope: Callable[[Array], Array]


# By the operator's name in the TFLite schema.
FUNCTIONS = {
    "NEG": Function(np.negative, lambda x: np.full(x.shape, -1.0)),
    "ABS": Function(np.abs, np.sign),
    "SQUARE": Function(lambda x: x * x, lambda x: 2 * x),
}


@dataclass(frozen=True)
class FloatFunction(Lookup):
    """x s8 -> out s8 = QUANTIZE(f(DEQUANTIZE(x))), f the ``functions`` one after the other."""

    functions: tuple[str, ...] = ()

    def outputs(self, x: TensorType) -> Int64:
        # DEQUANTIZE multiplies in float64, QUANTIZE divides in float32 and rounds half away from 0.
        value = (x.scale * centred_inputs(x)).astype(np.float32)
        for name in self.functions:
            value = FUNCTIONS[name].value(value)
        quanta = value / np.float32(self.out_quant.scale)
        if not (np.abs(quanta) < GREATEST).all():
            raise ValueError(f"scale {self.out_quant.scale:.4g} is too fine for the values")
        rounded = np.copysign(np.floor(np.abs(quanta) + np.float32(0.5)), quanta)
        return np.asarray(rounded.astype(np.int64) + self.out_quant.zero_point)

    def slope(self, real: Array) -> Array:
        found, value = np.ones(real.shape), real
        for name in self.functions:
            found = found * FUNCTIONS[name].slope(value)
            value = FUNCTIONS[name].value(value)
        return found
