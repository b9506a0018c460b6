# SPDX-License-Identifier: Apache-2.0
"""Copies the channels of a tensor that a layer learned in part reads and saves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainer.ops.base import KernelCall, Op, Table
from trainer.tensor import Array, TensorType

if TYPE_CHECKING:
    from trainer.graph import Node


@dataclass(frozen=True)
class GatherChannels(Op):
    """x (.., C) s8 -> x_l (.., L) s8: the listed channels. It passes no error on."""

    channels: tuple[int, ...]

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        if max(self.channels) >= x.shape[-1]:
            raise ValueError(f"channel {max(self.channels)} of {x.shape[-1]}")
        return (x.with_shape(*x.shape[:-1], len(self.channels)),)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return (inputs[0][..., list(self.channels)],)

    def lower(self, node: Node) -> KernelCall:
        (x,) = node.inputs
        params = {
            "positions": x.type.size // x.type.shape[-1],
            "in_ch": x.type.shape[-1],
            "learned_ch": len(self.channels),
        }
        channels = Table("channel", np.array(self.channels, np.uint16))
        args = (x, channels, node.output)
        return KernelCall("gather_channels", "gather_channels_s8", "gather_channels", params, args)
