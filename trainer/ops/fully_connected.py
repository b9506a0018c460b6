# SPDX-License-Identifier: Apache-2.0
"""Fully connected layer: a 1x1 convolution over the rows of its input, on the same kernels.

Forward, in reals: out[n, o] = b[o] + sum_i x[n, i] * w[o, i] (TFLite quantisation
specification, FULLY_CONNECTED).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcutrain.trainer.errors import UnsupportedOpError
from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Tensor, TensorType
from mcutrain.trainer.ops.batch_matmul import BatchMatMul
from mcutrain.trainer.ops.conv2d import CrossChannel
from mcutrain.trainer.ops.window import Geometry

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import OperatorSource


@dataclass(frozen=True)
class FullyConnected(CrossChannel):
    """x (N.., I) s8, w (O, I) s8[, b (O,) s32][, x_l, w_l] -> out (N.., O) s8."""

    tflite_name = "FULLY_CONNECTED"
    is_spatial = False

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        if source.is_activation(1):
            return BatchMatMul.of_activations(source)
        x, w = source.activation(0), source.weights(may_be_int4=True)
        if len(w.type.shape) != 2 or source.option("WeightsFormat") != 0:
            raise UnsupportedOpError(f"{source}: weights {w.type.shape} in a packed format")
        return cls.read_layer(source, x, w, source.out.type.shape)

    def geometry(self, x: TensorType, w: TensorType) -> Geometry:
        out_ch, in_ch = w.shape
        rows = x.size // in_ch
        return Geometry(1, rows, in_ch, 1, rows, out_ch, 1, 1, 1, 1, 0, 0)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        x, w = types[:2]
        if len(w.shape) != 2 or x.size % w.shape[1]:
            raise ValueError(f"x {x.shape} does not divide into rows of weights {w.shape}")
        if x.size // w.shape[1] * w.shape[0] != math.prod(self.out_shape):
            raise ValueError(f"x {x.shape} and weights {w.shape} do not give {self.out_shape}")
        flat = x.with_shape(x.size // w.shape[1], w.shape[1])
        return super().infer(flat, *types[1:])
