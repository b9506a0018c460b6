# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolution on cores with DSP instructions: the same bits, four channels at a time.
Twin of firmware/kernels/depthwise_conv2d_dsp.h."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.dsp import NEEDS, requant_table


@dataclass(frozen=True)
class DepthwiseConv2DDsp(DepthwiseConv2D):
    """Of a multiplier of 1, where all channels learn or none."""

    needs = NEEDS
    unit = "depthwise_conv2d_dsp"

    @classmethod
    def covers(cls, node: Node) -> bool:
        op, (x, w) = node.op, node.inputs[:2]
        assert isinstance(op, DepthwiseConv2D)
        return op.channels is None and x.type.shape[3] == w.type.shape[3]

    def lower(self, node: Node) -> KernelCall:
        return self._on_dsp(node, super().lower(node))

    def by_rows(self, node: Node) -> KernelCall | None:
        call = super().by_rows(node)
        return None if call is None else self._on_dsp(node, call)

    def _on_dsp(self, node: Node, call: KernelCall) -> KernelCall:
        """The call without the learned channels, of which there are none."""
        x, w, b, _, _, _, _, _, out = call.args
        kernel = call.kernel.replace("conv2d_s8", "conv2d_dsp_s8")
        return replace(
            call, unit=self.unit, kernel=kernel, args=(x, w, b, requant_table(node), out)
        )
