# SPDX-License-Identifier: Apache-2.0
"""Elementwise sum, as in a residual block, and the gradient of a repeated term.

Forward, in reals: out = a + b, clamped (TFLite quantisation specification, ADD).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainer.broadcast import Broadcast, sum_to
from trainer.fixedpoint import Requant, requantize
from trainer.ops.base import Arg, ErrorTensor, KernelCall, Table
from trainer.ops.elementwise import Elementwise
from trainer.ops.error import MaskError, RawError, format_of
from trainer.overlap import in_step
from trainer.tensor import Array, Tensor, TensorType

if TYPE_CHECKING:
    from trainer.autodiff import Tape
    from trainer.graph import Node

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
        *factors, out_factor = self.requants(*(t.type for t in node.inputs))
        total = np.zeros(node.output.type.shape, np.int64)
        for tensor, value, r in zip(node.inputs, inputs, factors, strict=True):
            shifted = (value.astype(np.int64) - tensor.type.zero_point) << LEFT_SHIFT
            total += requantize(shifted, r.multiplier, r.shift)
        return (self.clamped(requantize(total, out_factor.multiplier, out_factor.shift)),)

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        for k, x in enumerate(node.inputs):
            if not tape.needs(x):
                continue
            if x.type.size == node.output.type.size:
                yield x, tape.passed_error(MaskError(x.limits), node, x, *error, x)
            else:
                yield x, tape.raw_error(AddGrad(x.limits, operand=k), node, x, *error, x)

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


@dataclass(frozen=True)
class AddGrad(RawError):
    """dout, dout_e s16, x s8, history s16[, sgd] -> dx, dx_e s16; history in place.

    raw = sum of dout over the positions that x was repeated along; dx = REQ(raw, e), x's mask.
    """

    x_limits: tuple[int, int]
    mutates = (3,)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        dout, x = types[0], types[2]
        most = format_of(dout).max_errors
        if dout.size // x.size > most:
            raise ValueError(
                f"{dout.size // x.size} errors are summed into each error of a term, at most "
                f"{most} fit 32 bits: no layer before this term can learn"
            )
        return format_of(dout).types(x.shape)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, x, *state = inputs
        raw = sum_to(dout.astype(np.int64), x.shape)
        return self.requantized(node, raw, int(exponent[0]), x, self.x_limits, *state)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        dx, (dout, _, x) = node.output.type, (t.type for t in node.inputs[:3])
        pairs = {(0, 2): in_step(dx, x)} | ({(0, 0): 0} if dout.size == x.size else {})
        return super().overlays(node) | pairs

    def lower(self, node: Node) -> KernelCall:
        dout, exponent, x = node.inputs[:3]
        params = {"x_min": self.x_limits[0], "x_max": self.x_limits[1]}
        axes = Table("axes", Broadcast(x.type.shape, dout.type.shape).sum_table())
        args: tuple[Arg, ...] = (dout, exponent, x, axes, *self.state_args(node), *node.outputs[:2])
        return KernelCall(
            "add", f"add_grad_{format_of(dout.type).suffix}", "add_grad", params, args
        )
