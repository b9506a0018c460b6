# SPDX-License-Identifier: Apache-2.0
"""Rows divided by their length, as an embedding is, and the gradient.

Forward, in reals: out = x / |x| along the last axis (TFLite L2_NORMALIZATION). The reciprocal of
the length is found by Newton-Raphson in the fixed point of gemmlowp.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import UnsupportedOpError
from mcutrain.trainer.fixedpoint import (
    Int64,
    near,
    requantize,
    sat23,
    scale_exponent,
)
from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.op import ErrorTensor, Op, OutputScale
from mcutrain.trainer.graph.tensor import Array, QuantParams, Tensor, TensorType
from mcutrain.trainer.ops.error import RawError, error_types, format_of
from mcutrain.trainer.ops.exponential import inverse_root
from mcutrain.trainer.ops.overlap import in_step

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource, Tape

OUT_BITS = 7  # of the output's fraction
OUT_QUANT = QuantParams((2.0**-OUT_BITS,), 0)
MAX_LENGTH = 33025  # squares of 255 that fit 32 bits
GUARD_BITS = 7  # of a row's raw errors, before they are divided by its length


@dataclass(frozen=True)
class L2Normalization(Op):
    """x (.., N) s8 -> out (.., N) s8 with scale 1/128, zero point 0."""

    tflite_name = "L2_NORMALIZATION"
    output_scale = OutputScale.FIXED

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        if source.limits() != (-128, 127):
            raise UnsupportedOpError(f"{source} has a fused activation; NONE is supported")
        return cls(), (source.activation(0),)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        if x.shape[-1] > MAX_LENGTH:
            raise ValueError(f"rows of {x.shape[-1]} values; up to {MAX_LENGTH} are supported")
        return (TensorType(x.shape, x.dtype, OUT_QUANT),)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        centred = inputs[0].astype(np.int64) - node.inputs[0].type.zero_point
        multiplier, right = inverse_length(centred)
        out = requantize(centred, multiplier, OUT_BITS - right)
        return (np.clip(out, -128, 127).astype(np.int8),)

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        (x,) = node.inputs
        if tape.needs(x):
            op = L2NormalizationGrad()
            yield x, tape.raw_error(op, node, x, *error, x, node.output, tape.mask(x))

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        return {(0, 0): 0}

    def lower(self, node: Node) -> KernelCall:
        (x,) = node.inputs
        params = row_params(x.type)
        name = "l2_normalization"
        return KernelCall(name, f"{name}_s8", name, params, (x, node.output))


def row_params(x: TensorType) -> dict[str, int]:
    length = x.shape[-1]
    return {"rows": x.size // length, "length": length, "x_offset": -x.zero_point}


def inverse_length(centred: Int64) -> tuple[Int64, Int64]:
    """(multiplier, shift to the right) (.., 1): 1 / |x| = multiplier * 2**(-31 - shift)."""
    return inverse_root((centred**2).sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class L2NormalizationGrad(RawError):
    """dout, dout_e s16, x s8, y s8, mask of x, history s16[, sgd] -> dx, dx_e; history in place.

    S = sum dout y of a row, d = 2^7 dout - near(y S, 7), f = round(256 / (s_x 2**kf));
    raw = requantize(near(d f, 8) 2^7, 1 / |x|), dx = REQ(raw, e + kf - 14) with x's mask.
    """

    mutates = (5,)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        dout, _, x, _, mask = types[:5]
        most = format_of(dout).max_fan_out
        if x.shape[-1] > most:
            raise ValueError(
                f"rows of {x.shape[-1]} values overflow the gradient's 32 bits (at most {most}): "
                "no layer before this one can learn"
            )
        self.fold(x)  # a ValueError for a scale that cannot be expressed
        return error_types(dout, x, mask)

    @staticmethod
    def fold(x: TensorType) -> tuple[int, int]:
        """(f, kf): 1 / s_x as an 8-bit fraction of 2**kf."""
        kf = scale_exponent(np.array([1 / x.scale]))
        return int(np.floor(256 / x.scale / 2.0**kf + 0.5)), kf

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, x, y, mask, *state = inputs
        type_ = node.inputs[2].type
        error, out = dout.reshape(x.shape).astype(np.int64), y.astype(np.int64)
        total = sat23((error * out).sum(axis=-1, keepdims=True))
        across = sat23((error << OUT_BITS) - near(out * total, OUT_BITS))
        factor, kf = self.fold(type_)
        multiplier, right = inverse_length(x.astype(np.int64) - type_.zero_point)
        scaled = near(across * factor, 8) << GUARD_BITS
        raw = requantize(scaled, multiplier, -right)
        e_raw = int(exponent[0]) + kf - OUT_BITS - GUARD_BITS
        return self.requantized(node, raw, e_raw, mask, *state)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        """A row's sums are there before the first of its errors is written."""
        dx, (x, y, mask) = node.output.type, (t.type for t in node.inputs[2:5])
        pairs = {(0, 0): 0, (0, 2): in_step(dx, x), (0, 3): in_step(dx, y)}
        return super().overlays(node) | pairs | {(0, 4): in_step(dx, mask)}

    def lower(self, node: Node) -> KernelCall:
        x = node.inputs[2].type
        factor, kf = self.fold(x)
        step = kf - OUT_BITS - GUARD_BITS
        params = {**row_params(x), "fold": factor, "exponent_step": step}
        args = (*node.inputs[:5], *self.state_args(node), *node.outputs[:2])
        kernel = f"l2_normalization_grad_{format_of(node.inputs[0].type).suffix}"
        return KernelCall("l2_normalization", kernel, "l2_normalization_grad", params, args)
