# SPDX-License-Identifier: Apache-2.0
"""What ADD and MUL share: two operands, of one shape or one repeated along axes of the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcutrain.trainer.fixedpoint import Int64, Requant
from mcutrain.trainer.graph.cutting import KeptAxis
from mcutrain.trainer.graph.op import Op, OutputScale
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Role, Tensor, TensorType
from mcutrain.trainer.ops.broadcast import Broadcast, tied_pair
from mcutrain.trainer.ops.rescaling import Rescaling, quantized

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource, Ties


@dataclass(frozen=True)
class Elementwise(Op, ABC):
    """a s8, b s8 -> out s8 of the shape that both are repeated to, clamped."""

    output_scale = OutputScale.FREE
    out_quant: QuantParams
    act_min: int = -128
    act_max: int = 127

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        assert source.out.type.quant is not None
        inputs = source.operand(0), source.operand(1)
        return cls(source.out.type.quant, *source.limits()), inputs

    def limits(self) -> tuple[int, int]:
        return self.act_min, self.act_max

    def narrowed(self, node: Node, channels: int) -> Op | None:
        a, b = node.inputs
        is_plain = a.type.shape == b.type.shape and Role.CONST not in (a.role, b.role)
        return self if is_plain else None

    def tie(self, node: Node, ids: tuple[Array, ...], ties: Ties) -> Array | str:
        return tied_pair(ids, node.output.type.shape, ties)

    def cut(self, node: Node, kept: Mapping[Tensor, KeptAxis]) -> Op:
        return self

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        a, b = types
        self.requants(a, b)  # a ValueError for scales that no multiplier can express
        return (TensorType(Broadcast(a.shape, b.shape).shape, DType.S8, self.out_quant),)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        """An operand that is not repeated is read element by element as the output is written."""
        whole = node.output.type.size
        return {(0, k): 0 for k, x in enumerate(node.inputs) if x.type.size == whole}

    @abstractmethod
    def requants(self, a: TensorType, b: TensorType) -> tuple[Requant, ...]:
        """The factors. Raises ValueError for scales that no multiplier can express."""

    def requantized(self, out: Int64, r: Requant) -> Array:
        """The output of sums or products."""
        scale = Rescaling(r.multiplier, r.shift)
        return quantized(out, scale, self.out_quant.zero_point, self.limits())
