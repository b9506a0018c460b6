# SPDX-License-Identifier: Apache-2.0
"""Sum over neighbouring axes: a MEAN that is not divided, and its gradient.

Forward: requantize(sum(x - z_x), s_x / s_y) + z_y, clamped (TFLite SUM).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcutrain.trainer.fixedpoint import Requant
from mcutrain.trainer.graph.op import BehindHead, ErrorTensor
from mcutrain.trainer.graph.tensor import Tensor, TensorType
from mcutrain.trainer.ops.mean import Mean
from mcutrain.trainer.ops.strided_error import StridedError

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, Tape


@dataclass(frozen=True)
class Sum(Mean):
    """x s8 -> out s8: the sum over the axes ``first`` to ``last``, which are not the batch."""

    tflite_name = "SUM"
    behind_head = BehindHead.NO

    def factor(self, x: TensorType) -> Requant:
        return Requant.from_real(x.scale / self.out_quant.scale)

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        (x,) = node.inputs
        if tape.needs(x):
            op = StridedError(self.spread(x.type), x.type)
            yield x, tape.passed_error(op, node, x, *error, tape.mask(x))
