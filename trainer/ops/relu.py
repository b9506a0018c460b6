# SPDX-License-Identifier: Apache-2.0
"""Rectifiers that stand on their own, not fused with the operator before them.

Forward, in reals: RELU max(x, 0), RELU6 min(max(x, 0), 6), and so RELU_N1_TO_1 and RELU_0_TO_1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mcutrain.trainer.fixedpoint import Int64, Requant, requantize, wrap32
from mcutrain.trainer.graph.op import OutputScale
from mcutrain.trainer.graph.tensor import TensorType
from mcutrain.trainer.ops.lookup import Lookup, centred_inputs, rescaled


@dataclass(frozen=True)
class Relu(Lookup):
    """x s8 -> out s8 (TFLite RELU): requantised, at least the zero point."""

    tflite_name = "RELU"
    passes_on = True
    clamps = True

    def limits(self) -> tuple[int, int]:
        return self.out_quant.zero_point, 127

    def outputs(self, x: TensorType) -> Int64:
        return rescaled(x, self.out_quant, 1.0, centred_inputs(x))


@dataclass(frozen=True)
class Relu6(Lookup):
    """x s8 -> out s8 (TFLite RELU6): requantised, from 0 to 6.

    With one quantisation, that only clamps. If the output's is another, the bits are TFLite's:
    tflite-micro clamps the bytes of the input then, which means nothing.
    """

    tflite_name = "RELU6"
    output_scale = OutputScale.SAME
    passes_on = True
    clamps = True
    ends: ClassVar[tuple[float, float]] = (0.0, 6.0)

    def limits(self) -> tuple[int, int]:
        low, high = (self.out_quant.nearest(end) for end in self.ends)
        return max(-128, low), min(127, high)

    def outputs(self, x: TensorType) -> Int64:
        s_x, s_y = np.float32(x.scale), np.float32(self.out_quant.scale)
        if not self.ends[1] / self.out_quant.scale < 2**31 - 256:
            raise ValueError(f"{self.ends[1]:g} is not an int32 in quanta of the scale {s_y:.6g}")
        with np.errstate(all="ignore"):  # a quotient that is no factor is refused
            r = Requant.from_real(float(s_x / s_y))
        return wrap32(
            requantize(centred_inputs(x), r.multiplier, r.shift) + self.out_quant.zero_point
        )


@dataclass(frozen=True)
class ReluN1To1(Relu6):
    """x s8 -> out s8 (TFLite RELU_N1_TO_1, which tflite-micro has not): from -1 to 1."""

    tflite_name = "RELU_N1_TO_1"
    output_scale = OutputScale.FREE
    ends = (-1.0, 1.0)


@dataclass(frozen=True)
class Relu0To1(Relu6):
    """x s8 -> out s8 (TFLite RELU_0_TO_1, which tflite-micro has not): from 0 to 1."""

    tflite_name = "RELU_0_TO_1"
    output_scale = OutputScale.FREE
    ends = (0.0, 1.0)
