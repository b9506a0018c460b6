# SPDX-License-Identifier: Apache-2.0
"""Elementwise square of a difference, as in the variance of a layer normalisation, and its
gradient.

Forward, in reals: out = (a - b)**2 (TFLite quantisation specification, SQUARED_DIFFERENCE).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.fixedpoint import (
    INT32_MAX,
    Int64,
    Requant,
    near,
    requantize,
    scale_exponent,
)
from mcutrain.trainer.graph.call import Arg, KernelCall, Table
from mcutrain.trainer.graph.op import ErrorTensor, Op
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType
from mcutrain.trainer.ops.broadcast import Broadcast, sum_to
from mcutrain.trainer.ops.elementwise import Elementwise
from mcutrain.trainer.ops.error import RawError, error_types, format_of
from mcutrain.trainer.ops.overlap import in_step
from mcutrain.trainer.ops.rows import row_of_pairs

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource, Tape

LEFT_SHIFT = 7
MOST = 2 * 255 * 2**LEFT_SHIFT // 2  # |d|: two terms, of which the greater scale is halved
FOLD_BITS = 8


@dataclass(frozen=True)
class SquaredDifference(Elementwise):
    """a s8, b s8 -> out s8; of one shape, or one repeated along axes of the other."""

    tflite_name = "SQUARED_DIFFERENCE"

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        assert source.out.type.quant is not None
        return cls(source.out.type.quant), (source.operand(0), source.operand(1))

    def requants(self, a: TensorType, b: TensorType) -> tuple[Requant, Requant, Requant]:
        """Factors of a, of b and of the square, as tflite-micro has them."""
        twice_max = 2.0 * max(a.scale, b.scale)
        out = twice_max * twice_max / ((1 << 2 * LEFT_SHIFT) * self.out_quant.scale)
        return (
            Requant.from_real(a.scale / twice_max),
            Requant.from_real(b.scale / twice_max),
            Requant.from_real(out),
        )

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        a, b = node.inputs
        a_factor, b_factor, out = self.requants(a.type, b.type)
        d = term(inputs[0], a.type, a_factor) - term(inputs[1], b.type, b_factor)
        return (self.requantized(d * d, out),)

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        for k, (x, other) in enumerate((node.inputs, node.inputs[::-1])):
            if tape.needs(x):
                op = SquaredDifferenceGrad(operand=k)
                yield x, tape.raw_error(op, node, x, *error, x, other, tape.mask(x))

    def lower(self, node: Node) -> KernelCall:
        a, b = node.inputs
        a_factor, b_factor, out = self.requants(a.type, b.type)
        params = {
            **operand_params("a", a.type, a_factor),
            **operand_params("b", b.type, b_factor),
            "out_offset": self.out_quant.zero_point,
            "out_multiplier": out.multiplier,
            "out_shift": out.shift,
        }
        unit = "squared_difference"
        axes = Table("axes", Broadcast(a.type.shape, b.type.shape).table())
        return KernelCall(unit, f"{unit}_s8", unit, params, (a, b, axes, node.output))

    def by_rows(self, node: Node) -> KernelCall | None:
        return row_of_pairs(self.lower(node))

    def macs(self, node: Node) -> int:
        return node.output.type.size


@dataclass(frozen=True)
class SquaredDifferenceGrad(RawError):
    """dout, dout_e s16, x s8, other s8, mask of x, history s16[, sgd] -> dx, dx_e s16; history in
    place.

    raw = sum near(dout f, 8) near(d, k) over the positions that x was repeated along, d as in the
    forward pass with x first, k the least shift that fits 32 bits; f and kf fold the unit of
    2 near(d, k); dx = REQ(raw, e + kf) with x's mask.
    """

    mutates = (5,)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        dout, _, x, other, mask = types[:5]
        Broadcast(x.shape, other.shape)
        self.shift(dout, x)
        return error_types(dout, x, mask)

    def shift(self, dout: TensorType, x: TensorType) -> int:
        """k. Raises ValueError if no difference is left of it."""
        count, greatest = dout.size // x.size, format_of(dout).greatest
        for k in range(LEFT_SHIFT + 1):
            if count * greatest * (MOST >> k) <= INT32_MAX - count * greatest:
                return k
        raise ValueError(
            f"{count} products are summed into each error of a difference, more than fit 32 bits: "
            "no layer before this difference can learn"
        )

    def fold(self, x: TensorType, other: TensorType, k: int) -> tuple[int, int]:
        """(f, kf): twice the unit of near(d, k) as an 8-bit fraction of 2**kf."""
        unit = 2.0 * 2.0 * max(x.scale, other.scale) * 2.0 ** (k - LEFT_SHIFT)
        kf = scale_exponent(np.array([unit]))
        return int(np.floor(2**FOLD_BITS * unit / 2.0**kf + 0.5)), kf

    def factors(self, x: TensorType, other: TensorType) -> tuple[Requant, Requant]:
        """Of the terms of x and of the other operand."""
        twice_max = 2.0 * max(x.scale, other.scale)
        return Requant.from_real(x.scale / twice_max), Requant.from_real(other.scale / twice_max)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, x, other, mask, *state = inputs
        types = node.inputs[2].type, node.inputs[3].type
        own, others = self.factors(*types)
        k = self.shift(node.inputs[0].type, types[0])
        f, kf = self.fold(*types, k)
        d = near(term(x, types[0], own) - term(other, types[1], others), k)
        raw = sum_to(near(dout.astype(np.int64) * f, FOLD_BITS) * d, types[0].shape)
        return self.requantized(node, raw, int(exponent[0]) + kf, mask, *state)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        dx, (dout, _, x, other, mask) = node.output.type, (t.type for t in node.inputs[:5])
        pairs = {(0, 2): in_step(dx, x), (0, 4): in_step(dx, mask)}
        if dout.size == other.size == dx.size:
            pairs |= {(0, 0): 0, (0, 3): in_step(dx, other)}
        return super().overlays(node) | pairs

    def lower(self, node: Node) -> KernelCall:
        dout, _, x, other = (t.type for t in node.inputs[:4])
        own, others = self.factors(x, other)
        k = self.shift(dout, x)
        f, kf = self.fold(x, other, k)
        params = {
            **operand_params("x", x, own),
            **operand_params("other", other, others),
            "fold": f,
            "scale_exponent": kf,
            "shift": k,
        }
        axes = Table("axes", Broadcast(x.shape, other.shape).sum_table())
        args: tuple[Arg, ...] = (*node.inputs[:5], axes, *self.state_args(node), *node.outputs[:2])
        unit = "squared_difference"
        kernel = f"{unit}_grad_{format_of(dout).suffix}"
        return KernelCall(unit, kernel, f"{unit}_grad", params, args)

    def macs(self, node: Node) -> int:
        return node.inputs[0].type.size


def term(x: Array, type_: TensorType, factor: Requant) -> Int64:
    """An operand in the unit of the difference, 2 max(s_a, s_b) / 2**7."""
    shifted = (x.astype(np.int64) - type_.zero_point) << LEFT_SHIFT
    return requantize(shifted, factor.multiplier, factor.shift)


def operand_params(name: str, x: TensorType, factor: Requant) -> dict[str, int]:
    return {
        f"{name}_offset": -x.zero_point,
        f"{name}_multiplier": factor.multiplier,
        f"{name}_shift": factor.shift,
    }
