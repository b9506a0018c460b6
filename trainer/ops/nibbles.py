# SPDX-License-Identifier: Apache-2.0
"""Two weights in a byte: what the layers whose frozen weights lie as nibbles share.

A nibble is a weight within -8..7 as a two's complement of 4 bits. Which two share a byte, and in
which order bytes lie, is what each kernel reads fastest.
"""

from __future__ import annotations

from dataclasses import replace

from mcutrain.trainer.graph.call import KernelCall, Table
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, Role
from mcutrain.trainer.int4 import GREATEST, LEAST, paired
from mcutrain.trainer.ops.weighted import Weighted


def is_frozen_layer(node: Node) -> bool:
    """Whether it is a layer with weights of which none learn; its biases may."""
    op = node.op
    if not isinstance(op, Weighted) or op.channels is not None:
        return False
    w = node.inputs[1]
    return w.role is Role.CONST and w.data is not None


def fit_nibbles(node: Node) -> bool:
    """Whether all weights of a frozen layer lie within -8..7."""
    w = node.inputs[1].data
    assert w is not None
    return bool(w.min() >= LEAST and w.max() <= GREATEST)


def has_nibbles(node: Node) -> bool:
    """What a layer is, the weights of which can be nibbles."""
    return is_frozen_layer(node) and fit_nibbles(node)


def weights_of(node: Node) -> Array:
    """The weights of a frozen layer."""
    w = node.inputs[1].data
    assert w is not None
    return w


def nibbles_in_place(node: Node, call: KernelCall, unit: str, table: Array) -> KernelCall:
    """The portable call with the kernels of ``unit`` and this table in place of the weights: no
    learned channels."""
    x, _, b, _, _, *rest, multiplier, shift, out = call.args
    assert not any(rest)  # the table of the learned channels
    kernel = call.kernel.replace("conv2d_s8", "conv2d_nibbles_s8")
    args = (x, Table("nibbles", table), b, multiplier, shift, out)
    return replace(call, unit=unit, kernel=kernel, args=args)


def unpacked_bytes(node: Node) -> int:
    """Of scratch memory for the weights of a layer, in whole words."""
    return -(-weights_of(node).size // 4) * 4


def in_file_order(node: Node) -> Table:
    """All weights of a layer one after another."""
    return Table("nibbles", paired(weights_of(node).reshape(-1)))
