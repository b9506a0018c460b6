# SPDX-License-Identifier: Apache-2.0
"""Rectifiers that stand on their own, not fused with the operator before them.

Forward, in reals: RELU max(x, 0), RELU6 min(max(x, 0), 6).
"""

from __future__ import annotations

from dataclasses import dataclass

from mcutrain.trainer.fixedpoint import Int64
from mcutrain.trainer.graph.op import OutputScale
from mcutrain.trainer.graph.tensor import TensorType
from mcutrain.trainer.ops.lookup import INPUTS, Lookup, centred_inputs, rescaled


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
    """x s8 -> out s8 of the same quantisation (TFLite RELU6): clamped.

    tflite-micro clamps the bytes whatever the output's scale, which means nothing if it differs.
    """

    tflite_name = "RELU6"
    output_scale = OutputScale.SAME
    passes_on = True
    clamps = True

    def limits(self) -> tuple[int, int]:
        return self.out_quant.zero_point, min(127, self.out_quant.nearest(6.0))

    def outputs(self, x: TensorType) -> Int64:
        if x.quant != self.out_quant:
            raise ValueError(
                f"the input's scale and zero point are {x.scale:.6g}, {x.zero_point}, the output's "
                f"{self.out_quant.scale:.6g}, {self.out_quant.zero_point}: a RELU6 needs equal ones"
            )
        if not 6.0 / x.scale < 2**31 - 256:
            raise ValueError(f"6 is not an int32 in quanta of the scale {x.scale:.6g}")
        return INPUTS
