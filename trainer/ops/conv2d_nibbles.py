# SPDX-License-Identifier: Apache-2.0
"""Convolutions and fully connected layers whose frozen weights are nibbles: the same bits, in half
the flash. Twin of firmware/kernels/conv2d_nibbles.h."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.op import Layout, Node
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.int4 import paired
from mcutrain.trainer.ops.conv2d import Conv2D
from mcutrain.trainer.ops.fully_connected import FullyConnected
from mcutrain.trainer.ops.nibbles import has_nibbles, nibbles_in_place, weights_of

UNIT = "conv2d_nibbles"
ADDED = np.uint8(8)  # modulo 16


@dataclass(frozen=True)
class Conv2DNibbles(Conv2D):
    """CONV_2D."""

    layout = Layout.NIBBLES

    @classmethod
    def covers(cls, node: Node) -> bool:
        return has_nibbles(node)

    def lower(self, node: Node) -> KernelCall:
        return of_pairs(node, super().lower(node))

    def by_rows(self, node: Node) -> KernelCall | None:
        call = super().by_rows(node)
        return None if call is None else of_pairs(node, call)


@dataclass(frozen=True)
class FullyConnectedNibbles(FullyConnected):
    """FULLY_CONNECTED."""

    layout = Layout.NIBBLES

    @classmethod
    def covers(cls, node: Node) -> bool:
        return has_nibbles(node)

    def lower(self, node: Node) -> KernelCall:
        return of_pairs(node, super().lower(node))


def of_pairs(node: Node, call: KernelCall) -> KernelCall:
    return nibbles_in_place(node, call, UNIT, filter_pairs(weights_of(node)))


def filter_pairs(w: Array) -> Array:
    """(ceil(O / 2), K) u8 of w (O, ..) s8: in a byte the same weight of two filters, and 8 added to
    that of the first."""
    filters = w.reshape(len(w), -1)
    return np.ascontiguousarray(paired(filters.T).T ^ ADDED)
