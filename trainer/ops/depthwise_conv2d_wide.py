# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolution whose frozen weights are the sum of two int8: those of a model of uint8
reach from -255 to 255 about their zero point (trainer.tflite.unsigned)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.op import ErrorTensor
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.weighted import BEYOND_INT8

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, Tape


@dataclass(frozen=True)
class DepthwiseConv2DWide(DepthwiseConv2D):
    """x (1, H, W, I) s8, w (1, KH, KW, I*M) s8[, b (I*M,) s32], rest of w's shape s8 -> out.

    Neither its weights nor anything before it can learn.
    """

    tflite_name = ""

    @property
    def has_two_parts(self) -> bool:
        return True

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        if types[-1] != types[1]:
            raise ValueError(f"the rest {types[-1]} is not as the weights {types[1]}")
        return super().infer(*types)

    def whole_weights(self, x: TensorType, w: Array, w_l: Array) -> Array:
        return w.astype(np.int16) + w_l

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        if tape.needs(node.inputs[0]):
            raise ModelError(
                f"{node.name}: nothing before this layer can learn, as {BEYOND_INT8}: let only "
                "layers behind it learn"
            )
        return super().vjp(node, error, tape)

    def why_none_before(self, node: Node) -> str:
        return BEYOND_INT8

    def lower(self, node: Node) -> KernelCall:
        x, w, b, *_ = self.layer_args(node)
        name = "depthwise_conv2d_wide"
        args = (x, w, node.inputs[-1], b, *self.tables(node), node.output)
        return KernelCall(name, f"{name}_s8", "depthwise_conv2d", self.params(node), args)

    def by_rows(self, node: Node) -> KernelCall | None:
        return None

    def macs(self, node: Node) -> int:
        return 2 * super().macs(node)
