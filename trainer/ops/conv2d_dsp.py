# SPDX-License-Identifier: Apache-2.0
"""Convolutions and fully connected layers on cores with DSP instructions: the same bits, two
products in an instruction. Twin of firmware/kernels/conv2d_dsp.h."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mcutrain.trainer.graph.call import KernelCall, Scratch, Table
from mcutrain.trainer.graph.op import Layout, Node
from mcutrain.trainer.ops.conv2d import Conv2D, CrossChannel
from mcutrain.trainer.ops.dsp import NEEDS, requant_table
from mcutrain.trainer.ops.filters_dsp import TURN, TURN_BYTES, packed_turns, packed_weights
from mcutrain.trainer.ops.filters_nibbles_dsp import nibble_words
from mcutrain.trainer.ops.fully_connected import FullyConnected
from mcutrain.trainer.ops.nibbles import has_nibbles, is_frozen_layer

UNIT = "conv2d_dsp"
HELPERS = ("filters_dsp", "filters_nibbles_dsp")


@dataclass(frozen=True)
class Conv2DDsp(Conv2D):
    """CONV_2D."""

    needs = NEEDS
    unit = UNIT
    helpers = HELPERS

    @classmethod
    def covers(cls, node: Node) -> bool:
        return min(window_sizes(node)) >= TURN

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
    helpers = HELPERS

    @classmethod
    def covers(cls, node: Node) -> bool:
        return min(window_sizes(node)) >= TURN

    def lower(self, node: Node) -> KernelCall:
        return on_dsp(node, super().lower(node))

    def scratch_bytes(self, node: Node) -> int:
        return windows_bytes(node)


@dataclass(frozen=True)
class Conv2DPackedDsp(Conv2DDsp):
    """CONV_2D of frozen weights that are packed."""

    layout = Layout.PACKED

    @classmethod
    def covers(cls, node: Node) -> bool:
        return super().covers(node) and is_frozen_layer(node)

    def lower(self, node: Node) -> KernelCall:
        return with_packed_weights(node, super().lower(node))

    def by_rows(self, node: Node) -> KernelCall | None:
        call = super().by_rows(node)
        return None if call is None else with_packed_weights(node, call)

    def scratch_bytes(self, node: Node) -> int:
        return packed_windows_bytes(node)

    def packing_saves(self, node: Node) -> int:
        return self.macs(node) // 4


@dataclass(frozen=True)
class FullyConnectedPackedDsp(FullyConnectedDsp):
    """FULLY_CONNECTED with frozen weights that are packed."""

    layout = Layout.PACKED

    @classmethod
    def covers(cls, node: Node) -> bool:
        return super().covers(node) and is_frozen_layer(node)

    def lower(self, node: Node) -> KernelCall:
        return with_packed_weights(node, super().lower(node))

    def scratch_bytes(self, node: Node) -> int:
        return packed_windows_bytes(node)

    def packing_saves(self, node: Node) -> int:
        return self.macs(node) // 2


@dataclass(frozen=True)
class Conv2DNibblesDsp(Conv2DDsp):
    """CONV_2D of frozen weights that are nibbles."""

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
        return packed_windows_bytes(node)


@dataclass(frozen=True)
class FullyConnectedNibblesDsp(FullyConnectedDsp):
    """FULLY_CONNECTED with frozen weights that are nibbles."""

    layout = Layout.NIBBLES

    @classmethod
    def covers(cls, node: Node) -> bool:
        return super().covers(node) and has_nibbles(node)

    def lower(self, node: Node) -> KernelCall:
        return with_nibbles(node, super().lower(node))

    def scratch_bytes(self, node: Node) -> int:
        return packed_windows_bytes(node)


def window_sizes(node: Node) -> list[int]:
    """Values of a window: of the whole input, and of the channels that learn where only some do.
    Fewer than a turn has are left to the portable kernel."""
    op = node.op
    assert isinstance(op, CrossChannel)
    g = op.geometry(*(t.type for t in node.inputs[:2]))
    channels = [g.in_ch, *([len(op.channels)] if op.channels else [])]
    return [g.kernel_h * g.kernel_w * count for count in channels]


def windows_bytes(node: Node) -> int:
    """The widened windows of two positions, and one that is gathered as it lies first."""
    sizes = window_sizes(node)
    return sum(-(-size // TURN) * TURN_BYTES for size in sizes) + max(sizes)


def on_dsp(node: Node, call: KernelCall) -> KernelCall:
    """The call with the kernel's own table, and scratch memory before its output."""
    kernel = call.kernel.replace("conv2d_s8", "conv2d_dsp_s8")
    *args, _, _, out = call.args
    return replace(
        call, unit=UNIT, kernel=kernel, args=(*args, requant_table(node), Scratch(), out)
    )


def packed_windows_bytes(node: Node) -> int:
    """As ``windows_bytes``, of an even number of turns."""
    size = node.inputs[1].type.size // node.output.type.shape[-1]
    return packed_turns(size) * TURN_BYTES + size


def with_packed_weights(node: Node, call: KernelCall) -> KernelCall:
    """The call of the kernels for packed weights."""
    return with_weights(call, "packed", packed_weights(node.inputs[1]))


def with_nibbles(node: Node, call: KernelCall) -> KernelCall:
    """The call of the kernels for nibbles."""
    return with_weights(call, "nibbles", nibble_words(node.inputs[1]))


def with_weights(call: KernelCall, layout: str, weights: Table) -> KernelCall:
    """The call of the kernels for weights in this layout: no x_l and w_l."""
    x, _, b, _, _, *rest = call.args
    kernel = call.kernel.replace("conv2d_dsp_s8", f"conv2d_{layout}_dsp_s8")
    return replace(call, kernel=kernel, args=(x, weights, b, *rest))
