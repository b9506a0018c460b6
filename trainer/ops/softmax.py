# SPDX-License-Identifier: Apache-2.0
"""Softmax at the end of a classifier, as tflite-micro computes it; never differentiated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import UnsupportedOpError
from mcutrain.trainer.fixedpoint import Int64, Requant, doubling_high_mul, rounding_shift_right
from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.op import BehindHead, Op, OutputScale
from mcutrain.trainer.graph.tensor import Array, QuantParams, Tensor, TensorType
from mcutrain.trainer.ops.exponential import (
    exp_on_negative_values,
    saturating_shift_left,
    two_over_one_plus,
)

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource

DIFF_INTEGER_BITS = 5
SUM_INTEGER_BITS = 12
MAX_CHANNELS = 4095  # the sum of the exponentials is below 2**12
OUT_QUANT = QuantParams((1 / 256,), -128)


@dataclass(frozen=True)
class Softmax(Op):
    """x (.., N) s8 -> out (.., N) s8 with scale 1/256, zero point -128 (TFLite SOFTMAX)."""

    tflite_name = "SOFTMAX"
    output_scale = OutputScale.FIXED
    behind_head = BehindHead.SCORES
    beta: float = 1.0

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        if not source.is_last:
            raise UnsupportedOpError(f"{source} is not at the end of the model")
        return cls(float(source.option("Beta"))), (source.activation(0),)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        if not 2.0**-26 < self.beta * x.scale < 16 or x.shape[-1] > MAX_CHANNELS:
            raise ValueError(
                f"softmax over {x.shape[-1]} logits of scale {self.beta * x.scale:.4g}; "
                f"up to {MAX_CHANNELS} logits and scales between 2**-26 and 16 are supported"
            )
        return (TensorType(x.shape, x.dtype, OUT_QUANT),)

    def scaling(self, node: Node) -> tuple[Requant, int]:
        """(factor of a logit difference to Q5.26, least difference that counts)."""
        factor = self.beta * node.inputs[0].type.scale * 2.0 ** (31 - DIFF_INTEGER_BITS)
        r = Requant.from_real(factor)
        reach = (2**DIFF_INTEGER_BITS - 1) * 2.0 ** (31 - DIFF_INTEGER_BITS) / 2.0**r.shift
        return r, -math.floor(reach)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        (x,) = inputs
        r, least = self.scaling(node)
        difference = x.astype(np.int64) - x.max(axis=-1, keepdims=True)
        counted = difference >= least
        scaled = doubling_high_mul(np.maximum(difference, least) << r.shift, r.multiplier)
        e = np.where(counted, exp_on_negative_values(scaled, DIFF_INTEGER_BITS), 0)
        total = rounding_shift_right(e, SUM_INTEGER_BITS).sum(axis=-1, keepdims=True)
        reciprocal, bits_over_unit = inverse(total)
        out = rounding_shift_right(doubling_high_mul(reciprocal, e), bits_over_unit + 31 - 8)
        return (np.clip(np.where(counted, out - 128, -128), -128, 127).astype(np.int8),)

    def lower(self, node: Node) -> KernelCall:
        (x,) = node.inputs
        r, least = self.scaling(node)
        channels = x.type.shape[-1]
        params = {
            "rows": x.type.size // channels,
            "channels": channels,
            "multiplier": r.multiplier,
            "shift": r.shift,
            "least_difference": least,
        }
        return KernelCall("softmax", "softmax_s8", "softmax", params, (x, node.output))


def inverse(total: Int64) -> tuple[Int64, Int64]:
    """(mantissa Q0.31, bits above one) of 1 / total, total > 0 as Q12.19."""
    headroom = 32 - np.floor(np.log2(total.astype(np.float64))).astype(np.int64) - 1
    reciprocal = two_over_one_plus((total << headroom) - (1 << 31))
    return saturating_shift_left(reciprocal, 1), SUM_INTEGER_BITS - headroom
