# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolution whose frozen weights are nibbles, on cores with vectors of
integers.
Twin of firmware/kernels/depthwise_conv2d_nibbles_mve.h."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mcutrain.trainer.graph.call import KernelCall, Scratch
from mcutrain.trainer.graph.op import Layout, Node
from mcutrain.trainer.ops.depthwise_conv2d_mve import NIBBLES_UNIT, DepthwiseConv2DMve
from mcutrain.trainer.ops.nibbles import has_nibbles, in_file_order, unpacked_bytes


@dataclass(frozen=True)
class DepthwiseConv2DNibblesMve(DepthwiseConv2DMve):
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
        return unpacked_bytes(node)


def with_nibbles(node: Node, call: KernelCall) -> KernelCall:
    """The call with a table in place of the weights, and scratch memory before its output."""
    x, _, *rest, out = call.args
    kernel = call.kernel.replace("conv2d_mve_s8", "conv2d_nibbles_mve_s8")
    args = (x, in_file_order(node), *rest, Scratch(), out)
    return replace(call, unit=NIBBLES_UNIT, kernel=kernel, args=args)
