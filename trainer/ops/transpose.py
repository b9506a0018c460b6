# SPDX-License-Identifier: Apache-2.0
"""The axes of a tensor in another order.

Forward: out[i] = x[permuted i], one quantisation (TFLite TRANSPOSE).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.op import ErrorTensor, Op
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType
from mcutrain.trainer.ops.strided_copy import strided_copy
from mcutrain.trainer.ops.strided_error import StridedError, Strides, row_major

if TYPE_CHECKING:
    from mcutrain.trainer.graph.cutting import KeptAxis
    from mcutrain.trainer.graph.op import Node, OperatorSource, Tape, Ties


@dataclass(frozen=True)
class Transpose(Op):
    """x s8 of ``shape`` -> out s8, whose axis k is x's axis ``order[k]``."""

    tflite_name = "TRANSPOSE"
    shape: tuple[int, ...]
    order: tuple[int, ...]

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        x = source.activation(0)
        given = [int(v) for v in source.integers(1).ravel()]
        rank = len(x.type.shape)
        order = tuple(axis + rank if axis < 0 else axis for axis in given)
        if sorted(order) != list(range(rank)):
            raise ModelError(f"{source}: {given} is no order of the axes of {x.type.shape}")
        return cls(x.type.shape, order), (x,)

    @property
    def alias(self) -> bool:  # type: ignore[override]
        """Only axes of size 1 move: the bytes stay where they are."""
        moved = [axis for axis in self.order if self.shape[axis] > 1]
        return moved == sorted(moved)

    @property
    def where(self) -> Strides:
        """Where the output's elements lie in the input."""
        strides = row_major(self.shape)
        return Strides.of(
            tuple(self.shape[axis] for axis in self.order),
            tuple(strides[axis] for axis in self.order),
        )

    @property
    def inverse(self) -> Transpose:
        shape = tuple(self.shape[axis] for axis in self.order)
        return Transpose(shape, tuple(int(axis) for axis in np.argsort(self.order)))

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        if x.shape != self.shape or sorted(self.order) != list(range(len(self.shape))):
            raise ValueError(f"the order {self.order} of {self.shape} for {x.shape}")
        _ = self.where, self.inverse.where  # a ValueError for too many axes
        return (x.with_shape(*self.inverse.shape),)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return (np.ascontiguousarray(inputs[0].transpose(self.order)),)

    def narrowed(self, node: Node, channels: int) -> Op | None:
        keeps_last = self.order[-1] == len(self.order) - 1
        return replace(self, shape=(*self.shape[:-1], channels)) if keeps_last else None

    def tie(self, node: Node, ids: tuple[Array, ...], ties: Ties) -> Array | str:
        return ids[0].transpose(self.order)

    def cut(self, node: Node, kept: Mapping[Tensor, KeptAxis]) -> Op:
        return replace(self, shape=kept[node.inputs[0]].shape(self.shape))

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        (x,) = node.inputs
        if self.alias:
            yield from tape.pass_on(node, error)
        elif tape.needs(x):
            op = StridedError(self.inverse.where, x.type)
            yield x, tape.passed_error(op, node, x, *error, tape.mask(x))

    def lower(self, node: Node) -> KernelCall | None:
        return None if self.alias else strided_copy(self.where, node.inputs[0], node.output)
