# SPDX-License-Identifier: Apache-2.0
"""Another height and width, by blending the four nearest positions, and its gradient.

Forward: as TFLite's ResizeBilinearInteger has it, with positions in steps of 2**-10 and one
quantisation (TFLite RESIZE_BILINEAR).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.fixedpoint import INT32_MAX, Int64, near, rounding_shift_right
from mcutrain.trainer.graph.call import KernelCall, Table
from mcutrain.trainer.graph.once import once_per_node
from mcutrain.trainer.graph.op import ErrorTensor, Op
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType
from mcutrain.trainer.ops.error import RawError, error_types, format_of
from mcutrain.trainer.ops.resize_nearest_neighbor import MAX_SIDE

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource, Tape

BITS = 10  # of a position behind the point
ONE = 1 << BITS


@dataclass(frozen=True, eq=False)
class Positions:
    """(outputs,) int64: where each output lies on an axis, in steps of 2**-10.

    Between the input's ``low`` and ``high`` it is a ``fraction`` of the way, 0 where they are one.
    """

    at: Int64

    @property
    def low(self) -> Int64:
        return self.at >> BITS

    @property
    def high(self) -> Int64:
        return (self.at + ONE - 1) >> BITS

    @property
    def fraction(self) -> Int64:
        return self.at & (ONE - 1)

    def blended(self, x: Array) -> Int64:
        """x's first axis read at the positions, times 2**10."""
        fraction = self.fraction.reshape(-1, *[1] * (x.ndim - 1))
        low, high = (np.asarray(x[k], np.int64) for k in (self.low, self.high))
        return np.asarray(low * (ONE - fraction) + high * fraction)

    def gathered(self, dout: Array, inputs: int) -> Int64:
        """The transpose of ``blended``: (inputs, ..) int64."""
        fraction = self.fraction.reshape(-1, *[1] * (dout.ndim - 1))
        found = np.zeros((inputs, *dout.shape[1:]), np.int64)
        np.add.at(found, self.low, dout * (ONE - fraction))
        np.add.at(found, self.high, dout * fraction)
        return found

    def greatest_weight(self, inputs: int) -> int:
        """Of an input, summed over the outputs that read it."""
        return int(self.gathered(np.ones(len(self.at), np.int64), inputs).max())


