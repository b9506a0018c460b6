# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolution, the gradient of its input, and its update in place.

Forward, in reals: out[y, x, i*M+m] = b[i*M+m] + sum_{ky, kx} x[.., i] * w[0, ky, kx, i*M+m]
(TFLite quantisation specification, DEPTHWISE_CONV_2D), with the multiplier M.
A layer learned in part has frozen weights, zero where learned, and the learned input
channels' weights ``w_l``, which act on the gathered channels ``x_l``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.fixedpoint import (
    Int64,
    exact_float,
    sat23,
    scale_exponent,
    scaled_bytes,
)
from mcutrain.trainer.graph.call import ByChannels, Channels, Group, KernelCall, Row, Table, Writer
from mcutrain.trainer.graph.once import once_per_node
from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType
from mcutrain.trainer.ops.error import RawError, error_types, format_of
from mcutrain.trainer.ops.weighted import (
    MAX_CENTRED,
    Weighted,
    channel_table,
    filter_scales,
    greatest_weight,
)
from mcutrain.trainer.ops.weighted_gradients import WeightedGradInput, WeightedUpdate, update_kernel
from mcutrain.trainer.ops.window import Geometry

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource

WIDE = range(32, 129)  # outputs in a row with which the reference filters by rows
MAX_MULTIPLIER = 127  # terms below 2**24 in one raw error


@dataclass(frozen=True)
class DepthwiseConv2D(Weighted):
    """x (1, H, W, I) s8, w (1, KH, KW, I*M) s8[, b (I*M,) s32] -> out (1, H', W', I*M) s8."""

    tflite_name = "DEPTHWISE_CONV_2D"
    out_axis = 3
    by_channel = True

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        op, inputs = super().from_tflite(source)
        declared = int(source.option("DepthMultiplier"))
        in_ch, out_ch = (t.type.shape[-1] for t in inputs[:2])
        if out_ch % in_ch == 0 and declared * in_ch != out_ch:  # else ``infer`` says so
            raise ModelError(
                f"{source}: the multiplier {declared} of {in_ch} channels does not give {out_ch}"
            )
        return op, inputs

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        x, w = types[:2]
        if w.shape[0] != 1 or w.shape[3] % x.shape[3]:
            raise ValueError(f"weights {w.shape} are not a multiple of {x.shape[3]} channels")
        if w.shape[3] != self.out_shape[3]:
            raise ValueError(f"{w.shape[3]} filters for {self.out_shape[3]} output channels")
        self.requants(x, w)
        return (TensorType(self.out_shape, types[0].dtype, self.out_quant),)

    def columns(self, x: TensorType, w: TensorType) -> tuple[int, ...]:
        per_input = w.shape[3] // x.shape[3]
        return tuple(c * per_input + m for c in self.channels or () for m in range(per_input))

    def channel_scores(self, x: TensorType, w: Tensor) -> Array:
        assert w.data is not None
        squares = (w.data.astype(np.int64) ** 2).sum(axis=(0, 1, 2)) * self.filter_weights(w.type)
        return np.asarray(squares.reshape(x.shape[3], -1).sum(axis=1))

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        x, w = inputs[:2]
        g = self.windows(node)
        w = self.whole_weights(node.inputs[0].type, w, inputs[-1])
        exact = exact_float(MAX_CENTRED * greatest_weight(w) * g.kernel_h * g.kernel_w)
        x = x.reshape(g.in_h, g.in_w, g.in_ch)
        padded = repeated(g, g.padded(x, node.inputs[0].type.zero_point, exact))
        return (self.requantized(node, filtered(g, padded, w[0].astype(exact)), inputs),)

    def grad_input(self, x: Tensor) -> RawError:
        return DepthwiseConv2DGradInput(self, x.type)

    def weight_update(
        self, x: Tensor, w: Tensor, *, has_fraction: bool = True, has_input_shifts: bool = False
    ) -> Op:
        columns = self.columns(x.type, w.type) or None
        dead = tuple(columns.index(c) for c in self.dead if c in columns) if columns else self.dead
        layer = replace(self, channels=None, dead=dead)
        return DepthwiseConv2DUpdate(
            layer, columns, has_fraction=has_fraction, has_input_shifts=has_input_shifts
        )

    def lower(self, node: Node) -> KernelCall:
        tables = (channel_table(self.channels), *self.tables(node))
        args = (*self.layer_args(node), *tables, node.output)
        name = "depthwise_conv2d"
        return KernelCall(name, f"{name}_s8", name, self.params(node), args)

    def by_rows(self, node: Node) -> KernelCall | None:
        x, w, b, x_l, w_l = self.layer_args(node)
        args = (
            self.window_rows(node, x), w, b, self.window_rows(node, x_l), w_l,
            channel_table(self.channels), *self.tables(node), Row(node.output, self.out_shape[1]),
        )  # fmt: skip
        name = "depthwise_conv2d"
        return KernelCall(name, f"{name}_s8_row", name, self.params(node, by_rows=True), args)


