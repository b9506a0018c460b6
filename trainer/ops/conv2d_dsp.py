# SPDX-License-Identifier: Apache-2.0
"""Convolutions and fully connected layers on cores with DSP instructions: the same bits, two
products in an instruction. Twin of firmware/kernels/conv2d_dsp.h."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mcutrain.trainer.graph.call import KernelCall, Scratch
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.ops.conv2d import Conv2D, CrossChannel
from mcutrain.trainer.ops.dsp import NEEDS, requant_table
from mcutrain.trainer.ops.fully_connected import FullyConnected

UNIT = "conv2d_dsp"
TURN = 4  # values that meet in a turn of the kernel's inner loop
TURN_BYTES = 16  # of scratch memory, for two positions


@dataclass(frozen=True)
class Conv2DDsp(Conv2D):
    """CONV_2D."""

    needs = NEEDS
    unit = UNIT

    @classmethod
    def covers(cls, node: Node) -> bool:
        return min(run_sizes(node)) >= TURN

    def lower(self, node: Node) -> KernelCall:
        return on_dsp(node, super().lower(node))

    def by_rows(self, node: Node) -> KernelCall | None:
        call = super().by_rows(node)
        return None if call is None else on_dsp(node, call)

    def scratch_bytes(self, node: Node) -> int:
        return windows_bytes(node)


@dataclass(frozen=True)
class FullyConnectedDsp(FullyConnected):
    """FULLY_CONNECTED."""

    needs = NEEDS
    unit = UNIT

    @classmethod
    def covers(cls, node: Node) -> bool:
        return min(run_sizes(node)) >= TURN

    def lower(self, node: Node) -> KernelCall:
        return on_dsp(node, super().lower(node))

    def scratch_bytes(self, node: Node) -> int:
        return windows_bytes(node)


def run_sizes(node: Node) -> list[int]:
    """Values that lie beside one another in a window: of the whole input, and of the channels
    that learn where only some do. Shorter ones than a turn are left to the portable kernel."""
    op = node.op
    assert isinstance(op, CrossChannel)
    g = op.geometry(*(t.type for t in node.inputs[:2]))
    channels = [g.in_ch, *([len(op.channels)] if op.channels else [])]
    return [g.kernel_w * count for count in channels]


def windows_bytes(node: Node) -> int:
    """The widened windows of two positions, and one that is gathered as it lies first."""
    op, runs = node.op, run_sizes(node)
    assert isinstance(op, CrossChannel)
    kernel_h = op.geometry(*(t.type for t in node.inputs[:2])).kernel_h
    windows = [kernel_h * run for run in runs]
    return sum(-(-size // TURN) * TURN_BYTES for size in windows) + max(windows)


def on_dsp(node: Node, call: KernelCall) -> KernelCall:
    """The call with the kernel's own table, and scratch memory before its output."""
    kernel = call.kernel.replace("conv2d_s8", "conv2d_dsp_s8")
    *args, _, _, out = call.args
    return replace(
        call, unit=UNIT, kernel=kernel, args=(*args, requant_table(node), Scratch(), out)
    )
