# SPDX-License-Identifier: Apache-2.0
"""Elementwise product, as of a gate and what it gates, and its gradient.

Forward, in reals: out = a * b, clamped (TFLite quantisation specification, MUL).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.fixedpoint import Requant, near, scale_exponent
from mcutrain.trainer.graph.call import Arg, KernelCall, Table
from mcutrain.trainer.graph.op import ErrorTensor
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType
from mcutrain.trainer.ops.broadcast import Broadcast, sum_to
from mcutrain.trainer.ops.elementwise import Elementwise
from mcutrain.trainer.ops.error import RawError, error_types, format_of
from mcutrain.trainer.ops.overlap import in_step
from mcutrain.trainer.ops.rows import row_of_pairs

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, Tape


@dataclass(frozen=True)
class Mul(Elementwise):
    """a s8, b s8 -> out s8; of one shape, or one repeated along axes of the other."""

    tflite_name = "MUL"

    def requants(self, a: TensorType, b: TensorType) -> tuple[Requant]:
        return (Requant.from_real(a.scale * b.scale / self.out_quant.scale),)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        a, b = (
            value.astype(np.int64) - tensor.type.zero_point
            for tensor, value in zip(node.inputs, inputs, strict=True)
        )
        (r,) = self.requants(*(t.type for t in node.inputs))
        return (self.requantized(a * b, r),)

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        for k, (x, other) in enumerate((node.inputs, node.inputs[::-1])):
            if tape.needs(x):
                op = MulGrad(x.type, operand=k)
                yield x, tape.raw_error(op, node, x, *error, other, tape.mask(x))

    def lower(self, node: Node) -> KernelCall:
        a, b = node.inputs
        (r,) = self.requants(a.type, b.type)
        params = {
            "a_offset": -a.type.zero_point,
            "b_offset": -b.type.zero_point,
            "out_offset": self.out_quant.zero_point,
            "multiplier": r.multiplier,
            "shift": r.shift,
            "act_min": self.act_min,
            "act_max": self.act_max,
        }
        axes = Table("axes", Broadcast(a.type.shape, b.type.shape).table())
        return KernelCall("mul", "mul_s8", "mul", params, (a, b, axes, node.output))

    def by_rows(self, node: Node) -> KernelCall | None:
        return row_of_pairs(self.lower(node))

    def macs(self, node: Node) -> int:
        return node.output.type.size


@dataclass(frozen=True)
class MulGrad(RawError):
    """dout, dout_e s16, b s8, mask of x, history s16[, sgd] -> dx, dx_e s16; history in place.

    raw = sum near(dout f, 8) (b - z_b) over the positions that x was repeated along,
    f = round(256 s_b / 2**kf); dx = REQ(raw, e + kf) with x's mask.
    """

    x: TensorType
    mutates = (4,)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        dout, x, most = types[0], self.x, format_of(types[0]).max_products
        if dout.size // x.size > most:
            raise ValueError(
                f"{dout.size // x.size} products are summed into each error of a factor, at most "
                f"{most} fit 32 bits: no layer before this factor can learn"
            )
        return error_types(dout, x, types[3])

    def fold(self, b: TensorType) -> tuple[int, int]:
        """(f, kf): the scale of b as an 8-bit fraction of 2**kf."""
        kf = scale_exponent(np.array([b.scale]))
        return int(np.floor(256 * b.scale / 2.0**kf + 0.5)), kf

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, b, mask, *state = inputs
        factor, kf = self.fold(node.inputs[2].type)
        centred = b.astype(np.int64) - node.inputs[2].type.zero_point
        raw = self.raw(near(dout.astype(np.int64) * factor, 8), centred, node.inputs[2].type)
        return self.requantized(node, raw, int(exponent[0]) + kf, mask, *state)

    def raw(self, error: Array, b: Array, type_: TensorType) -> Array:
        """Of the folded errors and of b, less its zero point."""
        return sum_to(error * b, self.x.shape)

    def table(self, b: TensorType) -> Array:
        """(18,) s32: where the errors and b lie, and along which axes they are summed."""
        return Broadcast(self.x.shape, b.shape).sum_table()

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        dx, (dout, _, b, mask) = node.output.type, (t.type for t in node.inputs[:4])
        pairs = {(0, 3): in_step(dx, mask)}
        if dout.size == b.size == dx.size:
            pairs |= {(0, 0): 0, (0, 2): in_step(dx, b)}
        return super().overlays(node) | pairs

    def lower(self, node: Node) -> KernelCall:
        b = node.inputs[2].type
        factor, kf = self.fold(b)
        params = {"fold": factor, "scale_exponent": kf, "b_offset": -b.zero_point}
        axes = Table("axes", self.table(b))
        args: tuple[Arg, ...] = (*node.inputs[:4], axes, *self.state_args(node), *node.outputs[:2])
        kernel = f"mul_grad_{format_of(node.inputs[0].type).suffix}"
        return KernelCall("mul", kernel, "mul_grad", params, args)

    def macs(self, node: Node) -> int:
        return node.inputs[0].type.size
