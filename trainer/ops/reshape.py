# SPDX-License-Identifier: Apache-2.0
"""Another shape for the same bytes: costs nothing on the device."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.op import BehindHead, ErrorTensor, Op
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType

if TYPE_CHECKING:
    from mcutrain.trainer.graph.cutting import KeptAxis
    from mcutrain.trainer.graph.op import Node, OperatorSource, Tape, Ties


@dataclass(frozen=True)
class Reshape(Op):
    """x s8 -> out s8 of the same size (TFLite RESHAPE)."""

    tflite_name = "RESHAPE"
    behind_head = BehindHead.CHANNELS
    alias = True
    shape: tuple[int, ...]

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        x, shape = source.activation(0), source.out.type.shape
        if source.inputs > 1:
            cls.check_told(source, x.type.shape, [int(v) for v in source.integers(1).ravel()])
        return cls(shape), (x,)

    @classmethod
    def check_told(cls, source: OperatorSource, old: tuple[int, ...], told: list[int]) -> None:
        """Raises ModelError if the input that tells the shape tells another than the output's."""
        shape = source.out.type.shape
        if len(told) != len(shape) or any(
            a not in (-1, b) for a, b in zip(told, shape, strict=True)
        ):
            raise ModelError(f"{source}: the output has the shape {shape}, but {told} is asked for")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        if x.size != math.prod(self.shape):
            raise ValueError(f"{x.shape} has {x.size} elements, {self.shape} does not")
        return (x.with_shape(*self.shape),)

    def narrowed(self, node: Node, channels: int) -> Op | None:
        if node.inputs[0].type.shape[-1] != self.shape[-1]:
            return None
        return replace(self, shape=(*self.shape[:-1], channels))

    def told(self) -> Mapping[int, Array]:
        return {1: np.array(self.shape)}

    def tie(self, node: Node, ids: tuple[Array, ...], ties: Ties) -> Array | str:
        return ids[0].reshape(self.shape)

    def cut(self, node: Node, kept: Mapping[Tensor, KeptAxis]) -> Op:
        return replace(self, shape=kept[node.output].shape(self.shape))

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return (inputs[0].reshape(self.shape),)

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        yield from tape.pass_on(node, error)

    def lower(self, node: Node) -> None:
        return None


@dataclass(frozen=True)
class Squeeze(Reshape):
    """x s8 -> out s8 without axes of size 1 (TFLite SQUEEZE)."""

    tflite_name = "SQUEEZE"


@dataclass(frozen=True)
class ExpandDims(Reshape):
    """x s8 -> out s8 with one more axis, of size 1 (TFLite EXPAND_DIMS)."""

    tflite_name = "EXPAND_DIMS"

    @classmethod
    def check_told(cls, source: OperatorSource, old: tuple[int, ...], told: list[int]) -> None:
        """As of a shape, but ``told`` is the new axis."""
        rank, shape = len(old) + 1, source.out.type.shape
        axis = told[0] if len(told) == 1 else rank
        if not -rank <= axis < rank or shape != (*old[: axis % rank], 1, *old[axis % rank :]):
            raise ModelError(f"{source}: {old} with the new axis {told} is not {shape}")

    def told(self) -> Mapping[int, Array]:
        return {}
