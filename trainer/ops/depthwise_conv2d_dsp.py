# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolution on cores with DSP instructions: the same bits, four channels at a time.
Twin of firmware/kernels/depthwise_conv2d_dsp.h."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mcutrain.trainer.graph.call import KernelCall, Scratch
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.dsp import NEEDS, requant_table
from mcutrain.trainer.ops.window import Geometry

NIBBLES_UNIT = "depthwise_conv2d_nibbles_dsp"
CHANNELS = 4  # that are summed side by side
TAP_BYTES = 8  # of scratch memory, for the weights of a tap
PAIR_BYTES = 16  # of two values of the input, one below the other, in these channels
FEW_ROWS = 3  # of windows of which the columns of one position are widened at once
POSITIONS = 8  # of other windows


@dataclass(frozen=True)
class DepthwiseConv2DDsp(DepthwiseConv2D):
    """Of a multiplier of 1, and as many channels as are summed side by side."""

    needs = NEEDS
    unit = "depthwise_conv2d_dsp"
    helpers = (NIBBLES_UNIT,)

    @classmethod
    def covers(cls, node: Node) -> bool:
        x, w = node.inputs[:2]
        return CHANNELS <= x.type.shape[3] == w.type.shape[3]

    def lower(self, node: Node) -> KernelCall:
        return self._on_dsp(node, super().lower(node))

    def by_rows(self, node: Node) -> KernelCall | None:
        call = super().by_rows(node)
        return None if call is None else self._on_dsp(node, call)

    def scratch_bytes(self, node: Node) -> int:
        g = self.geometry(*(t.type for t in node.inputs[:2]))
        return max(window_bytes(g), window_bytes(g.in_one_row()))  # by rows, or whole

    def _on_dsp(self, node: Node, call: KernelCall) -> KernelCall:
        """The call without the channels gathered of x: it reads them there."""
        x, w, b, _, w_l, channel, _, _, out = call.args
        kernel = call.kernel.replace("conv2d_s8", "conv2d_dsp_s8")
        args = (x, w, b, w_l, channel, requant_table(node), Scratch(), out)
        return replace(call, unit=self.unit, kernel=kernel, args=args)


def window_bytes(g: Geometry) -> int:
    """Weights, columns of some positions, and outputs of the channels that make no four."""
    positions = min(POSITIONS, g.out_w) if g.kernel_h > FEW_ROWS else 1
    columns = (positions - 1) * g.stride_w + g.kernel_w
    held = CHANNELS * POSITIONS if g.in_ch % CHANNELS else 0
    weights = TAP_BYTES * g.kernel_h * g.kernel_w
    return weights + PAIR_BYTES * (g.kernel_h // 2) * columns + held
