# SPDX-License-Identifier: Apache-2.0
"""Leaky rectifier with a slope of its own for each channel, which does not learn here: in reals,
x for x >= 0, alpha x below (He et al. 2015)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import UnsupportedOpError
from mcutrain.trainer.fixedpoint import Requant, requantize, scale_exponent, wrap32
from mcutrain.trainer.graph.call import Arg, KernelCall, Table
from mcutrain.trainer.graph.op import ErrorTensor, Op, OutputScale
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Tensor, TensorType
from mcutrain.trainer.ops.broadcast import Broadcast
from mcutrain.trainer.ops.error import RawError, error_types, format_of
from mcutrain.trainer.ops.lookup import SLOPE_BITS
from mcutrain.trainer.ops.overlap import in_step

if TYPE_CHECKING:
    from mcutrain.trainer.graph.cutting import KeptAxis
    from mcutrain.trainer.graph.op import Node, OperatorSource, Tape, Ties


@dataclass(frozen=True)
class Prelu(Op):
    """x s8 -> out s8 of x's shape (TFLite PRELU): two requantisations, by the sign.

    ``alpha`` has its zero point taken off, in row-major order of ``alpha_shape``, which is repeated
    to x's shape.
    """

    tflite_name = "PRELU"
    output_scale = OutputScale.FREE
    is_activation = True
    out_quant: QuantParams
    alpha: tuple[int, ...]
    alpha_shape: tuple[int, ...]
    alpha_scale: float

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        assert source.out.type.quant is not None
        alpha = source.operand(1)
        if alpha.data is None:
            raise UnsupportedOpError(
                f"{source}: the slopes '{alpha.label}' are an activation",
                "take slopes that are constant, or write it as MAXIMUM, MINIMUM, MUL and ADD",
            )
        values = alpha.data.astype(np.int64) - alpha.type.zero_point
        own = tuple(int(v) for v in values.ravel())
        op = cls(source.out.type.quant, own, alpha.type.shape, alpha.type.scale)
        return op, (source.activation(0),)

    def requants(self, x: TensorType) -> tuple[Requant, Requant]:
        """Factors of what is not below 0, and of the product of what is with alpha."""
        return (
            Requant.from_real(x.scale / self.out_quant.scale),
            Requant.from_real(x.scale * self.alpha_scale / self.out_quant.scale),
        )

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        self.requants(x)  # a ValueError for scales that no multiplier can express
        if Broadcast(x.shape, self.alpha_shape).shape != x.shape:
            raise ValueError(f"slopes {self.alpha_shape} are not repeated along {x.shape}")
        return (TensorType(x.shape, DType.S8, self.out_quant),)

    def alphas(self, dtype: DType) -> Array:
        return np.array(self.alpha, dtype.np).reshape(self.alpha_shape)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        x = node.inputs[0].type
        above, below = self.requants(x)
        u = inputs[0].astype(np.int64) - x.zero_point
        product = u * self.alphas(DType.S32)
        out = np.where(
            u >= 0,
            requantize(u, above.multiplier, above.shift),
            requantize(product, below.multiplier, below.shift),
        )
        out = wrap32(out + self.out_quant.zero_point)
        return (np.clip(out, *self.limits()).astype(np.int8),)

    def tie(self, node: Node, ids: tuple[Array, ...], ties: Ties) -> Array | str:
        return ids[0]

    def cut(self, node: Node, kept: Mapping[Tensor, KeptAxis]) -> Op:
        left, alphas = kept[node.inputs[0]], self.alphas(DType.S32)
        axis = left.axis - len(node.inputs[0].type.shape)
        if -axis > alphas.ndim or alphas.shape[axis] == 1:
            return self
        alphas = alphas.take(left.index, axis)
        own = tuple(int(v) for v in alphas.ravel())
        return replace(self, alpha=own, alpha_shape=alphas.shape)

    def told(self) -> Mapping[int, Array]:
        return {1: self.alphas(DType.S32)}

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        return {(0, 0): 0}

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        (x,) = node.inputs
        if tape.needs(x):
            yield x, tape.raw_error(PreluGrad(self), node, x, *error, x, tape.mask(x))

    def lower(self, node: Node) -> KernelCall:
        (x,) = node.inputs
        above, below = self.requants(x.type)
        params = {
            "x_offset": -x.type.zero_point,
            "out_offset": self.out_quant.zero_point,
            "multiplier": above.multiplier,
            "shift": above.shift,
            "below_multiplier": below.multiplier,
            "below_shift": below.shift,
        }
        tables = Table("alpha", self.alphas(DType.S16)), self.axes(x.type)
        return KernelCall("prelu", "prelu_s8", "prelu", params, (x, *tables, node.output))

    def axes(self, x: TensorType) -> Table:
        return Table("axes", Broadcast(x.shape, self.alpha_shape).table())


@dataclass(frozen=True)
class PreluGrad(RawError):
    """dout, dout_e s16, x s8, mask of x, history s16[, sgd] -> dx, dx_e s16; history in place.

    raw = dout k, k = round(2**14 / 2**kf) where x is not below its zero point, else
    round(2**14 alpha / 2**kf); dx = REQ(raw, e + kf - 14) with x's mask.
    """

    prelu: Prelu
    mutates = (4,)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        return error_types(types[0], *types[2:4])

    def slopes(self) -> tuple[int, Array, int]:
        """(k above 0, k below (alpha's shape) s16, kf): 2**kf is the smallest power of two >= the
        greatest slope."""
        real = self.prelu.alphas(DType.S32) * self.prelu.alpha_scale
        kf = scale_exponent(np.append(np.abs(real), 1.0))
        scaled = np.floor(2.0**SLOPE_BITS * np.append(real, 1.0) / 2.0**kf + 0.5).astype(np.int16)
        return int(scaled[-1]), scaled[:-1].reshape(real.shape), kf

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, x, mask, *state = inputs
        above, below, kf = self.slopes()
        is_above = x.astype(np.int64) >= node.inputs[2].type.zero_point
        raw = dout.astype(np.int64) * np.where(is_above, above, below)
        return self.requantized(node, raw, int(exponent[0]) + kf - SLOPE_BITS, mask, *state)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        x = in_step(node.output.type, node.inputs[2].type)
        return super().overlays(node) | {(0, 0): 0, (0, 2): x}

    def lower(self, node: Node) -> KernelCall:
        dout, x = (t.type for t in (node.inputs[0], node.inputs[2]))
        above, below, kf = self.slopes()
        params = {"x_offset": -x.zero_point, "above": above, "exponent_step": kf - SLOPE_BITS}
        tables = Table("slope", below), self.prelu.axes(x)
        state = self.state_args(node)
        args: tuple[Arg, ...] = (*node.inputs[:4], *tables, *state, *node.outputs[:2])
        return KernelCall(
            "prelu", f"prelu_grad_{format_of(dout).suffix}", "prelu_grad", params, args
        )
