# SPDX-License-Identifier: Apache-2.0
"""Convolutions and fully connected layers whose frozen weights are nibbles, on cores with vectors.
Twin of firmware/kernels/conv2d_nibbles_mve.h."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mcutrain.trainer.graph.call import KernelCall, Table
from mcutrain.trainer.graph.op import Layout, Node
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.int4 import paired
from mcutrain.trainer.ops.conv2d_mve import NIBBLES_UNIT, Conv2DMve, FullyConnectedMve
from mcutrain.trainer.ops.nibbles import has_nibbles, weights_of

BLOCK = 32  # weights that two vectors hold


@dataclass(frozen=True)
class Conv2DNibblesMve(Conv2DMve):
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


@dataclass(frozen=True)
class FullyConnectedNibblesMve(FullyConnectedMve):
    """FULLY_CONNECTED with frozen weights that are nibbles."""

    layout = Layout.NIBBLES

    @classmethod
    def covers(cls, node: Node) -> bool:
        return super().covers(node) and has_nibbles(node)

    def lower(self, node: Node) -> KernelCall:
        return with_nibbles(node, super().lower(node))


def with_nibbles(node: Node, call: KernelCall) -> KernelCall:
    """The call of the kernels for nibbles: no x_l and w_l."""
    x, _, b, _, _, *rest = call.args
    table = Table("nibbles", filters_in_blocks(weights_of(node)))
    kernel = call.kernel.replace("conv2d_mve_s8", "conv2d_nibbles_mve_s8")
    return replace(call, unit=NIBBLES_UNIT, kernel=kernel, args=(x, table, b, *rest))


def filters_in_blocks(w: Array) -> Array:
    """(O, ceil(K / 2)) u8 of w (O, ..) s8. Of each whole block of 32 weights, weights k and 16 + k
    share a byte; of the rest those beside one another."""
    filters = w.reshape(len(w), -1)
    whole = filters.shape[1] // BLOCK * BLOCK
    blocks = filters[:, :whole].reshape(len(w), -1, 2, BLOCK // 2).transpose(0, 1, 3, 2)
    rest = paired(filters[:, whole:])
    return np.concatenate([paired(blocks).reshape(len(w), -1), rest], axis=1)
