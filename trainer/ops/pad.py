# SPDX-License-Identifier: Apache-2.0
"""A border of one value around a tensor.

Forward: out = value outside, x inside; one quantisation. The value is the zero point, which
means 0 (TFLite PAD), or a constant of the same quantisation (PADV2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.graph.call import KernelCall, Row, Rows, Window
from mcutrain.trainer.graph.op import ErrorTensor, Op
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType
from mcutrain.trainer.ops.strided_error import StridedError, Strides, row_major

if TYPE_CHECKING:
    from mcutrain.trainer.graph.cutting import KeptAxis
    from mcutrain.trainer.graph.op import Node, OperatorSource, Tape, Ties

MAX_AXES = 4


@dataclass(frozen=True)
class Pad(Op):
    """x s8 -> out s8, longer by ``before[k]`` and ``after[k]`` along axis k; up to 4 axes."""

    tflite_name = "PAD"
    before: tuple[int, ...]
    after: tuple[int, ...]
    value: int

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        x = source.activation(0)
        widths = source.integers(1)
        if widths.shape != (len(x.type.shape), 2) or widths.min() < 0:
            raise ModelError(f"{source}: widths {widths.tolist()} do not pad {x.type.shape}")
        before, after = (tuple(int(v) for v in column) for column in widths.T)
        return cls(before, after, cls.padding_value(source, x)), (x,)

    @classmethod
    def padding_value(cls, source: OperatorSource, x: Tensor) -> int:
        return x.type.zero_point

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        if not len(x.shape) == len(self.before) == len(self.after) <= MAX_AXES:
            raise ValueError(
                f"widths {self.before} and {self.after} for {x.shape}; "
                f"up to {MAX_AXES} axes are supported"
            )
        sizes = zip(self.before, x.shape, self.after, strict=True)
        return (x.with_shape(*(sum(size) for size in sizes)),)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        widths = tuple(zip(self.before, self.after, strict=True))
        return (np.pad(inputs[0], widths, constant_values=self.value),)

    def narrowed(self, node: Node, channels: int) -> Op | None:
        return None if self.before[-1] or self.after[-1] else self

    def tie(self, node: Node, ids: tuple[Array, ...], ties: Ties) -> Array | str:
        widths = tuple(zip(self.before, self.after, strict=True))
        if not (self.before[-1] or self.after[-1]):
            return np.pad(ids[0], widths, mode="edge")
        return np.pad(ids[0], widths, constant_values=ties.stay("it is padding"))

    def cut(self, node: Node, kept: Mapping[Tensor, KeptAxis]) -> Op:
        return self

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        (x,) = node.inputs
        if tape.needs(x):
            op = StridedError(self.inside(node), x.type)
            yield x, tape.passed_error(op, node, x, *error, tape.mask(x))

    def inside(self, node: Node) -> Strides:
        """Where the input lies in the output."""
        strides = row_major(node.output.type.shape)
        offset = sum(b * s for b, s in zip(self.before, strides, strict=True))
        return Strides.of(node.inputs[0].type.shape, strides, offset)

    def lower(self, node: Node) -> KernelCall:
        (x,) = node.inputs
        params = self.params(joined(self.before, x.type.shape, self.after))
        return KernelCall("pad", "pad_s8", "pad", params, (x, node.output))

    def params(self, axes: list[tuple[int, int, int]]) -> dict[str, int]:
        """Of (before, size, after) along each axis."""
        params: dict[str, int] = {}
        for k, (before, size, after) in enumerate(axes):
            params |= {f"before_{k}": before, f"in_{k}": size, f"out_{k}": before + size + after}
        return {**params, "value": self.value}

    def by_rows(self, node: Node) -> KernelCall | None:
        (x,) = node.inputs
        if len(x.type.shape) != 4 or self.before[0] or self.after[0]:
            return None
        height = x.type.shape[1]
        axes = joined((0, 0, *self.before[2:]), (1, 1, *x.type.shape[2:]), (0, 0, *self.after[2:]))
        window = Window(pad=self.before[1])
        args = (Rows(x, height, window), Row(node.output, node.output.type.shape[1]))
        return KernelCall("pad", "pad_s8_row", "pad", self.params(axes), args)


@dataclass(frozen=True)
class PadV2(Pad):
    """x s8 -> out s8, padded with a constant (TFLite PADV2)."""

    tflite_name = "PADV2"

    @classmethod
    def padding_value(cls, source: OperatorSource, x: Tensor) -> int:
        value, quant = source.int8_scalar(2)
        if quant != x.type.quant:
            raise UnsupportedOpError(
                f"{source}: the value and the input must have one scale and zero point"
            )
        return value


def joined(
    before: tuple[int, ...], shape: tuple[int, ...], after: tuple[int, ...]
) -> list[tuple[int, int, int]]:
    """(before, size, after) along 4 axes; an axis that is not padded joins the one before it.

    >>> joined((0, 1, 2, 0), (1, 5, 6, 3), (0, 1, 0, 0))
    [(0, 1, 0), (0, 1, 0), (1, 5, 1), (6, 18, 0)]
    """
    axes: list[tuple[int, int, int]] = []
    for axis in zip(before, shape, after, strict=True):
        if axes and not axis[0] and not axis[2]:
            b, size, a = axes[-1]
            axes[-1] = (b * axis[1], size * axis[1], a * axis[1])
        elif axes == [(0, 1, 0)]:
            axes[0] = axis
        else:
            axes.append(axis)
    return [(0, 1, 0)] * (MAX_AXES - len(axes)) + axes
