# SPDX-License-Identifier: Apache-2.0
"""Elementwise sum on cores with vectors of integers: the same bits, four elements at a time.
Twin of firmware/kernels/add_mve.h."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.ops.add import Add
from mcutrain.trainer.ops.broadcast import Broadcast
from mcutrain.trainer.ops.mve import NEEDS
from mcutrain.trainer.ops.rows import row_of_equals


@dataclass(frozen=True)
class AddMve(Add):
    """Of operands of one shape."""

    needs = NEEDS
    unit = "add_mve"

    @classmethod
    def covers(cls, node: Node) -> bool:
        op, (a, b) = node.op, (t.type for t in node.inputs)
        assert isinstance(op, Add)
        shifts = [r.shift for r in op.requants(a, b)]
        return Broadcast(a.shape, b.shape).is_flat and max(shifts) <= 0

    def lower(self, node: Node) -> KernelCall:
        return replace(super().lower(node), unit=self.unit, kernel="add_mve_s8")

    def by_rows(self, node: Node) -> KernelCall | None:
        return row_of_equals(self.lower(node))
