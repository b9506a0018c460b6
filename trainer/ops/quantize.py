# SPDX-License-Identifier: Apache-2.0
"""Another scale and zero point for the same real values, int8 to int8."""

from __future__ import annotations

from dataclasses import dataclass

from mcutrain.trainer.fixedpoint import Int64
from mcutrain.trainer.graph.op import BehindHead
from mcutrain.trainer.graph.tensor import TensorType
from mcutrain.trainer.ops.lookup import Lookup, centred_inputs, rescaled


@dataclass(frozen=True)
class Quantize(Lookup):
    """x s8 -> out s8 (TFLite QUANTIZE of int8). Conversions at a model's edges have no op."""

    tflite_name = "QUANTIZE"
    behind_head = BehindHead.OUTPUT
    passes_on = True
    is_activation = False

    def outputs(self, x: TensorType) -> Int64:
        return rescaled(x, self.out_quant, 1.0, centred_inputs(x))
