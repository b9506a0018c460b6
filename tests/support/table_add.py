# SPDX-License-Identifier: Apache-2.0
"""A second way to compute ADD, for chips with a feature that only tests have.

It asks for all that a variant may ask for: tables of its own in flash, scratch memory, and another
order of reading and writing. Twin of tests/support/table_add_firmware/kernels/add_table.h.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.chip import Chip
from mcutrain.trainer.fixedpoint import Requant, requantize
from mcutrain.trainer.graph.call import KernelCall, Scratch, Table
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.ops.add import LEFT_SHIFT, Add
from mcutrain.trainer.ops.broadcast import Broadcast
from tests.support.paths import ROOT

FEATURE = "tables"
CHIP = Chip("a chip of the tests", frozenset({FEATURE}))
OWN = ROOT / "tests" / "support" / "table_add_firmware"  # its kernels, as they would lie in ours
WITH_IT = (f"-I{OWN}", str(OWN / "kernels" / "add_table.c"))  # flags of a NativeModel


@dataclass(frozen=True)
class TableAdd(Add):
    """Of operands of one shape: their terms are looked up, those of b first, from the end on."""

    needs = frozenset({FEATURE})
    unit = "add_table"

    @classmethod
    def covers(cls, node: Node) -> bool:
        a, b = node.inputs
        return Broadcast(a.type.shape, b.type.shape).is_flat

    def lower(self, node: Node) -> KernelCall:
        a, b = node.inputs
        a_factor, b_factor, out_factor = self.requants(a.type, b.type)
        params = {
            "size": a.type.size,
            "out_offset": self.out_quant.zero_point,
            "out_multiplier": out_factor.multiplier,
            "out_shift": out_factor.shift,
            "act_min": self.act_min,
            "act_max": self.act_max,
        }
        tables = (
            Table("a_terms", terms(a.type, a_factor)),
            Table("b_terms", terms(b.type, b_factor)),
        )
        args = (a, b, *tables, Scratch(), node.output)
        return KernelCall(self.unit, "add_table_s8", "add_table", params, args)

    def by_rows(self, node: Node) -> KernelCall | None:
        return None

    def scratch_bytes(self, node: Node) -> int:
        return 4 * node.output.type.size

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        """b has been read when the output is written, from its end on; a is read then."""
        return {(0, 1): 0}


def terms(x: TensorType, factor: Requant) -> Array:
    """(256,) s32: the term of each value of an operand, by its byte."""
    value = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.int64)
    shifted = (value - x.zero_point) << LEFT_SHIFT
    return requantize(shifted, factor.multiplier, factor.shift).astype(np.int32)
