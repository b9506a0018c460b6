# SPDX-License-Identifier: Apache-2.0
"""Elementwise difference, as in a gate that is taken from 1, or a sample less its mean.

Forward, in reals: out = a - b, clamped (TFLite quantisation specification, SUB).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mcutrain.trainer.fixedpoint import Int64, Requant
from mcutrain.trainer.graph.call import KernelCall, Table
from mcutrain.trainer.graph.op import ErrorTensor
from mcutrain.trainer.graph.tensor import Tensor
from mcutrain.trainer.ops.add import Add, error_of_term
from mcutrain.trainer.ops.broadcast import Broadcast
from mcutrain.trainer.ops.error import NegatedError
from mcutrain.trainer.ops.rows import row_of_pairs

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, Tape


@dataclass(frozen=True)
class Sub(Add):
    """a s8, b s8 -> out s8; of one shape, or one repeated along axes of the other."""

    tflite_name = "SUB"

    def terms(self, node: Node) -> tuple[Int64, Int64, Requant]:
        a, b, factor = super().terms(node)
        return a, -b, factor

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        for k, x in enumerate(node.inputs):
            if not tape.needs(x):
                continue
            is_whole = x.type.size == node.output.type.size
            found = error if k and is_whole else error_of_term(node, k, error, tape)
            if k:
                found = tape.passed_error(NegatedError(x.type), node, x, *found, tape.mask(x))
            yield x, found

    def lower(self, node: Node) -> KernelCall:
        whole = super().lower(node)
        a, b = node.inputs
        axes = Table("axes", Broadcast(a.type.shape, b.type.shape).table())
        return replace(whole, kernel="sub_s8", args=(a, b, axes, node.output))

    def by_rows(self, node: Node) -> KernelCall | None:
        return row_of_pairs(self.lower(node))