def filtered(g: Geometry, padded: Array, filters: Array) -> Array:
    """(out_h, out_w, out_ch): of the padded input (.., out_ch) and filters (KH, KW, out_ch)."""
    if g.is_dense and g.out_w in WIDE:
        return filtered_by_rows(g, padded, filters)
    return np.asarray(np.einsum("yxklo,klo->yxo", g.windows(padded), filters))


def filtered_by_rows(g: Geometry, padded: Array, filters: Array) -> Array:
    """``filtered`` by a product of matrices for each channel: the rows that an output row reads,
    and the filter at the place of each output of a row, with zeros elsewhere.

    Many products are with those zeros, but images that are wide have few channels, and sums over
    few channels are slow.
    """
    _, width, channels = padded.shape
    bands = np.zeros((channels, g.kernel_h, width, g.out_w), padded.dtype)
    channel, row, position, out = bands.strides
    shape = (channels, g.kernel_h, g.kernel_w, g.out_w)
    steps = (channel, row, position, g.stride_w * position + out)
    np.lib.stride_tricks.as_strided(bands, shape, steps)[:] = filters.transpose(2, 0, 1)[..., None]
    planes = np.ascontiguousarray(padded.transpose(2, 0, 1))
    plane, row, value = planes.strides
    read = np.lib.stride_tricks.as_strided(
        planes, (channels, g.out_h, g.kernel_h * width), (plane, g.stride_h * row, value)
    )
    products = np.matmul(read.copy(), bands.reshape(channels, -1, g.out_w))
    return np.ascontiguousarray(products.transpose(1, 2, 0))


def repeated(g: Geometry, x: Array) -> Array:
    """(.., out_ch): each channel of x (.., in_ch) as often as it has filters."""
    each = g.out_ch // g.in_ch
    return x if each == 1 else np.repeat(x, each, axis=2)


def scatter(g: Geometry, dout: Array, filters: Array) -> Array:
    """(in_h, in_w, out_ch): the transposed convolution of dout (out_h, out_w, out_ch), before the
    sum over the filters of a channel."""
    turned = g.transposed()
    if turned is not None:
        return filtered(turned, turned.padded(dout), filters[::-1, ::-1])
    sums, product = g.frame(dout.dtype, g.out_ch), np.empty_like(dout)
    for ky, kx, positions in g.taps():
        sums[positions] += np.multiply(dout, filters[ky, kx], out=product)
    return g.unpadded(sums)


