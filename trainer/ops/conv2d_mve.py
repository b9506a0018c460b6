# SPDX-License-Identifier: Apache-2.0
"""Convolutions and fully connected layers on cores with vectors of integers: the same bits, sixteen
products in an instruction. Twin of firmware/kernels/conv2d_mve.h."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mcutrain.trainer.graph.call import KernelCall, Scratch
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.ops.conv2d import Conv2D, CrossChannel
from mcutrain.trainer.ops.fully_connected import FullyConnected
from mcutrain.trainer.ops.mve import NEEDS, shifts_right

UNIT = "conv2d_mve"
NIBBLES_UNIT = "conv2d_nibbles_mve"


@dataclass(frozen=True)
class Conv2DMve(Conv2D):
    """CONV_2D."""

    needs = NEEDS
    unit = UNIT
    helpers = (NIBBLES_UNIT,)

    @classmethod
    def covers(cls, node: Node) -> bool:
        return shifts_right(node)

    def lower(self, node: Node) -> KernelCall:
        return on_mve(node, super().lower(node))

    def by_rows(self, node: Node) -> KernelCall | None:
        call = super().by_rows(node)
        return None if call is None else on_mve(node, call)

    def scratch_bytes(self, node: Node) -> int:
        return bases_and_windows_bytes(node)


@dataclass(frozen=True)
class FullyConnectedMve(FullyConnected):
    """FULLY_CONNECTED."""

    needs = NEEDS
    unit = UNIT
    helpers = (NIBBLES_UNIT,)

    @classmethod
    def covers(cls, node: Node) -> bool:
        return shifts_right(node)

    def lower(self, node: Node) -> KernelCall:
        return on_mve(node, super().lower(node))

    def scratch_bytes(self, node: Node) -> int:
        return bases_and_windows_bytes(node)


def bases_and_windows_bytes(node: Node) -> int:
    """A word for each filter and two windows; of rows of one output a window, if it is copied."""
    op = node.op
    assert isinstance(op, CrossChannel)
    g = op.geometry(*(t.type for t in node.inputs[:2]))
    taps = g.kernel_h * g.kernel_w
    window = taps * (g.in_ch + len(op.channels or ()))
    if max(g.out_w, g.in_one_row().out_w) > 1:  # by rows, or whole
        return 4 * g.out_ch + 2 * window
    return window if taps > 1 else 0


def on_mve(node: Node, call: KernelCall) -> KernelCall:
    """The call with scratch memory, if it takes any, before its output."""
    kernel = call.kernel.replace("conv2d_s8", "conv2d_mve_s8")
    *args, out = call.args
    scratch = Scratch() if node.op.scratch_bytes(node) else None
    return replace(call, unit=UNIT, kernel=kernel, args=(*args, scratch, out))
