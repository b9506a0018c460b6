# SPDX-License-Identifier: Apache-2.0
"""What the kernels for cores with DSP instructions share. Twin of firmware/mct/dsp.h."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.graph.call import Table
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.ops.weighted import Weighted

NEEDS = frozenset({"dsp"})
MOST_RIGHT = 22  # |offset| 2**right and the scaled sum fit 32 bits together


def requant_table(node: Node) -> Table:
    """(O, 4) s32 of a layer: multiplier, rounding, shift to the right, offset. A shift of 0 marks
    a channel whose scale has another form; its rounding is TFLite's shift."""
    op = node.op
    assert isinstance(op, Weighted)
    multiplier, shift = op.requants(*(t.type for t in node.inputs[:2]))
    right = -shift.astype(np.int64)
    is_fast = (right >= 1) & (right <= MOST_RIGHT)
    safe = np.where(is_fast, right, 1)
    rounding = (1 << (safe - 1)) + (op.out_quant.zero_point << safe)
    columns = (
        multiplier,
        np.where(is_fast, rounding, shift),
        np.where(is_fast, right, 0),
        np.full(len(right), op.out_quant.zero_point),
    )
    return Table("requant", np.stack(columns, axis=1).astype(np.int32))
