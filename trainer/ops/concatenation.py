# SPDX-License-Identifier: Apache-2.0
"""Tensors one after another along an axis, as where branches of a network meet.

Forward: the values themselves, so that all have one quantisation (TFLite CONCATENATION).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.graph.call import KernelCall, Table
from mcutrain.trainer.graph.op import ErrorTensor, Op
from mcutrain.trainer.graph.tensor import Array, Role, Tensor, TensorType
from mcutrain.trainer.ops.strided_error import StridedError, Strides

if TYPE_CHECKING:
    from mcutrain.trainer.graph.cutting import KeptAxis
    from mcutrain.trainer.graph.op import Node, OperatorSource, Tape, Ties

MAX_INPUTS = 64  # far beyond any network's; a damaged file may name millions


@dataclass(frozen=True)
class Concatenation(Op):
    """s8 tensors -> out s8: of equal shapes, but for ``axis``, along which they are joined."""

    tflite_name = "CONCATENATION"
    axis: int

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        inputs, axis = cls.operands(source), cls.axis_of(source)
        if source.option("FusedActivationFunction"):
            raise UnsupportedOpError(f"{source} has a fused activation; NONE is supported")
        return cls(axis), inputs

    @staticmethod
    def operands(source: OperatorSource) -> tuple[Tensor, ...]:
        """The inputs, of the output's quantisation. Raises ModelError."""
        if not 1 <= source.inputs <= MAX_INPUTS:
            raise UnsupportedOpError(
                f"{source} has {source.inputs} inputs; 1 to {MAX_INPUTS} are supported"
            )
        inputs = tuple(source.operand(k) for k in range(source.inputs))
        quant = source.out.type.quant
        other = next((k for k, x in enumerate(inputs) if x.type.quant != quant), None)
        if other is not None:
            raise UnsupportedOpError(
                f"{source}: input {other} has another scale or zero point than the output; "
                "requantise it before"
            )
        return inputs

    @staticmethod
    def axis_of(source: OperatorSource) -> int:
        """The axis of the output, counted from the first. Raises ModelError."""
        shape, axis = source.out.type.shape, int(source.option("Axis"))
        if not -len(shape) <= axis < len(shape):
            raise ModelError(f"{source}: axis {axis} of {shape}")
        return axis % len(shape)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        first, axis = types[0], self.axis
        around = {(t.shape[:axis], t.shape[axis + 1 :], len(t.shape)) for t in types}
        if len(around) != 1 or not 0 <= axis < len(first.shape):
            raise ValueError(f"shapes {[t.shape for t in types]} do not join along axis {axis}")
        if any(t.quant != first.quant for t in types):
            raise ValueError("the inputs differ in scale or zero point")
        total = sum(t.shape[axis] for t in types)
        return (first.with_shape(*first.shape[:axis], total, *first.shape[axis + 1 :]),)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return (np.concatenate(inputs, self.axis),)

    def narrowed(self, node: Node, channels: int) -> Op | None:
        is_last = self.axis + 1 == len(node.output.type.shape)
        return None if is_last or any(x.role is Role.CONST for x in node.inputs) else self

    def tie(self, node: Node, ids: tuple[Array, ...], ties: Ties) -> Array | str:
        return self.reference(node, *ids)[0]

    def cut(self, node: Node, kept: Mapping[Tensor, KeptAxis]) -> Op:
        return self

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        parts, outer = self.parts(node), self.outer(node)
        for k, x in enumerate(node.inputs):
            if tape.needs(x):
                where = Strides.of((outer, parts[k]), (sum(parts), 1), sum(parts[:k]))
                op = StridedError(where, x.type)
                yield x, tape.passed_error(op, node, x, *error, tape.mask(x))

    def outer(self, node: Node) -> int:
        """How many times the inputs alternate in the output."""
        return math.prod(node.output.type.shape[: self.axis])

    def parts(self, node: Node) -> list[int]:
        """Elements that each input contributes at a time."""
        return [math.prod(x.type.shape[self.axis :]) for x in node.inputs]

    def lower(self, node: Node) -> KernelCall:
        params = {"outer": self.outer(node), "inputs": len(node.inputs)}
        parts = Table("part", np.array(self.parts(node), np.int32))
        args = (node.inputs, parts, node.output)
        return KernelCall("concatenation", "concatenation_s8", "concatenation", params, args)
