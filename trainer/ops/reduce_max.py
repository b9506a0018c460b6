# SPDX-License-Identifier: Apache-2.0
"""The greatest value along neighbouring axes: a maximum over windows that are whole rows.

Forward: the greatest value, of one quantisation (TFLite REDUCE_MAX). The error goes to the first
greatest in row-major order, as that of a pool does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Tensor, TensorType
from mcutrain.trainer.ops.max_pool2d import MaxPool2D
from mcutrain.trainer.ops.reduction import Reduction
from mcutrain.trainer.ops.window import Geometry

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource


@dataclass(frozen=True)
class ReduceMax(MaxPool2D):
    """x s8 -> out s8 of ``out_shape``: x is [outer][count][inner], its windows are (1, count)."""

    tflite_name = "REDUCE_MAX"
    outer: int = field(default=1, kw_only=True)

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        x = source.activation(0)
        return cls.over(Reduction.read(source, x.type.shape, "a maximum")), (x,)

    @classmethod
    def over(cls, axes: Reduction) -> ReduceMax:
        return cls(axes.out_shape, (1, axes.count), (1, axes.count), outer=axes.outer)

    def geometry(self, x: TensorType) -> Geometry:
        count = self.window[1]
        inner = x.size // (self.outer * count)
        sizes = (self.outer, count, inner, self.outer, 1, inner)
        return Geometry(*sizes, *self.window, *self.stride, 0, 0)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        if math.prod(self.out_shape) * self.window[1] != x.size:
            raise ValueError(f"{x.shape} is not {self.out_shape} of {self.window[1]} values each")
        return (x.with_shape(*self.out_shape),)

    def narrowed(self, node: Node, channels: int) -> Op | None:
        x = node.inputs[0].type
        if self.geometry(x).in_ch < x.shape[-1]:
            return None
        return replace(self, out_shape=(*self.out_shape[:-1], channels))

    def by_rows(self, node: Node) -> None:
        return None
