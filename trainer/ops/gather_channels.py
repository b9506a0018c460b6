# SPDX-License-Identifier: Apache-2.0
"""Copies the channels of a tensor that a layer learned in part reads and saves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.graph.call import KernelCall, Row, Table
from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Array, TensorType

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node


@dataclass(frozen=True)
class GatherChannels(Op):
    """x (.., C) s8 -> x_l (.., L) s8: the listed channels of rows of C. It passes no error on.

    x of another last dimension is read as rows of ``in_ch``, as FULLY_CONNECTED does.
    """

    channels: tuple[int, ...]
    in_ch: int

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        rows = x.shape[:-1] if x.shape[-1] == self.in_ch else (x.size // self.in_ch,)
        return (x.with_shape(*rows, len(self.channels)),)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        rows = inputs[0].reshape(-1, self.in_ch)
        return (rows[:, list(self.channels)].reshape(node.output.type.shape),)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        return {(0, 0): 0} if list(self.channels) == sorted(set(self.channels)) else {}

    def lower(self, node: Node) -> KernelCall:
        (x,) = node.inputs
        params = {
            "positions": x.type.size // self.in_ch,
            "in_ch": self.in_ch,
            "learned_ch": len(self.channels),
        }
        channels = Table("channel", np.array(self.channels, np.uint16))
        args = (x, channels, node.output)
        return KernelCall("gather_channels", "gather_channels_s8", "gather_channels", params, args)

    def by_rows(self, node: Node) -> KernelCall | None:
        (x,) = node.inputs
        if len(x.type.shape) != 4 or x.type.shape[-1] != self.in_ch:
            return None
        whole, height = self.lower(node), x.type.shape[1]
        args = (Row(x, height), *whole.args[1:-1], Row(node.output, height))
        params = {**whole.params, "positions": x.type.shape[2]}
        return replace(whole, params=params, args=args)
