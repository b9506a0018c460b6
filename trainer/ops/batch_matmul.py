# SPDX-License-Identifier: Apache-2.0
"""Products of matrices that are both activations, as of attention, and the errors of both.

Forward, in reals: out[.., i, j] = sum_k a[.., i, k] * b[.., k, j] (TFLite BATCH_MATMUL). It is a
product of repeated operands (MUL) that is summed along one more axis, and so are its gradients:
they run on the kernel of MUL's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import UnsupportedOpError
from mcutrain.trainer.fixedpoint import Requant
from mcutrain.trainer.graph.call import KernelCall, Table
from mcutrain.trainer.graph.op import ErrorTensor, Op, OutputScale
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Tensor, TensorType
from mcutrain.trainer.ops.broadcast import MAX_AXES, Broadcast, columns, sum_to
from mcutrain.trainer.ops.error import error_types, format_of
from mcutrain.trainer.ops.mul import MulGrad
from mcutrain.trainer.ops.overlap import in_step
from mcutrain.trainer.ops.rescaling import Rescaling, quantized
from mcutrain.trainer.ops.strided_error import row_major

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource, Tape

MAX_DEPTH = 33025  # products of 255 * 255 that fit 32 bits
SUMMED = MAX_AXES // 2  # axes along which the kernel of the gradients sums
Steps = tuple[int, ...]  # the size of an axis, and its steps in two arrays


@dataclass(frozen=True)
class Matrices:
    """Where the elements of a product lie: the batch axes, repeated where an operand has them not,
    then rows, columns and depth. Steps are in elements, 0 where an operand is repeated."""

    batch: tuple[tuple[int, int, int, int], ...]  # size, steps of out, a, b
    row: tuple[int, int, int]  # size, steps of out and a
    column: tuple[int, int, int]  # size, steps of out and b
    depth: tuple[int, int, int]  # size, steps of a and b

    def forward(self) -> tuple[Array, tuple[int, int, int]]:
        """(axes (3, 4) s32 of kernels/broadcast.h, depth and its steps)."""
        batch = [(size, a, b) for size, _, a, b in self.batch]
        rows, cols = (self.row[0], self.row[2], 0), (self.column[0], 0, self.column[2])
        return columns(joined([*batch, rows, cols], MAX_AXES), MAX_AXES), self.depth

    def gradient(self, operand: int, is_adjoint: bool) -> tuple[list[Steps], list[Steps]]:
        """(axes of the operand in its own order, axes to sum along) with steps in dout and in the
        other operand."""
        is_first = operand == 0
        batch = [
            (n, out, b if is_first else a, a if is_first else b) for n, out, a, b in self.batch
        ]
        kept = [(n, out, other) for n, out, other, own in batch if own]
        summed = [(n, out, other) for n, out, other, own in batch if not own]
        size, *steps = self.depth
        depth = (size, 0, steps[1 if is_first else 0])
        own, across = (self.row, self.column) if is_first else (self.column, self.row)
        last = [(own[0], own[1], 0), depth]
        # a is stored by rows and b by depth, unless it is adjoint.
        is_turned = is_adjoint if is_first else not is_adjoint
        return [*kept, *(last[::-1] if is_turned else last)], [*summed, (across[0], *across[1:])]


def joined(axes: list[Steps], most: int) -> list[Steps]:
    """Without axes of size 1, neighbours taken as one where their steps allow it. Raises
    ValueError if more than ``most`` are left.

    >>> joined([(2, 12, 0), (3, 4, 0), (1, 9, 9), (4, 1, 1)], 2)
    [(6, 4, 0), (4, 1, 1)]
    """
    found: list[Steps] = []
    for size, *steps in axes:
        if size == 1:
            continue
        if found and all(a == b * size for a, b in zip(found[-1][1:], steps, strict=True)):
            found[-1] = (found[-1][0] * size, *steps)
        else:
            found.append((size, *steps))
    if len(found) > most:
        raise ValueError(f"{len(found)} axes move apart; up to {most} are supported")
    return found


@dataclass(frozen=True)
class BatchMatMul(Op):
    """a (.., I, K) s8, b (.., K, J) s8 -> out (.., I, J) s8, clamped.

    With ``adj_x`` a is (.., K, I), with ``adj_y`` b is (.., J, K). ``by_rows``: a is rows of K
    values, whatever its shape, as of a FULLY_CONNECTED whose weights are an activation. The fields
    of two dimensions before the last ones are repeated as those of MUL.
    """

    tflite_name = "BATCH_MATMUL"
    output_scale = OutputScale.FREE
    out_quant: QuantParams
    out_shape: tuple[int, ...]
    adj_x: bool = False
    adj_y: bool = False
    act_min: int = -128
    act_max: int = 127
    of_rows: bool = False

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        inputs = source.operand(0), source.operand(1)
        quant, shape = source.out.type.quant, source.out.type.shape
        assert quant is not None
        return cls(quant, shape, bool(source.option("AdjX")), bool(source.option("AdjY"))), inputs

    @classmethod
    def of_activations(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        """A FULLY_CONNECTED whose weights are an activation: the product of its rows."""
        quant, shape = source.out.type.quant, source.out.type.shape
        if source.has_input(2) or source.option("WeightsFormat") != 0:
            raise UnsupportedOpError(
                f"{source} has weights that are an activation, and a bias or a packed format; "
                "without them it is supported",
                "add the bias by an ADD of its own",
            )
        assert quant is not None
        op = cls(quant, shape, False, True, *source.limits(), of_rows=True)
        return op, (source.activation(0), source.activation(1))

    def limits(self) -> tuple[int, int]:
        return self.act_min, self.act_max

    def shapes(self, a: TensorType, b: TensorType) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of the operands as matrices. Raises ValueError for what is none."""
        if min(len(a.shape), len(b.shape)) < 2:
            raise ValueError(f"a product of {a.shape} and {b.shape}; matrices are needed")
        if not self.of_rows:
            return a.shape, b.shape
        if len(b.shape) != 2 or a.size % b.shape[1]:
            raise ValueError(f"{a.shape} does not divide into rows of weights {b.shape}")
        return (a.size // b.shape[1], b.shape[1]), b.shape

    def matrices(self, a: TensorType, b: TensorType) -> Matrices:
        """Raises ValueError for shapes that do not fit."""
        a_shape, b_shape = self.shapes(a, b)
        rows, depth = a_shape[-2:][::-1] if self.adj_x else a_shape[-2:]
        depth_b, cols = b_shape[-2:][::-1] if self.adj_y else b_shape[-2:]
        if depth != depth_b:
            raise ValueError(f"{a.shape} and {b.shape} do not fit: {depth} and {depth_b} to sum")
        batch = Broadcast(a_shape[:-2], b_shape[:-2]).shape
        axes, out_step = [], rows * cols
        for k in range(1, len(batch) + 1):
            steps = [
                row_major(shape)[-2 - k] if len(shape) >= 2 + k and shape[-2 - k] > 1 else 0
                for shape in (a_shape, b_shape)
            ]
            if batch[-k] > 1:
                axes.append((batch[-k], out_step, steps[0], steps[1]))
            out_step *= batch[-k]
        return Matrices(
            tuple(axes[::-1]),
            (rows, cols, 1 if self.adj_x else depth),
            (cols, 1, depth if self.adj_y else 1),
            (depth, rows if self.adj_x else 1, 1 if self.adj_y else cols),
        )

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        a, b = types
        found = self.matrices(a, b)
        sizes = [axis[0] for axis in (*found.batch, found.row, found.column)]
        if math.prod(sizes) != math.prod(self.out_shape):
            raise ValueError(f"the product of {a.shape} and {b.shape} is not {self.out_shape}")
        if found.depth[0] > MAX_DEPTH:
            raise ValueError(f"{found.depth[0]} products to sum; up to {MAX_DEPTH} are supported")
        found.forward()  # a ValueError for too many axes
        self.requant(a, b)  # and for scales that no multiplier can express
        return (TensorType(self.out_shape, DType.S8, self.out_quant),)

    def requant(self, a: TensorType, b: TensorType) -> Requant:
        return Requant.from_real(a.scale * b.scale / self.out_quant.scale)

    def turned(
        self, a: Array, b: Array, types: tuple[TensorType, TensorType]
    ) -> tuple[Array, Array]:
        """(a (.., I, K), b (.., K, J)) in float64, less their zero points."""
        shapes = self.shapes(*types)
        pair = [
            value.reshape(shape).astype(np.float64) - type_.zero_point
            for value, shape, type_ in zip((a, b), shapes, types, strict=True)
        ]
        return tuple(  # type: ignore[return-value]
            x.swapaxes(-1, -2) if is_adjoint else x
            for x, is_adjoint in zip(pair, (self.adj_x, self.adj_y), strict=True)
        )

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        types = node.inputs[0].type, node.inputs[1].type
        a, b = self.turned(inputs[0], inputs[1], types)
        r = self.requant(*types)
        scale = Rescaling(r.multiplier, r.shift)
        out = quantized(a @ b, scale, self.out_quant.zero_point, self.limits())
        return (out.reshape(self.out_shape),)

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        for k, (x, other) in enumerate((node.inputs, node.inputs[::-1])):
            if tape.needs(x):
                op = BatchMatMulGrad(x.type, operand=k, product=self)
                yield x, tape.raw_error(op, node, x, *error, other, tape.mask(x))

    def lower(self, node: Node) -> KernelCall:
        a, b = node.inputs
        axes, (depth, a_step, b_step) = self.matrices(a.type, b.type).forward()
        r = self.requant(a.type, b.type)
        params = {
            "depth": depth,
            "a_step": a_step,
            "b_step": b_step,
            "a_offset": -a.type.zero_point,
            "b_offset": -b.type.zero_point,
            "out_offset": self.out_quant.zero_point,
            "multiplier": r.multiplier,
            "shift": r.shift,
            "act_min": self.act_min,
            "act_max": self.act_max,
        }
        args = (a, b, Table("axes", axes), node.output)
        return KernelCall("batch_matmul", "batch_matmul_s8", "batch_matmul", params, args)

    def macs(self, node: Node) -> int:
        depth, *_ = self.matrices(*(t.type for t in node.inputs)).depth
        return node.output.type.size * depth


@dataclass(frozen=True)
class BatchMatMulGrad(MulGrad):
    """dout, dout_e s16, other s8, mask of x, history s16[, sgd] -> dx, dx_e s16; history in place.

    raw = sum near(dout f, 8) (other - z) over the outputs that an element of x took part in;
    f and kf as those of MUL; dx = REQ(raw, e + kf) with x's mask.
    """

    product: BatchMatMul = field(kw_only=True)
    mutates = (4,)

    def pair(self, other: TensorType) -> tuple[TensorType, TensorType]:
        """The types of a and b."""
        return (self.x, other) if self.operand == 0 else (other, self.x)

    def axes(self, other: TensorType) -> tuple[list[Steps], list[Steps]]:
        """Those of x and those to sum along, joined. Raises ValueError for too many."""
        is_adjoint = self.product.adj_x if self.operand == 0 else self.product.adj_y
        kept, summed = self.product.matrices(*self.pair(other)).gradient(self.operand, is_adjoint)
        return joined(kept, MAX_AXES), joined(summed, SUMMED)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        dout, other, most = types[0], types[2], format_of(types[0]).max_products
        products = math.prod(size for size, *_ in self.axes(other)[1])
        if products > most:
            raise ValueError(
                f"{products} products are summed into each error of a matrix, at most {most} fit "
                "32 bits: no layer before this matrix can learn"
            )
        return error_types(dout, self.x, types[3])

    def table(self, other: TensorType) -> Array:
        kept, summed = self.axes(other)
        parts = columns(kept, MAX_AXES), columns(summed, SUMMED)
        return np.concatenate([part.ravel() for part in parts])

    def raw(self, error: Array, other: Array, type_: TensorType) -> Array:
        """Of the folded errors and the other operand, less its zero point."""
        product, x = self.product, self.x
        types = self.pair(type_)
        shapes = product.shapes(*types)
        matrices = product.matrices(*types)
        batch = Broadcast(shapes[0][:-2], shapes[1][:-2]).shape
        dout = error.astype(np.float64).reshape(*batch, matrices.row[0], matrices.column[0])
        other = other.astype(np.float64).reshape(shapes[1 - self.operand])
        if (product.adj_y, product.adj_x)[self.operand]:
            other = other.swapaxes(-1, -2)
        other = other.swapaxes(-1, -2)
        found = dout @ other if self.operand == 0 else other @ dout
        if (product.adj_x, product.adj_y)[self.operand]:
            found = found.swapaxes(-1, -2)
        return sum_to(found, shapes[self.operand]).astype(np.int64).reshape(x.shape)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        mask = in_step(node.output.type, node.inputs[3].type)
        return {(1, 1): 0, (0, 3): mask}

    def macs(self, node: Node) -> int:
        return self.x.size * math.prod(size for size, *_ in self.axes(node.inputs[2].type)[1])