@dataclass(frozen=True)
class ResizeBilinear(Op):
    """x (1, H, W, C) s8 -> out (1, *size, C) s8."""

    tflite_name = "RESIZE_BILINEAR"
    size: tuple[int, int]
    align_corners: bool = False
    half_pixel_centers: bool = False

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        size = tuple(int(v) for v in source.integers(1).ravel())
        if len(size) != 2 or min(size) < 1:
            raise ModelError(f"{source}: a size of {list(size)}; a height and a width are needed")
        aligned, half = bool(source.option("AlignCorners")), bool(source.option("HalfPixelCenters"))
        if aligned and half:
            raise ModelError(
                f"{source} aligns corners and takes centres of pixels: one is possible"
            )
        return cls((size[0], size[1]), aligned, half), (source.activation(0),)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        if len(x.shape) != 4 or x.shape[0] != 1 or max(*x.shape[1:3], *self.size) > MAX_SIDE:
            raise ValueError(
                f"an input {x.shape} to {self.size}; (1, H, W, C) of up to {MAX_SIDE} rows and "
                "columns is supported"
            )
        for positions, size in zip(self.positions(x), x.shape[1:3], strict=True):
            if positions.low.max() >= size:
                raise ValueError(
                    f"a resize from {x.shape[1:3]} to {self.size} reads beyond the input, in "
                    f"TFLite's steps of 1 / {ONE}"
                )
        return (x.with_shape(1, *self.size, x.shape[3]),)

    def positions(self, x: TensorType) -> tuple[Positions, Positions]:
        """Along the rows and the columns."""
        h, w = (self.along(*pair) for pair in zip(x.shape[1:3], self.size, strict=True))
        return h, w

    def along(self, inputs: int, outputs: int) -> Positions:
        corners = int(self.align_corners and outputs > 1)
        inside, steps = inputs - corners, outputs - corners
        scale = (ONE * inside + steps // 2) // steps
        at = np.arange(outputs, dtype=np.int64) * scale
        if self.half_pixel_centers:
            at += scale // 2 - ONE // 2
        at = np.maximum(at, 0)
        last = (inputs - 1) * ONE  # behind it there is nothing to blend with
        return Positions(np.where(at >> BITS == inputs - 1, last, at))

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        rows, columns = self.positions(node.inputs[0].type)
        blended = columns.blended(rows.blended(inputs[0][0]).swapaxes(0, 1)).swapaxes(0, 1)
        return (rounding_shift_right(blended, 2 * BITS).astype(np.int8)[None],)

    def narrowed(self, node: Node, channels: int) -> Op | None:
        return self

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        (x,) = node.inputs
        if tape.needs(x):
            op = ResizeBilinearGrad(self, x.type)
            yield x, tape.raw_error(op, node, x, *error, tape.mask(x))

    def tables(self, x: TensorType) -> tuple[Table, Table]:
        rows, columns = (p.at.astype(np.int32) for p in self.positions(x))
        return Table("row", rows), Table("column", columns)

    def params(self, x: TensorType) -> dict[str, int]:
        _, in_h, in_w, channels = x.shape
        out_h, out_w = self.size
        sizes = {"in_h": in_h, "in_w": in_w, "channels": channels}
        return {**sizes, "out_h": out_h, "out_w": out_w}

    def lower(self, node: Node) -> KernelCall:
        (x,) = node.inputs
        params = {**self.params(x.type), "shift": 0}
        args = (x, *self.tables(x.type), node.output)
        return KernelCall("resize_bilinear", "resize_bilinear_s8", "resize_bilinear", params, args)


@dataclass(frozen=True)
class ResizeBilinearGrad(RawError):
    """dout, dout_e s16, mask of x, history s16[, sgd] -> dx, dx_e s16; history in place.

    raw = sum_y near(sum_x dout wx, shift) wy over the outputs that read a position, wx and wy of
    10 bits; dx = REQ(raw, e - 20 + shift) with x's mask. ``shift`` is the least that fits int32.
    """

    resize: ResizeBilinear
    x: TensorType
    mutates = (3,)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        if self.shift_for(format_of(types[0]).greatest) is None:
            sizes = f"{self.x.shape[1:3]} to {self.resize.size}"
            raise ValueError(f"a resize from {sizes} sums errors beyond 32 bits")
        return error_types(types[0], self.x, types[2])

    def shift_for(self, greatest: int) -> int | None:
        """The least shift of the sums along a row; None if none of up to 20 will do."""
        rows, columns = self.resize.positions(self.x)
        in_h, in_w = self.x.shape[1:3]
        most = greatest * columns.greatest_weight(in_w)
        weight = rows.greatest_weight(in_h)
        fits = (s for s in range(2 * BITS + 1) if ((most >> s) + 1) * weight <= INT32_MAX)
        return next(fits, None) if most <= INT32_MAX else None

    @once_per_node
    def shift(self, node: Node) -> int:
        found = self.shift_for(format_of(node.inputs[0].type).greatest)
        assert found is not None
        return found

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, mask, *state = inputs
        rows, columns = self.resize.positions(self.x)
        in_h, in_w = self.x.shape[1:3]
        along = columns.gathered(dout[0].swapaxes(0, 1).astype(np.int64), in_w).swapaxes(0, 1)
        shift = self.shift(node)
        raw = rows.gathered(near(along, shift), in_h)[None]
        e_raw = int(exponent[0]) - 2 * BITS + shift
        return self.requantized(node, raw, e_raw, mask, *state)

    def lower(self, node: Node) -> KernelCall:
        params = {**self.resize.params(self.x), "shift": self.shift(node)}
        tables, state = self.resize.tables(self.x), self.state_args(node)
        args = (*node.inputs[:3], *tables, *state, *node.outputs[:2])
        kernel = f"resize_bilinear_grad_{format_of(node.inputs[0].type).suffix}"
        return KernelCall("resize_bilinear", kernel, "resize_bilinear", params, args)
