# SPDX-License-Identifier: Apache-2.0
"""What the kernels for cores with vectors of integers share. Twin of firmware/mct/mve.h."""

from __future__ import annotations

from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.ops.weighted import Weighted

NEEDS = frozenset({"dsp", "mve"})  # no core has vectors without what DSP names


def shifts_right(node: Node) -> bool:
    """Whether no channel's scale is above 1: a vector requantises those that are not."""
    op = node.op
    assert isinstance(op, Weighted)
    return bool((op.requants(*(t.type for t in node.inputs[:2]))[1] <= 0).all())
