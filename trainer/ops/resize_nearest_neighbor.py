# SPDX-License-Identifier: Apache-2.0
"""Another height and width, by repeating and skipping positions, and its gradient.

Forward: out[y][x] = x[row[y]][column[x]], one quantisation (TFLite RESIZE_NEAREST_NEIGHBOR).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.fixedpoint import INT32_MAX, Int64
from mcutrain.trainer.graph.call import Arg, KernelCall, Table
from mcutrain.trainer.graph.op import ErrorTensor, Op
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType
from mcutrain.trainer.ops.clamp_mask import masked
from mcutrain.trainer.ops.error import SUFFIXES, RawError, error_types, format_of

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource, Tape

MAX_SIDE = 65536  # an index is a uint16


@dataclass(frozen=True)
class ResizeNearestNeighbor(Op):
    """x (1, H, W, C) s8 -> out (1, *size, C) s8."""

    tflite_name = "RESIZE_NEAREST_NEIGHBOR"
    size: tuple[int, int]
    align_corners: bool = False
    half_pixel_centers: bool = False

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        size = tuple(int(v) for v in source.integers(1).ravel())
        if len(size) != 2 or min(size) < 1:
            raise ModelError(f"{source}: a size of {list(size)}; a height and a width are needed")
        flags = bool(source.option("AlignCorners")), bool(source.option("HalfPixelCenters"))
        return cls((size[0], size[1]), *flags), (source.activation(0),)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        if len(x.shape) != 4 or x.shape[0] != 1 or max(*x.shape[1:3], *self.size) > MAX_SIDE:
            raise ValueError(
                f"an input {x.shape} to {self.size}; (1, H, W, C) of up to {MAX_SIDE} rows and "
                "columns is supported"
            )
        return (x.with_shape(1, *self.size, x.shape[3]),)

    def indices(self, x: TensorType) -> tuple[Array, Array]:
        """(row, column) of the input that each output row and column repeats; ascending."""
        h, w = (self.nearest(*pair) for pair in zip(x.shape[1:3], self.size, strict=True))
        return h, w

    def nearest(self, inputs: int, outputs: int) -> Array:
        """(outputs,) int64, in float32 as tflite-micro computes it."""
        if self.align_corners and outputs > 1:
            scale = np.float32(inputs - 1) / np.float32(outputs - 1)
        else:
            scale = np.float32(inputs) / np.float32(outputs)
        offset = np.float32(0.5 if self.half_pixel_centers else 0.0)
        at = (np.arange(outputs).astype(np.float32) + offset) * scale
        nearest = np.floor(at + np.float32(0.5)) if self.align_corners else np.floor(at)
        return np.asarray(np.minimum(nearest.astype(np.int64), inputs - 1))

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        rows, columns = self.indices(node.inputs[0].type)
        return (inputs[0][:, rows][:, :, columns],)

    def narrowed(self, node: Node, channels: int) -> Op | None:
        return self

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        (x,) = node.inputs
        if not tape.needs(x):
            return
        if self.readers(x.type) == 1:
            op = ResizePassError(self, x.type)
            yield x, tape.passed_error(op, node, x, *error, tape.mask(x))
        else:
            yield x, tape.raw_error(ResizeGrad(self, x.type), node, x, *error, tape.mask(x))

    def readers(self, x: TensorType) -> int:
        """How many outputs read the position that most read."""
        rows, columns = (np.bincount(index).max() for index in self.indices(x))
        return int(rows * columns)

    def gathered(self, x: TensorType, dout: Array) -> Int64:
        """x's shape, int64: the sum of dout over the outputs that read a position."""
        rows, columns = self.indices(x)
        taken = np.zeros((x.shape[1], *dout.shape[2:]), np.int64)
        np.add.at(taken, rows, dout[0].astype(np.int64))
        found = np.zeros((x.shape[2], x.shape[1], x.shape[3]), np.int64)
        np.add.at(found, columns, taken.swapaxes(0, 1))
        return found.swapaxes(0, 1)[None]

    def tables(self, x: TensorType) -> tuple[Table, Table]:
        rows, columns = (index.astype(np.uint16) for index in self.indices(x))
        return Table("row", rows), Table("column", columns)

    def params(self, x: TensorType) -> dict[str, int]:
        _, in_h, in_w, channels = x.shape
        out_h, out_w = self.size
        sizes = {"in_h": in_h, "in_w": in_w, "channels": channels}
        return {**sizes, "out_h": out_h, "out_w": out_w}

    def lower(self, node: Node) -> KernelCall:
        (x,) = node.inputs
        args = (x, *self.tables(x.type), node.output)
        name = "resize_nearest_neighbor"
        return KernelCall(name, f"{name}_s8", name, self.params(x.type), args)


@dataclass(frozen=True)
class ResizePassError(Op):
    """dout, dout_e s16, mask of x -> dx, dx_e = dout_e, where no position is read twice."""

    resize: ResizeNearestNeighbor
    x: TensorType
    output_suffixes = SUFFIXES

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        if self.resize.readers(self.x) != 1:
            raise ValueError("positions that are read twice do not only pass errors on")
        return error_types(types[0], self.x, types[2])

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, mask = inputs
        raw = self.resize.gathered(self.x, dout)
        return masked(raw, mask).astype(dout.dtype), exponent.copy()

    def lower(self, node: Node) -> KernelCall:
        return grad_call("resize_nearest_neighbor_pass_error", self.resize, self.x, node)


@dataclass(frozen=True)
class ResizeGrad(RawError):
    """dout, dout_e s16, mask of x, history s16[, sgd] -> dx, dx_e s16; history in place.

    raw = sum of dout over the outputs that read a position; dx = REQ(raw, e) with x's mask.
    """

    resize: ResizeNearestNeighbor
    x: TensorType
    mutates = (3,)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        readers = self.resize.readers(self.x)
        if readers * format_of(types[0]).greatest > INT32_MAX:
            raise ValueError(f"{readers} outputs read one position: their sum overflows 32 bits")
        return error_types(types[0], self.x, types[2])

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, mask, *state = inputs
        raw = self.resize.gathered(self.x, dout)
        return self.requantized(node, raw, int(exponent[0]), mask, *state)

    def lower(self, node: Node) -> KernelCall:
        kernel, state = "resize_nearest_neighbor_grad", self.state_args(node)
        return grad_call(kernel, self.resize, self.x, node, *state)


def grad_call(
    kernel: str, resize: ResizeNearestNeighbor, x: TensorType, node: Node, *state: Arg
) -> KernelCall:
    tables: tuple[Arg, ...] = resize.tables(x)
    args = (*node.inputs[:3], *tables, *state, *node.outputs[:2])
    name, kernel = "resize_nearest_neighbor", f"{kernel}_{format_of(node.inputs[0].type).suffix}"
    return KernelCall(name, kernel, name, resize.params(x), args)
