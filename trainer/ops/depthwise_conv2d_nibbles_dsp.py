# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolution whose frozen weights are nibbles, on cores with DSP instructions.
Twin of firmware/kernels/depthwise_conv2d_nibbles_dsp.h."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.op import Layout, Node
from mcutrain.trainer.ops.depthwise_conv2d_dsp import NIBBLES_UNIT, DepthwiseConv2DDsp
from mcutrain.trainer.ops.nibbles import has_nibbles, in_file_order, unpacked_bytes


@dataclass(frozen=True)
class DepthwiseConv2DNibblesDsp(DepthwiseConv2DDsp):
    """With frozen weights that are nibbles: they are unpacked into scratch memory."""

    layout = Layout.NIBBLES

    @classmethod
    def covers(cls, node: Node) -> bool:
        return super().covers(node) and has_nibbles(node)

    def lower(self, node: Node) -> KernelCall:
        return with_nibbles(node, super().lower(node))

    def by_rows(self, node: Node) -> KernelCall | None:
        call = super().by_rows(node)
        return None if call is None else with_nibbles(node, call)

    def scratch_bytes(self, node: Node) -> int:
        return unpacked_bytes(node) + super().scratch_bytes(node)


def with_nibbles(node: Node, call: KernelCall) -> KernelCall:
    """The call with a table in place of the weights: no channels learn alone."""
    x, _, b, _, _, *rest = call.args
    kernel = call.kernel.replace("conv2d_dsp_s8", "conv2d_nibbles_dsp_s8")
    args = (x, in_file_order(node), b, *rest)
    return replace(call, unit=NIBBLES_UNIT, kernel=kernel, args=args)
