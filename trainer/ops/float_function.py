# SPDX-License-Identifier: Apache-2.0
"""Functions of one value that a model computes in floating point, between conversions from int8 and
back: as a table they need none.

Converters leave operators in float that they have no int8 form of, ELU, NEG and SQUARE for example.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.fixedpoint import Int64
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.ops.elu import elu, exponential
from mcutrain.trainer.ops.lookup import Lookup, centred_inputs, quanta_of

Function = Callable[[Array], Array]
# By the schema's name: of float32s, as tflite-micro computes it, and its derivative.
FLOAT_FUNCTIONS: dict[str, tuple[Function, Function]] = {
    "ABS": (np.abs, np.sign),
    "ELU": (elu, lambda x: np.exp(np.minimum(x, 0.0))),
    "EXP": (exponential, np.exp),
    "NEG": (np.negative, lambda x: -np.ones_like(x)),
    "RELU": (lambda x: np.maximum(x, np.float32(0)), lambda x: np.where(x > 0, 1.0, 0.0)),
    "SQUARE": (lambda x: x * x, lambda x: 2 * x),
}


@dataclass(frozen=True)
class FloatFunction(Lookup):
    """x s8 -> out s8: DEQUANTIZE, the functions one after the other, QUANTIZE; all in float32."""

    functions: tuple[str, ...] = ()

    def outputs(self, x: TensorType) -> Int64:
        with np.errstate(all="ignore"):  # what is not finite is refused
            real = np.float32(x.scale) * centred_inputs(x).astype(np.float32)
            for name in self.functions:
                real = FLOAT_FUNCTIONS[name][0](real)
            quanta = real / np.float32(self.out_quant.scale)
        return quanta_of(quanta, x, self.out_quant)

    def slope(self, real: Array) -> Array:
        """By the chain rule."""
        slope, at = np.ones_like(real), real
        for name in self.functions:
            function, derivative = FLOAT_FUNCTIONS[name]
            slope = slope * derivative(at)
            at = function(at.astype(np.float32)).astype(np.float64)
        return slope
