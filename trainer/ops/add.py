# SPDX-License-Identifier: Apache-2.0
"""Elementwise sum, as in a residual block, and the gradient of a repeated term.

Forward, in reals: out = a + b, clamped (TFLite quantisation specification, ADD).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.fixedpoint import Int64, Requant, requantize, shifted_products
from mcutrain.trainer.graph.call import Arg, KernelCall, Table
from mcutrain.trainer.graph.once import once_per_node
from mcutrain.trainer.graph.op import ErrorTensor
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType
from mcutrain.trainer.ops.broadcast import Broadcast, sum_to
from mcutrain.trainer.ops.elementwise import Elementwise
from mcutrain.trainer.ops.error import MaskError, RawError, error_types, format_of
from mcutrain.trainer.ops.overlap import in_step
from mcutrain.trainer.ops.rows import row_of_equals

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, Tape

LEFT_SHIFT = 20


@dataclass(frozen=True)
class Add(Elementwise):
    """a s8, b s8 -> out s8; of one shape, or one repeated along axes of the other."""

    tflite_name = "ADD"

    def requants(self, a: TensorType, b: TensorType) -> tuple[Requant, Requant, Requant]:
        """Factors of a, of b and of their sum, as tflite-micro's reference ADD has them."""
        twice_max = 2.0 * max(a.scale, b.scale)
        out = twice_max / ((1 << LEFT_SHIFT) * self.out_quant.scale)
        return (
            Requant.from_real(a.scale / twice_max),
            Requant.from_real(b.scale / twice_max),
            Requant.from_real(out),
        )

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        *tables, out_factor = self.terms(node)
        # The fastest way to look up; none is beyond.
        a, b = (
            table.take(value.view(np.uint8), mode="clip")
            for table, value in zip(tables, inputs, strict=True)
        )
        if out_factor.shift > 0:
            return (self.requantized(a + b, out_factor),)
        out = shifted_products((a + b) * out_factor.multiplier, -out_factor.shift)
        out += self.out_quant.zero_point
        return (np.minimum(np.maximum(out, self.act_min), self.act_max).astype(np.int8),)

    @once_per_node
    def terms(self, node: Node) -> tuple[Int64, Int64, Requant]:
        """(256,) of each operand: what it adds for all values, the negative ones last, where their
        bytes are as unsigned ones; and the factor of the sum."""
        factors = self.requants(*(t.type for t in node.inputs))
        shifted = ((np.arange(-128, 128) - t.type.zero_point) << LEFT_SHIFT for t in node.inputs)
        pairs = zip(shifted, factors[:2], strict=True)
        a, b = (np.roll(requantize(x, r.multiplier, r.shift), 128) for x, r in pairs)
        return a, b, factors[2]

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        for k, x in enumerate(node.inputs):
            if tape.needs(x):
                yield x, error_of_term(node, k, error, tape)

    def lower(self, node: Node) -> KernelCall:
        a, b = node.inputs
        where = Broadcast(a.type.shape, b.type.shape)
        a_factor, b_factor, out_factor = self.requants(a.type, b.type)
        params = {
            "size": a.type.size if where.is_flat else 1,
            "a_offset": -a.type.zero_point,
            "a_multiplier": a_factor.multiplier,
            "a_shift": a_factor.shift,
            "b_offset": -b.type.zero_point,
            "b_multiplier": b_factor.multiplier,
            "b_shift": b_factor.shift,
            "out_offset": self.out_quant.zero_point,
            "out_multiplier": out_factor.multiplier,
            "out_shift": out_factor.shift,
            "act_min": self.act_min,
            "act_max": self.act_max,
        }
        if where.is_flat:
            return KernelCall("add", "add_s8", "add", params, (a, b, node.output))
        args = (a, b, Table("axes", where.table()), node.output)
        return KernelCall("add", "add_broadcast_s8", "add", params, args)

    def by_rows(self, node: Node) -> KernelCall | None:
        whole = self.lower(node)
        return row_of_equals(whole) if whole.kernel == "add_s8" else None


def error_of_term(node: Node, k: int, error: ErrorTensor, tape: Tape) -> ErrorTensor:
    """The error of input ``k``: passed on, or of a repeated term summed."""
    x = node.inputs[k]
    if x.type.size == node.output.type.size:
        return tape.passed_error(MaskError(x.type), node, x, *error, tape.mask(x))
    return tape.raw_error(AddGrad(x.type, operand=k), node, x, *error, tape.mask(x))


@dataclass(frozen=True)
class AddGrad(RawError):
    """dout, dout_e s16, mask of x, history s16[, sgd] -> dx, dx_e s16; history in place.

    raw = sum of dout over the positions that x was repeated along; dx = REQ(raw, e), x's mask.
    """

    x: TensorType
    mutates = (3,)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        dout, x, most = types[0], self.x, format_of(types[0]).max_errors
        if dout.size // x.size > most:
            raise ValueError(
                f"{dout.size // x.size} errors are summed into each error of a term, at most "
                f"{most} fit 32 bits: no layer before this term can learn"
            )
        return error_types(dout, x, types[2])

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, mask, *state = inputs
        raw = sum_to(dout.astype(np.int64), self.x.shape)
        return self.requantized(node, raw, int(exponent[0]), mask, *state)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        dx, (dout, _, mask) = node.output.type, (t.type for t in node.inputs[:3])
        pairs = {(0, 2): in_step(dx, mask)} | ({(0, 0): 0} if dout.size == dx.size else {})
        return super().overlays(node) | pairs

    def lower(self, node: Node) -> KernelCall:
        dout = node.inputs[0].type
        axes = Table("axes", Broadcast(self.x.shape, dout.shape).sum_table())
        args: tuple[Arg, ...] = (*node.inputs[:3], axes, *self.state_args(node), *node.outputs[:2])
        return KernelCall("add", f"add_grad_{format_of(dout).suffix}", "add_grad", {}, args)
