# SPDX-License-Identifier: Apache-2.0
"""2-D convolution with dilation and groups of channels, its input gradient, its update in place.

Forward, in reals: out[y, x, o] = b[o] + sum x[.., g*I+i] * w[o, ky, kx, i], where o is a filter
of group g of I channels, and taps read what ``trainer.ops.spacing`` says (TFLite quantisation
specification, CONV_2D). A layer without groups can be learned in part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.graph.call import ByChannels, KernelCall
from mcutrain.trainer.graph.op import Halves, Op
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType
from mcutrain.trainer.ops.conv2d import (
    Conv2D,
    Conv2DGradInput,
    Conv2DUpdate,
    correlate,
    folded,
    scatter,
)
from mcutrain.trainer.ops.error import RawError, error_types, format_of
from mcutrain.trainer.ops.spacing import SpacedGeometry, of_unit
from mcutrain.trainer.ops.window import MAX_KERNEL_H, Geometry

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node

UNIT = "spaced_conv2d"


@dataclass(frozen=True)
class SpacedConv2D(Conv2D):
    """x (1, H, W, G*I) s8, w (O, KH, KW, I) s8[, b (O,) s32][, x_l, w_l] -> out s8."""

    is_spaced = True
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def learns_in_part(self) -> bool:
        return self.groups == 1

    def filter_groups(self) -> int:
        return self.groups

    def geometry(self, x: TensorType, w: TensorType) -> SpacedGeometry:
        dense = super().geometry(x, w)
        return SpacedGeometry(**vars(dense), **self.spacing())

    def spacing(self) -> dict[str, int]:
        """What the geometry has beyond that of dense windows."""
        dilation_h, dilation_w = self.dilation
        return {
            "dilation_h": dilation_h, "dilation_w": dilation_w, "spread_h": 1, "spread_w": 1,
            "groups": self.groups,
        }  # fmt: skip

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        x, w = types[:2]
        if w.shape[0] % self.groups:
            raise ValueError(f"{w.shape[0]} filters in {self.groups} groups")
        of_group = x.with_shape(*x.shape[:-1], x.shape[-1] // self.groups)
        if self.groups > 1 and of_group.size * self.groups != x.size:
            raise ValueError(f"{x.shape[-1]} channels in {self.groups} groups")
        return super().infer(of_group, *types[1:])

    def channel_scores(self, x: TensorType, w: Tensor) -> Array:
        assert w.data is not None
        squares = (w.data.astype(np.int64) ** 2).sum(axis=(1, 2))
        weighted = squares * self.filter_weights(w.type)[:, None]
        return np.asarray(weighted.reshape(self.groups, -1, w.type.shape[-1]).sum(axis=1).ravel())

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        x, w = inputs[:2]
        g, zero_point = self.windows(node), node.inputs[0].type.zero_point
        assert isinstance(g, SpacedGeometry)
        w = self.whole_weights(node.inputs[0].type, w, inputs[-1])
        x = x.reshape(g.in_h, g.in_w, g.in_ch)
        sums = [
            correlate(group, x[..., ins], w[outs], zero_point) for group, ins, outs in g.of_groups()
        ]
        return (self.requantized(node, np.concatenate(sums, axis=2), inputs),)

    def grad_input(self, x: Tensor) -> RawError:
        return SpacedConv2DGradInput(self, x.type)

    def weight_update(
        self, x: Tensor, w: Tensor, *, has_fraction: bool = True, has_input_shifts: bool = False
    ) -> Op:
        layer = replace(self, channels=None)
        return SpacedConv2DUpdate(
            layer, has_fraction=has_fraction, has_input_shifts=has_input_shifts
        )

    def lower(self, node: Node) -> KernelCall:
        return of_unit(super().lower(node), UNIT)

    def by_rows(self, node: Node) -> KernelCall | None:
        """If an output row reads rows from the first to the last in order, and not too many."""
        g = self.geometry(*(t.type for t in node.inputs[:2]))
        if g.spread_h != 1 or not 0 < g.span[0] <= MAX_KERNEL_H:
            return None
        call = super().by_rows(node)
        return call and of_unit(call, UNIT)

    def macs(self, node: Node) -> int:
        g = self.geometry(*(t.type for t in node.inputs[:2]))
        return super().macs(node) // (g.spread_h * g.spread_w)

    def reads(self, node: Node) -> tuple[int, int]:
        taps, values = super().reads(node)
        return taps, values * self.groups


@dataclass(frozen=True)
class SpacedConv2DGradInput(Conv2DGradInput):
    """dout, dout_e s16, w s8[, w_l s8], mask of x, history s16[, sgd] -> dx, dx_e s16.

    As Conv2DGradInput, over the filters of each group.
    """

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        format_, g = format_of(types[0]), self.layer.geometry(self.x, types[2])
        assert isinstance(g, SpacedGeometry)
        filters = g.out_ch // g.groups
        if filters * g.kernel_h * g.kernel_w > format_.max_fan_out:
            raise ValueError(
                f"{filters} filters of {g.kernel_h}x{g.kernel_w} overflow the gradient's 32 bits "
                f"(at most {format_.max_fan_out} products): no layer before this one can learn"
            )
        return error_types(types[0], self.x, types[self.position])

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, w = inputs[:3]
        mask, *state = inputs[self.position :]
        w = self.layer.whole_weights(self.x, w, inputs[3])
        g = self.windows(node)
        assert isinstance(g, SpacedGeometry)
        factors, kf = self.fold(node)
        errors = folded(dout, factors).reshape(g.out_h, g.out_w, g.out_ch)
        raw = [
            scatter(group, np.ascontiguousarray(errors[..., outs]), w[outs])
            for group, _, outs in g.of_groups()
        ]
        whole = np.concatenate(raw, axis=2).reshape(self.x.shape)
        return self.requantized(node, whole, int(exponent[0]) + kf, mask, *state)

    def lower(self, node: Node) -> KernelCall:
        return of_unit(super().lower(node), UNIT)

    def by_channels(self, node: Node) -> ByChannels | None:
        return None

    def halves(self, node: Node) -> Halves | None:
        return None

    def scratch_bytes(self, node: Node) -> int:
        return 4 * (self.x.shape[-1] + len(self.layer.channels or ()))


@dataclass(frozen=True)
class SpacedConv2DUpdate(Conv2DUpdate):
    """w s8 and frac s8 in place, x s8, dout, dout_e s16, sgd u32: w -= lr * dw.

    dw[o, ky, kx, i] = sum (x[.., g*I+i] - z) dout[.., o] for a filter o of group g.
    """

    def gradient(self, g: Geometry, x: Array, zero_point: int, dout: Array, rows: slice) -> Array:
        assert isinstance(g, SpacedGeometry)
        parts = [
            super(SpacedConv2DUpdate, self).gradient(
                group, x[..., ins], zero_point, dout[..., outs], rows
            )
            for group, ins, outs in g.of_groups()
        ]
        return np.concatenate(parts)

    def lower(self, node: Node) -> KernelCall:
        return of_unit(super().lower(node), UNIT)

    def by_channels(self, node: Node) -> ByChannels | None:
        return None
