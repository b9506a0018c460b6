# SPDX-License-Identifier: Apache-2.0
"""What the gradients of layers with weights share: the error of the input, the update in place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mcutrain.trainer.fixedpoint import Int64
from mcutrain.trainer.graph.call import ByChannels, Channels, Group
from mcutrain.trainer.graph.once import once_per_node
from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Array, DType, TensorType
from mcutrain.trainer.ops.error import RawError, format_of
from mcutrain.trainer.ops.overlap import error_distance, in_step
from mcutrain.trainer.ops.sgd import WEIGHT, Rates, step_weights, weight_rates, weight_steps
from mcutrain.trainer.ops.weighted import Weighted, filter_scales
from mcutrain.trainer.ops.window import Geometry

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node


@dataclass(frozen=True)
class WeightedGradInput(RawError):
    """dout, dout_e s16, w s8[, w_l s8], mask of x, history s16[, sgd] -> dx, dx_e s16.

    The base of the errors of a layer's input ``x``.
    """

    layer: Weighted
    x: TensorType

    @property
    def position(self) -> int:
        """Of the mask among the inputs."""
        return 4 if self.layer.channels else 3

    @property
    def mutates(self) -> tuple[int, ...]:  # type: ignore[override]
        return (self.position + 1,)

    @once_per_node
    def windows(self, node: Node) -> Geometry:
        """Where the layer's windows lie."""
        return self.layer.geometry(self.x, node.inputs[2].type)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        dx, mask = node.output.type, node.inputs[self.position].type
        dout = error_distance(self.layer.geometry(self.x, node.inputs[2].type), dx)
        return super().overlays(node) | {(0, 0): dout, (0, self.position): in_step(dx, mask)}

    def params(self, w: TensorType, kf: int) -> dict[str, int]:
        """Parameters of the kernel, of its parts too."""
        return {
            **vars(self.layer.geometry(self.x, w)),
            "learned_ch": len(self.layer.channels or ()),
            "scale_exponent": kf,
        }


@dataclass(frozen=True)
class WeightedUpdate(Op, ABC):
    """w s8 and frac s8 in place[, shifts s8], x s8, dout, dout_e s16, sgd u32: w -= lr * dw.

    Without a fraction there is w alone, or a sum s32 of the steps in its place (SPEC 1.5). With
    ``has_input_shifts`` there is an exponent for each index of the weights' last axis.
    There is no buffer for dw: it is applied at once, in bands of rows (SPEC 1.4, 1.5).
    """

    layer: Weighted
    has_fraction: bool = field(default=True, kw_only=True)
    has_input_shifts: bool = field(default=False, kw_only=True)

    @property
    def mutates(self) -> tuple[int, ...]:  # type: ignore[override]
        return (0, 1) if self.has_fraction else (0,)

    @property
    def position(self) -> int:
        """Of x among the inputs."""
        return len(self.mutates) + self.has_input_shifts

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        x, dout = types[self.position : self.position + 2]
        if format_of(dout).band_rows(self.layer.geometry(x, types[0])) < 1:
            raise ValueError(f"rows of more than {format_of(dout).max_band} outputs cannot learn")
        return ()

    @once_per_node
    def windows(self, node: Node) -> Geometry:
        """Where the layer's windows lie."""
        return self.layer.geometry(node.inputs[self.position].type, node.inputs[0].type)

    @once_per_node
    def rates(self, node: Node) -> Rates:
        scales = filter_scales(node.inputs[0].type, self.layer.out_axis)
        x = node.inputs[self.position].type
        return weight_rates(x.scale, scales, self.layer.dead, has_fraction=self.has_fraction)

    @abstractmethod
    def gradient(self, g: Geometry, x: Array, zero_point: int, dout: Array, rows: slice) -> Array:
        """The weight gradient of one band of output rows, in the weights' order: float, exact.

        ``x`` is (in_h, in_w, in_ch) s8, ``dout`` (out_h, out_w, channels) the error.
        """

    @abstractmethod
    def channel(self, g: Geometry) -> Int64:
        """The rate's index of each weight, broadcasting to the gradient's shape."""

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        (*parts,), (x, dout, exponent, sgd) = inputs[: self.position], inputs[self.position :]
        shifts = parts.pop() if self.has_input_shifts else None
        x_type, dout_type = (t.type for t in node.inputs[self.position : self.position + 2])
        g = self.windows(node)
        x = x.reshape(g.in_h, g.in_w, g.in_ch)
        dout = dout.reshape(g.out_h, g.out_w, -1)
        shape, size = parts[0].shape, parts[0].size
        rates, e, band_rows = self.rates(node), int(exponent[0]), format_of(dout_type).band_rows(g)
        for band, row in enumerate(range(0, g.out_h, band_rows)):
            rows = slice(row, row + band_rows)
            dw = self.gradient(g, x, x_type.zero_point, dout, rows)
            node_id = 4 * node.index + WEIGHT
            u, learns = weight_steps(
                dw, self.channel(g), e, rates, sgd, node_id, first=band * size, input_shift=shifts
            )
            parts = list(step_weights(tuple(v.reshape(dw.shape) for v in parts), u, learns))
        return tuple(v.reshape(shape) for v in parts)

    def by_channels(self, node: Node) -> ByChannels | None:
        """Groups of the channels of dout."""
        whole, at = self.lower(node), self.position + 1
        assert whole is not None
        dout = node.inputs[at]
        if dout.type.shape[-1] != whole.params.get("dout_ch", whole.params["out_ch"]):
            return None
        args = (Group(), *whole.args[:at], Channels(dout), *whole.args[at + 1 :])
        part = replace(whole, kernel=update_kernel(f"{whole.unit}_part", node), args=args)
        return ByChannels(part, self.scratch_bytes(node))

    def update_params(self, node: Node) -> dict[str, int]:
        """Parameters of the kernel: geometry, bands, the dither's node."""
        x, dout = node.inputs[self.position : self.position + 2]
        g = self.layer.geometry(x.type, node.inputs[0].type)
        return {
            **vars(g),
            "band_rows": format_of(dout.type).band_rows(g),
            "x_offset": -x.type.zero_point,
            "node": 4 * node.index + WEIGHT,
        }

    def macs(self, node: Node) -> int:
        w, dout = node.inputs[0], node.inputs[self.position + 1]
        return dout.type.size // dout.type.shape[-1] * w.type.size


def update_kernel(layer: str, node: Node) -> str:
    """The kernel for what learns, (w, frac), w or its sum, and for the format of the errors."""
    assert isinstance(node.op, WeightedUpdate)
    if len(node.outputs) == 2:
        name = "update"
    else:
        name = "accumulate" if node.output.type.dtype is DType.S32 else "update_whole"
    if node.op.has_input_shifts:
        name = f"shifted_{name}"
    return f"{layer}_{name}_{format_of(node.inputs[-3].type).suffix}"
