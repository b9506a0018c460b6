# SPDX-License-Identifier: Apache-2.0
"""Transposed convolution: a convolution whose inputs lie a stride apart, on the same kernels.

Forward, in reals: out[y*s+ky-p, x*s+kx-p, o] += x[y, x, i] * w[o, ky, kx, i], and b[o] (TFLite
quantisation specification has none for TRANSPOSE_CONV; its reference kernel does). An output's size
is the one that the file declares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType
from mcutrain.trainer.ops.spaced_conv2d import SpacedConv2D
from mcutrain.trainer.ops.spacing import SpacedGeometry
from mcutrain.trainer.ops.weighted import require_few_taps
from mcutrain.trainer.ops.window import Placement

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import OperatorSource


@dataclass(frozen=True)
class TransposeConv(SpacedConv2D):
    """x (1, H, W, I) s8, w (O, KH, KW, I) s8[, b (O,) s32][, x_l, w_l] -> out (1, H', W', O) s8.

    ``stride`` and ``padding`` are those of the convolution that it is the transpose of.
    """

    tflite_name = "TRANSPOSE_CONV"
    folds_pads = False
    bias_input = 3

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        w, x, out = source.weights(), source.activation(2), source.out
        if len(w.type.shape) != 4 or len(x.type.shape) != 4 or len(out.type.shape) != 4:
            raise ModelError(
                f"{source}: input {x.type.shape}, weights {w.type.shape}, output {out.type.shape}; "
                "each has four dimensions"
            )
        wanted = tuple(int(size) for size in source.integers(0).ravel())
        if wanted != out.type.shape or out.type.shape[0] != 1:
            raise ModelError(f"{source}: the output {out.type.shape} is to have the shape {wanted}")
        require_few_taps(source, w)
        place = Placement.read(source, out, w.type.shape[1:3])
        if place.out_hw != x.type.shape[1:3]:
            raise ModelError(
                f"{source}: a convolution of the output {out.type.shape} with strides "
                f"{place.stride} has {place.out_hw} positions, and the input is {x.type.shape}"
            )
        place = Placement(place.stride, place.padding, (out.type.shape[1], out.type.shape[2]))
        return cls.read_layer(source, x, w, place.shape(w.type.shape[0]), place)

    def told(self) -> Mapping[int, Array]:
        return {0: np.array(self.out_shape)}

    def geometry(self, x: TensorType, w: TensorType) -> SpacedGeometry:
        _, in_h, in_w, in_ch = x.shape
        _, out_h, out_w, _ = self.out_shape
        filters, kernel_h, kernel_w, _ = w.shape
        (top, left), (down, right) = self.padding, self.stride
        sizes = (in_h, in_w, in_ch, out_h, out_w, filters, kernel_h, kernel_w)
        return SpacedGeometry(*sizes, 1, 1, -top, -left, -1, -1, down, right, 1)
