# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolution on cores with vectors of integers: the same bits, sixteen channels at a
time. Twin of firmware/kernels/depthwise_conv2d_mve.h."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.mve import NEEDS, shifts_right

NIBBLES_UNIT = "depthwise_conv2d_nibbles_mve"


@dataclass(frozen=True)
class DepthwiseConv2DMve(DepthwiseConv2D):
    """Of a multiplier of 1, where all channels learn or none."""

    needs = NEEDS
    unit = "depthwise_conv2d_mve"
    helpers = (NIBBLES_UNIT,)

    @classmethod
    def covers(cls, node: Node) -> bool:
        op, (x, w) = node.op, node.inputs[:2]
        assert isinstance(op, DepthwiseConv2D)
        is_whole = op.channels is None and x.type.shape[3] == w.type.shape[3]
        return is_whole and shifts_right(node)

    def lower(self, node: Node) -> KernelCall:
        return self._on_mve(super().lower(node))

    def by_rows(self, node: Node) -> KernelCall | None:
        call = super().by_rows(node)
        return None if call is None else self._on_mve(call)

    def _on_mve(self, call: KernelCall) -> KernelCall:
        """The call without the learned channels, of which there are none."""
        x, w, b, _, _, _, *rest = call.args
        kernel = call.kernel.replace("conv2d_s8", "conv2d_mve_s8")
        return replace(call, unit=self.unit, kernel=kernel, args=(x, w, b, *rest))
