# SPDX-License-Identifier: Apache-2.0
"""Another scale and zero point for the same real values, int8 to int8."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.fixedpoint import Int64, Requant
from mcutrain.trainer.graph.op import BehindHead
from mcutrain.trainer.graph.tensor import Array, QuantParams, TensorType
from mcutrain.trainer.ops.lookup import Lookup, centred_inputs, rescaled
from mcutrain.trainer.ops.rescaling import Rescaling, quantized


@dataclass(frozen=True)
class Quantize(Lookup):
    """x s8 -> out s8 (TFLite QUANTIZE of int8). Conversions at a model's edges have no op."""

    tflite_name = "QUANTIZE"
    behind_head = BehindHead.OUTPUT
    passes_on = True
    is_activation = False

    def outputs(self, x: TensorType) -> Int64:
        return rescaled(x, self.out_quant, 1.0, centred_inputs(x))


def from_uint8(given: QuantParams, wanted: QuantParams) -> Array:
    """(256,) s8: what QUANTIZE makes of each uint8 at the edge of a model.

    >>> from_uint8(QuantParams((0.5,), 3), QuantParams((0.5,), -125))[[0, 127, 255]]
    array([-128,   -1,  127], dtype=int8)
    """
    r = Requant.from_real(given.scale / wanted.scale)
    centred = np.arange(256, dtype=np.int64) - given.zero_point
    return quantized(centred, Rescaling(r.multiplier, r.shift), wanted.zero_point)
