# SPDX-License-Identifier: Apache-2.0
"""Leaky rectifier: in reals, x for x >= 0, alpha x below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.fixedpoint import Int64
from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType
from mcutrain.trainer.ops.lookup import Lookup, centred_inputs, rescaled

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import OperatorSource


@dataclass(frozen=True)
class LeakyRelu(Lookup):
    """x s8 -> out s8 (TFLite LEAKY_RELU): two requantisations, by the sign."""

    tflite_name = "LEAKY_RELU"
    alpha: float = 0.0

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        assert source.out.type.quant is not None
        return cls(source.out.type.quant, float(source.option("Alpha"))), (source.activation(0),)

    def outputs(self, x: TensorType) -> Int64:
        if not self.alpha > 0:
            raise ValueError(f"the slope below 0 is {self.alpha}; positive ones are supported")
        centred = centred_inputs(x)
        above = rescaled(x, self.out_quant, 1.0, centred)
        below = rescaled(x, self.out_quant, self.alpha, centred)
        return np.where(centred >= 0, above, below)

    def slope(self, real: Array) -> Array:
        return np.where(real >= 0, 1.0, self.alpha)
