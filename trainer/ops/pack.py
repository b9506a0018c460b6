# SPDX-License-Identifier: Apache-2.0
"""Tensors of one shape side by side along a new axis: a CONCATENATION by its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType
from mcutrain.trainer.ops.concatenation import Concatenation

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource


@dataclass(frozen=True)
class Pack(Concatenation):
    """x_k s8 of one shape and quantisation -> out s8, x_k at index k of ``axis`` (TFLite PACK)."""

    tflite_name = "PACK"

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        inputs, told = cls.operands(source), int(source.option("ValuesCount"))
        if told != len(inputs):  # tflite-micro reads as many as are told
            raise ModelError(f"{source}: {told} tensors are told, and there are {len(inputs)}")
        return cls(cls.axis_of(source)), inputs

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        first = types[0]
        if self.axis > len(first.shape) or any(t.shape != first.shape for t in types):
            raise ValueError(f"shapes {[t.shape for t in types]} are to be packed")
        if any(t.quant != first.quant for t in types):
            raise ValueError("the inputs differ in scale or zero point")
        shape = first.shape
        return (first.with_shape(*shape[: self.axis], len(types), *shape[self.axis :]),)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return (np.stack(inputs, self.axis),)
