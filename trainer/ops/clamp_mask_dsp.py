# SPDX-License-Identifier: Apache-2.0
"""Clamp masks on cores with DSP instructions: the same bits, four elements at a time.
Twin of firmware/kernels/clamp_mask_dsp.h."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.ops.clamp_mask import ClampMask
from mcutrain.trainer.ops.dsp import NEEDS


@dataclass(frozen=True)
class ClampMaskDsp(ClampMask):
    """Of limits between which an int8 can lie."""

    needs = NEEDS
    unit = "clamp_mask_dsp"

    @classmethod
    def covers(cls, node: Node) -> bool:
        assert isinstance(node.op, ClampMask)
        least, most = node.op.x_limits
        return least < 127 and most > -128

    def lower(self, node: Node) -> KernelCall:
        return replace(super().lower(node), unit=self.unit, kernel="clamp_mask_dsp_s8")