@dataclass(frozen=True)
class DepthwiseConv2DGradInput(WeightedGradInput):
    """dout, dout_e s16, w s8[, w_l s8], mask of x, history s16[, sgd] -> dx, dx_e s16.

    raw = sum over the M outputs of a channel of near(sat23(sum dout w) m[c], k[c]), with
    s_w[c] / 2**kf = m[c] 2**-k[c]; dx = REQ(raw, e + kf) with x's mask (SPEC 1.4).
    """

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        format_, g = format_of(types[0]), self.layer.geometry(self.x, types[2])
        taps = g.kernel_h * g.kernel_w
        if taps > format_.max_fan_out or g.out_ch > MAX_MULTIPLIER * g.in_ch:
            raise ValueError(
                f"a kernel of {g.kernel_h}x{g.kernel_w} with multiplier {g.out_ch // g.in_ch} "
                f"overflows the gradient's 32 bits: no layer before this one can learn"
            )
        return error_types(types[0], self.x, types[self.position])

    @once_per_node
    def scales(self, node: Node) -> tuple[Array, Array, int]:
        """(m (O,) u8, k (O,) u8, kf); m is 0 for dead channels."""
        scales = filter_scales(node.inputs[2].type, self.layer.out_axis)
        kf = scale_exponent(scales)
        m, k = scaled_bytes(scales / 2.0**kf)
        dead = list(self.layer.dead)
        m[dead] = k[dead] = 0
        return m.astype(np.uint8), k.astype(np.uint8), kf

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, w = inputs[:3]
        mask, *state = inputs[self.position :]
        w = self.layer.whole_weights(self.x, w, inputs[3])
        g = self.windows(node)
        m, k, kf = self.scales(node)
        greatest = format_of(node.inputs[0].type).greatest
        exact = exact_float(greatest * greatest_weight(w) * g.kernel_h * g.kernel_w)
        dout = dout.reshape(g.out_h, g.out_w, g.out_ch).astype(exact)
        sums = scatter(g, dout, w[0].astype(exact))
        # Of at most 23 + 8 bits before and behind the point: floats hold near's sums, too.
        scaled = sat23(sums) * (m * 2.0 ** -k.astype(np.int64))
        scaled += 0.5
        rounded = np.floor(scaled, out=scaled)
        raw = rounded.reshape(g.in_h, g.in_w, g.in_ch, -1).sum(axis=3).reshape(self.x.shape)
        return self.requantized(node, raw, int(exponent[0]) + kf, mask, *state)

    def lower(self, node: Node) -> KernelCall:
        dout, exponent, w = node.inputs[:3]
        mask = node.inputs[self.position]
        w_l = node.inputs[3] if self.layer.channels else None
        m, k, kf = self.scales(node)
        tables = (Table("scale", m), Table("scale_shift", k))
        channel = channel_table(self.layer.channels)
        return KernelCall(
            "depthwise_conv2d",
            f"depthwise_conv2d_grad_input_{format_of(dout.type).suffix}",
            "depthwise_conv2d_grad_input",
            self.params(w.type, kf),
            (
                dout,
                exponent,
                w,
                w_l,
                channel,
                *tables,
                mask,
                *self.state_args(node),
                *node.outputs[:2],
            ),
        )

    def by_channels(self, node: Node) -> ByChannels | None:
        """If each channel makes one channel."""
        whole = self.lower(node)
        if not self.x.shape[-1] == whole.params["in_ch"] == whole.params["out_ch"]:
            return None
        dout, _, w, w_l, *tables, mask = whole.args[:8]
        assert isinstance(dout, Tensor)
        writer = Writer(format_of(node.output.type).suffix)
        args = (
            Group(), Channels(dout), w, w_l, *tables, mask, writer, Channels(node.output)
        )  # fmt: skip
        kernel = f"depthwise_conv2d_grad_input_part_{writer.suffix}"
        return self.in_groups(node, replace(whole, kernel=kernel, args=args), self.scales(node)[2])

    def macs(self, node: Node) -> int:
        dout, w = node.inputs[0].type, node.inputs[2].type
        return dout.size * w.shape[1] * w.shape[2]


@dataclass(frozen=True)
class DepthwiseConv2DUpdate(WeightedUpdate):
    """w s8 and frac s8 in place, x s8, dout, dout_e s16, sgd u32: w -= lr * dw.

    dw[ky, kx, c] = sum (x[.., c / M] - z) dout[.., c], applied at once, in bands of rows.
    ``columns`` are the channels of dout that w has, when the layer learns in part.
    """

    columns: tuple[int, ...] | None = None

    def gradient(self, g: Geometry, x: Array, zero_point: int, dout: Array, rows: slice) -> Array:
        band = dout[rows][..., self.chosen(g)].astype(np.float64)
        padded = repeated(g, g.padded(x, zero_point, np.float64))
        dw = np.empty((g.kernel_h, g.kernel_w, g.out_ch))
        for ky, kx, positions in g.taps():
            np.einsum("yxo,yxo->o", padded[positions][rows], band, out=dw[ky, kx])
        return dw

    def chosen(self, g: Geometry) -> Array:
        return np.array(self.columns if self.columns else range(g.out_ch))

    def channel(self, g: Geometry) -> Int64:
        return np.arange(g.out_ch)

    def lower(self, node: Node) -> KernelCall:
        params = self.update_params(node)
        params["dout_ch"] = node.inputs[self.position + 1].type.shape[-1]
        column = channel_table(self.columns, "column")
        args = (*node.inputs, column, *self.rates(node).tables)
        name = "depthwise_conv2d"
        return KernelCall(name, update_kernel(name, node), f"{name}_update", params, args)
