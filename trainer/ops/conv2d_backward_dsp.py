# SPDX-License-Identifier: Apache-2.0
"""Errors and updates of convolutions on cores with DSP instructions: the same bits, two products in
an instruction. Twin of firmware/kernels/conv2d_backward_dsp.h."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mcutrain.trainer.graph.call import ByChannels, KernelCall
from mcutrain.trainer.graph.op import Halves, Node
from mcutrain.trainer.graph.tensor import TensorType
from mcutrain.trainer.ops.conv2d import Conv2DGradInput, Conv2DGradSums, Conv2DUpdate
from mcutrain.trainer.ops.dsp import NEEDS

UNIT = "conv2d_backward_dsp"
TURN = 4  # channels that meet in a turn of the kernels' inner loop
TOGETHER = 2  # positions or filters whose sums are made at once


@dataclass(frozen=True)
class Conv2DGradInputDsp(Conv2DGradInput):
    """Of more than one position."""

    needs = NEEDS
    unit = UNIT

    @classmethod
    def covers(cls, node: Node) -> bool:
        op = node.op
        assert isinstance(op, Conv2DGradInput)
        return is_long(op.x, node.inputs[2].type)

    def lower(self, node: Node) -> KernelCall:
        return on_dsp(super().lower(node))

    def by_channels(self, node: Node) -> ByChannels | None:
        parts = super().by_channels(node)
        if parts is None:
            return None
        scratch, each = TOGETHER * parts.scratch_bytes, TOGETHER * parts.per_channel
        return replace(parts, part=on_dsp(parts.part), scratch_bytes=scratch, per_channel=each)

    def halves(self, node: Node) -> Halves | None:
        halves = super().halves(node)
        sums = Conv2DGradSumsDsp(self.layer, self.x)
        return None if halves is None else halves._replace(first=sums)

    def scratch_bytes(self, node: Node) -> int:
        return TOGETHER * super().scratch_bytes(node)


@dataclass(frozen=True)
class Conv2DGradSumsDsp(Conv2DGradSums):
    """Of more than one position."""

    needs = NEEDS
    unit = UNIT

    @classmethod
    def covers(cls, node: Node) -> bool:
        op = node.op
        assert isinstance(op, Conv2DGradSums)
        return is_long(op.x, node.inputs[1].type)

    def lower(self, node: Node) -> KernelCall:
        return on_dsp(super().lower(node))

    def by_channels(self, node: Node) -> ByChannels | None:
        parts = super().by_channels(node)
        return None if parts is None else replace(parts, part=on_dsp(parts.part))

    def scratch_bytes(self, node: Node) -> int:
        return TOGETHER * super().scratch_bytes(node)


@dataclass(frozen=True)
class Conv2DUpdateDsp(Conv2DUpdate):
    """Of more than one position: with one, a gradient is one product."""

    needs = NEEDS
    unit = UNIT

    @classmethod
    def covers(cls, node: Node) -> bool:
        op = node.op
        assert isinstance(op, Conv2DUpdate)
        w, dout = node.inputs[0].type, node.inputs[op.position + 1].type
        return w.shape[-1] >= TURN and dout.size > dout.shape[-1]

    def lower(self, node: Node) -> KernelCall:
        return on_dsp(super().lower(node))

    def scratch_bytes(self, node: Node) -> int:
        return TOGETHER * super().scratch_bytes(node)


def is_long(x: TensorType, w: TensorType) -> bool:
    """Whether errors of x have two positions, and channels for a turn."""
    return w.shape[-1] >= TURN and x.size > w.shape[-1]


def on_dsp(call: KernelCall) -> KernelCall:
    """The call with this unit's kernel of the same arguments."""
    kernel = call.kernel.removeprefix("conv2d_")
    return replace(call, unit=UNIT, kernel=f"{UNIT}_{kernel}")
