# SPDX-License-Identifier: Apache-2.0
"""The negative: in reals, -x."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcutrain.trainer.fixedpoint import Int64
from mcutrain.trainer.graph.op import ErrorTensor
from mcutrain.trainer.graph.tensor import Tensor, TensorType
from mcutrain.trainer.ops.error import NegatedError
from mcutrain.trainer.ops.lookup import Lookup, centred_inputs, rescaled

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, Tape


@dataclass(frozen=True)
class Neg(Lookup):
    """x s8 -> out s8 (TFLite NEG of int8, which tflite-micro has not): -(x - z_x), requantised.

    TFLite asks for one scale of input and output, and then requantises nothing.
    """

    tflite_name = "NEG"
    is_activation = False

    def outputs(self, x: TensorType) -> Int64:
        return rescaled(x, self.out_quant, 1.0, -centred_inputs(x))

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        (x,) = node.inputs
        if tape.needs(x):
            yield x, tape.passed_error(NegatedError(x.type), node, x, *error, tape.mask(x))
