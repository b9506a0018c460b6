# SPDX-License-Identifier: Apache-2.0
"""Elementwise sum of two tensors, as in a residual block.

Forward, in reals: out = a + b, clamped (TFLite quantisation specification, ADD).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainer.fixedpoint import Requant, requantize, wrap32
from trainer.ops.base import ErrorTensor, KernelCall, Op
from trainer.tensor import Array, DType, QuantParams, Tensor, TensorType

if TYPE_CHECKING:
    from trainer.autodiff import Tape
    from trainer.graph import Node
    from trainer.operator_source import OperatorSource

LEFT_SHIFT = 20


@dataclass(frozen=True)
class Add(Op):
    """a s8, b s8 -> out s8, all of one shape."""

    tflite_name = "ADD"
    out_quant: QuantParams
    act_min: int = -128
    act_max: int = 127

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        assert source.out.type.quant is not None
        inputs = source.activation(0), source.activation(1)
        return cls(source.out.type.quant, *source.limits()), inputs

    def limits(self) -> tuple[int, int]:
        return self.act_min, self.act_max

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        a, b = types
        if a.shape != b.shape:
            raise ValueError(f"shapes {a.shape} and {b.shape} differ")
        self.requants(a, b)  # a ValueError for scales that no multiplier can express
        return (TensorType(a.shape, DType.S8, self.out_quant),)

    def requants(self, a: TensorType, b: TensorType) -> tuple[Requant, Requant, Requant]:
        """Factors of a, of b and of their sum, as tflite-micro's reference ADD has them."""
        twice_max = 2.0 * max(a.scale, b.scale)
        out = twice_max / ((1 << LEFT_SHIFT) * self.out_quant.scale)
        return (
            Requant.from_real(a.scale / twice_max),
            Requant.from_real(b.scale / twice_max),
            Requant.from_real(out),
        )

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        *factors, out_factor = self.requants(*(t.type for t in node.inputs))
        total = np.zeros(inputs[0].shape, np.int64)
        for tensor, value, r in zip(node.inputs, inputs, factors, strict=True):
            shifted = (value.astype(np.int64) - tensor.type.zero_point) << LEFT_SHIFT
            total += requantize(shifted, r.multiplier, r.shift)
        out = requantize(total, out_factor.multiplier, out_factor.shift)
        out = wrap32(out + self.out_quant.zero_point)
        return (np.clip(out, self.act_min, self.act_max).astype(np.int8),)

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        yield from tape.pass_on(node, error)

    def lower(self, node: Node) -> KernelCall:
        a, b = node.inputs
        a_factor, b_factor, out_factor = self.requants(a.type, b.type)
        params = {
            "size": a.type.size,
            "a_offset": -a.type.zero_point,
            "a_multiplier": a_factor.multiplier,
            "a_shift": a_factor.shift,
            "b_offset": -b.type.zero_point,
            "b_multiplier": b_factor.multiplier,
            "b_shift": b_factor.shift,
            "out_offset": self.out_quant.zero_point,
            "out_multiplier": out_factor.multiplier,
            "out_shift": out_factor.shift,
            "act_min": self.act_min,
            "act_max": self.act_max,
        }
        return KernelCall("add", "add_s8", "add", params, (a, b, node.output))
