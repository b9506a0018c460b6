# SPDX-License-Identifier: Apache-2.0
"""Errors of depthwise layers on cores with DSP instructions: the same bits, four channels at a
time. Twin of firmware/kernels/depthwise_conv2d_backward_dsp.h."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mcutrain.trainer.graph.call import ByChannels, KernelCall
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2DGradInput
from mcutrain.trainer.ops.dsp import NEEDS

CHANNELS = 4  # that are summed side by side
MOST_TAPS = 49  # that the kernel's list has room for


@dataclass(frozen=True)
class DepthwiseConv2DGradInputDsp(DepthwiseConv2DGradInput):
    """Of a multiplier of 1, frozen weights, and as many channels as are summed side by side."""

    needs = NEEDS
    unit = "depthwise_conv2d_backward_dsp"

    @classmethod
    def covers(cls, node: Node) -> bool:
        op = node.op
        assert isinstance(op, DepthwiseConv2DGradInput)
        _, kernel_h, kernel_w, out_ch = node.inputs[2].type.shape
        is_long = CHANNELS <= op.x.shape[-1] == out_ch
        return is_long and not op.layer.channels and kernel_h * kernel_w <= MOST_TAPS

    def lower(self, node: Node) -> KernelCall:
        return self._on_dsp(super().lower(node))

    def by_channels(self, node: Node) -> ByChannels | None:
        parts = super().by_channels(node)
        return None if parts is None else replace(parts, part=self._on_dsp(parts.part))

    def _on_dsp(self, call: KernelCall) -> KernelCall:
        """The call with this unit's kernel of the same arguments."""
        kernel = call.kernel.removeprefix("depthwise_conv2d_")
        return replace(call, unit=self.unit, kernel=f"{self.unit}_{kernel}")
