# SPDX-License-Identifier: Apache-2.0
"""Gaussian error linear unit: in reals, x P(X <= x) of a normal X (Hendrycks and Gimpel 2016)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.fixedpoint import Int64
from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType
from mcutrain.trainer.ops.lookup import Lookup, float_outputs

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import OperatorSource

CUBE = 0.044715  # of the approximation by a hyperbolic tangent
ROOT = math.sqrt(2 / math.pi)
HALF, ONE = np.float32(0.5), np.float32(1)


@dataclass(frozen=True)
class Gelu(Lookup):
    """x s8 -> out s8 (TFLite GELU, which tflite-micro has not): filled in float32, from an erfc or
    a tanh of float64.

    TFLite takes those of its C library, whose last bit is its own.
    """

    tflite_name = "GELU"
    approximate: bool = False

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        assert source.out.type.quant is not None
        is_approximate = bool(source.option("Approximate"))
        return cls(source.out.type.quant, is_approximate), (source.activation(0),)

    def outputs(self, x: TensorType) -> Int64:
        return float_outputs(x, self.out_quant, by_tanh if self.approximate else by_erfc)

    def slope(self, real: Array) -> Array:
        if self.approximate:
            inner = np.tanh(ROOT * (real + CUBE * real**3))
            rise = ROOT * (1 + 3 * CUBE * real**2)
            return np.asarray((1 + inner) / 2 + real / 2 * (1 - inner**2) * rise)
        density = np.exp(-(real**2) / 2) / math.sqrt(2 * math.pi)
        return np.asarray(erfc(-real / math.sqrt(2)) / 2 + real * density)


def erfc(x: Array) -> Array:
    return np.array([math.erfc(value) for value in x.ravel()]).reshape(x.shape)


def by_erfc(x: Array) -> Array:
    at = x * np.float32(-math.sqrt(0.5))
    return np.asarray(HALF * x * erfc(at).astype(np.float32))


def by_tanh(x: Array) -> Array:
    at = np.float32(ROOT) * (x + np.float32(CUBE) * x * x * x)
    inner = np.tanh(at.astype(np.float64)).astype(np.float32)
    return np.asarray(HALF * x * (ONE + inner))
