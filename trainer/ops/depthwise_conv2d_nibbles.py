# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolution whose frozen weights are nibbles: the same bits, in half the flash. Twin of
firmware/kernels/depthwise_conv2d_nibbles.h."""

from __future__ import annotations

from dataclasses import dataclass

from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.op import Layout, Node
from mcutrain.trainer.int4 import paired
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.nibbles import has_nibbles, nibbles_in_place, weights_of

UNIT = "depthwise_conv2d_nibbles"


@dataclass(frozen=True)
class DepthwiseConv2DNibbles(DepthwiseConv2D):
    """DEPTHWISE_CONV_2D."""

    layout = Layout.NIBBLES

    @classmethod
    def covers(cls, node: Node) -> bool:
        return has_nibbles(node)

    def lower(self, node: Node) -> KernelCall:
        return of_channels(node, super().lower(node))

    def by_rows(self, node: Node) -> KernelCall | None:
        call = super().by_rows(node)
        return None if call is None else of_channels(node, call)


def of_channels(node: Node, call: KernelCall) -> KernelCall:
    """The call with a table (1, KH, KW, ceil(O / 2)) u8: in a byte a tap of two channels."""
    return nibbles_in_place(node, call, UNIT, paired(weights_of(node)))
