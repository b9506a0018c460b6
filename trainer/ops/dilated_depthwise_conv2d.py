# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolution with dilation, the gradient of its input, and its update in place.

As ``trainer.ops.depthwise_conv2d``, of taps that lie apart (``trainer.ops.spacing``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcutrain.trainer.graph.call import ByChannels, KernelCall
from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Tensor, TensorType
from mcutrain.trainer.ops.depthwise_conv2d import (
    DepthwiseConv2D,
    DepthwiseConv2DGradInput,
    DepthwiseConv2DUpdate,
)
from mcutrain.trainer.ops.error import RawError
from mcutrain.trainer.ops.spacing import DilatedGeometry, of_unit
from mcutrain.trainer.ops.window import MAX_KERNEL_H

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node

UNIT = "dilated_depthwise_conv2d"


@dataclass(frozen=True)
class DilatedDepthwiseConv2D(DepthwiseConv2D):
    """x (1, H, W, I) s8, w (1, KH, KW, I*M) s8[, b (I*M,) s32] -> out (1, H', W', I*M) s8."""

    is_spaced = True
    dilation: tuple[int, int] = (1, 1)

    def geometry(self, x: TensorType, w: TensorType) -> DilatedGeometry:
        return DilatedGeometry(**vars(super().geometry(x, w)), **self.spacing())

    def spacing(self) -> dict[str, int]:
        """What the geometry has beyond that of dense windows."""
        return {"dilation_h": self.dilation[0], "dilation_w": self.dilation[1]}

    def grad_input(self, x: Tensor) -> RawError:
        return DilatedDepthwiseConv2DGradInput(self, x.type)

    def weight_update(
        self, x: Tensor, w: Tensor, *, has_fraction: bool = True, has_input_shifts: bool = False
    ) -> Op:
        dense = super().weight_update(
            x, w, has_fraction=has_fraction, has_input_shifts=has_input_shifts
        )
        return DilatedDepthwiseConv2DUpdate(**vars(dense))

    def lower(self, node: Node) -> KernelCall:
        return of_unit(super().lower(node), UNIT)

    def by_rows(self, node: Node) -> KernelCall | None:
        """If the rows that an output row reads, and those between them, are not too many."""
        g = self.geometry(*(t.type for t in node.inputs[:2]))
        call = super().by_rows(node)
        return of_unit(call, UNIT) if call and g.span[0] <= MAX_KERNEL_H else None


@dataclass(frozen=True)
class DilatedDepthwiseConv2DGradInput(DepthwiseConv2DGradInput):
    """dout, dout_e s16, w s8[, w_l s8], mask of x, history s16[, sgd] -> dx, dx_e s16."""

    def lower(self, node: Node) -> KernelCall:
        return of_unit(super().lower(node), UNIT)

    def by_channels(self, node: Node) -> ByChannels | None:
        return None


@dataclass(frozen=True)
class DilatedDepthwiseConv2DUpdate(DepthwiseConv2DUpdate):
    """w s8 and frac s8 in place, x s8, dout, dout_e s16, sgd u32: w -= lr * dw."""

    def lower(self, node: Node) -> KernelCall:
        return of_unit(super().lower(node), UNIT)

    def by_channels(self, node: Node) -> ByChannels | None:
        return None
