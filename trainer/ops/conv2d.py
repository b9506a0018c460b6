# SPDX-License-Identifier: Apache-2.0
"""2-D convolution, the gradient of its input, and its update in place.

Forward, in reals: out[y, x, o] = b[o] + sum_{ky, kx, i} x[y*s+ky-p, x*s+kx-p, i] * w[o, ky, kx, i]
(TFLite quantisation specification, CONV_2D). Weights are symmetric.
A layer learned in part has frozen weights ``w``, zero where learned, and the learned
input channels' weights ``w_l``, which act on the gathered channels ``x_l``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.fixedpoint import (
    Int64,
    exact_float,
    magnitude,
    near,
    scale_exponent,
    sums_by_column,
)
from mcutrain.trainer.graph.call import (
    Arg,
    ByChannels,
    Channels,
    Group,
    KernelCall,
    Row,
    Scratch,
    Table,
    Writer,
)
from mcutrain.trainer.graph.once import once_per_node
from mcutrain.trainer.graph.op import Halves, Op
from mcutrain.trainer.graph.tensor import Array, DType, Tensor, TensorType
from mcutrain.trainer.ops.error import RawError, RequantizeError, clear_sums, error_types, format_of
from mcutrain.trainer.ops.uncentred import uncentred
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
    from mcutrain.trainer.graph.op import Node


@dataclass(frozen=True)
class CrossChannel(Weighted):
    """A layer each of whose filters reads all input channels: what the kernels of CONV_2D do."""

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        x, w = types[:2]
        if x.shape[-1] != w.shape[-1]:
            raise ValueError(f"x has {x.shape[-1]} channels, the weights expect {w.shape[-1]}")
        if w.shape[0] != self.out_shape[-1]:
            raise ValueError(f"{w.shape[0]} filters for {self.out_shape[-1]} output channels")
        self.requants(x, w)  # a ValueError for scales that no multiplier can express
        return (TensorType(self.out_shape, DType.S8, self.out_quant),)

    def channel_scores(self, x: TensorType, w: Tensor) -> Array:
        """(I,) int64: the squared norm of each input channel's weights (SPEC 1.5)."""
        assert w.data is not None
        squares = (w.data.astype(np.int64) ** 2).reshape(w.type.shape[0], -1, w.type.shape[-1])
        return np.asarray((squares.sum(axis=1) * self.filter_weights(w.type)[:, None]).sum(axis=0))

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        x, w = inputs[:2]
        g = self.windows(node)
        w = self.whole_weights(node.inputs[0].type, w, inputs[-1])
        x = x.reshape(g.in_h, g.in_w, g.in_ch)
        acc = correlate(g, x, w, node.inputs[0].type.zero_point)
        return (self.requantized(node, acc, inputs),)

    def grad_input(self, x: Tensor) -> RawError:
        return Conv2DGradInput(self, x.type)

    def weight_update(
        self, x: Tensor, w: Tensor, *, has_fraction: bool = True, has_input_shifts: bool = False
    ) -> Op:
        layer = replace(self, channels=None)
        return Conv2DUpdate(layer, has_fraction=has_fraction, has_input_shifts=has_input_shifts)

    def lower(self, node: Node) -> KernelCall:
        args = (*self.layer_args(node), *self.tables(node), node.output)
        call = KernelCall("conv2d", "conv2d_s8", "conv2d", self.params(node), args)
        return uncentred(node, call)


@dataclass(frozen=True)
class Conv2D(CrossChannel):
    """x (1, H, W, I) s8, w (O, KH, KW, I) s8[, b (O,) s32][, x_l, w_l] -> out (1, H', W', O) s8."""

    tflite_name = "CONV_2D"

    def by_rows(self, node: Node) -> KernelCall | None:
        x, w, b, x_l, w_l = self.layer_args(node)
        args = (
            self.window_rows(node, x), w, b, self.window_rows(node, x_l), w_l, *self.tables(node),
            Row(node.output, self.out_shape[1]),
        )  # fmt: skip
        params = self.params(node, by_rows=True)
        return uncentred(node, KernelCall("conv2d", "conv2d_s8_row", "conv2d", params, args))


def correlate(g: Geometry, x: Array, w: Array, zero_point: int) -> Array:
    """(out_h, out_w, out_ch) float, exact: of x (in_h, in_w, in_ch) s8 less its zero point and
    w (O, KH, KW, I) s8."""
    filters = w.reshape(g.out_ch, -1).astype(np.float32)
    exact = exact_float(MAX_CENTRED * filters.shape[1] * greatest_weight(w))
    if exact is not np.float32:
        exact = exact_float(MAX_CENTRED * sums_by_column(np.abs(filters).T).max())
    return filtered(g, g.padded(x, zero_point, exact), filters.astype(exact, copy=False).T)


def filtered(g: Geometry, padded: Array, filters: Array) -> Array:
    """(out_h, out_w, out_ch): of the padded input and filters (KH * KW * I, O) of its type."""
    out = np.empty((g.out_h, g.out_w, g.out_ch), padded.dtype)
    for band in g.bands():
        np.matmul(g.columns(padded, band), filters, out=out[band].reshape(-1, g.out_ch))
    return out


def weight_fold(layer: Weighted, w: TensorType) -> tuple[Array, int]:
    """(f (O,) u16, kf): the weights' scales as 8-bit fractions of 2**kf, dead channels 0."""
    scales = filter_scales(w, layer.out_axis)
    kf = scale_exponent(scales)
    factors = np.floor(256 * scales / 2.0**kf + 0.5).astype(np.uint16)
    factors[list(layer.dead)] = 0
    return factors, kf


@dataclass(frozen=True)
class Conv2DGradInput(WeightedGradInput):
    """dout, dout_e s16, w s8[, w_l s8], mask of x, history s16[, sgd] -> dx, dx_e s16.

    raw[y, x, i] = sum near(dout[.., o] f[o], 8) w[o, ky, kx, i] over the outputs that read
    it; dx = REQ(raw, e + kf) with x's mask (SPEC 1.4).
    """

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        format_, g = format_of(types[0]), self.layer.geometry(self.x, types[2])
        if g.out_ch * g.kernel_h * g.kernel_w > format_.max_fan_out:
            raise ValueError(
                f"{g.out_ch} filters of {g.kernel_h}x{g.kernel_w} overflow the gradient's 32 bits "
                f"(at most {format_.max_fan_out} products): no layer before this one can learn"
            )
        return error_types(types[0], self.x, types[self.position])

    @once_per_node
    def fold(self, node: Node) -> tuple[Array, int]:
        """``weight_fold`` of the layer."""
        return weight_fold(self.layer, node.inputs[2].type)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, w = inputs[:3]
        mask, *state = inputs[self.position :]
        w = self.layer.whole_weights(self.x, w, inputs[3])
        g = self.windows(node)
        factors, kf = self.fold(node)
        raw = scatter(g, folded(dout, factors), w).reshape(self.x.shape)
        return self.requantized(node, raw, int(exponent[0]) + kf, mask, *state)

    def lower(self, node: Node) -> KernelCall:
        dout, exponent, w = node.inputs[:3]
        w_l = node.inputs[3] if self.layer.channels else None
        mask = node.inputs[self.position]
        factors, kf = self.fold(node)
        channel = channel_table(self.layer.channels)
        fold = Table("fold", factors)
        inputs: tuple[Arg, ...] = (dout, exponent, w, w_l, channel, fold, mask)
        args = (*inputs, *self.state_args(node), Scratch(), *node.outputs[:2])
        name, suffix = "conv2d_grad_input", format_of(dout.type).suffix
        return KernelCall("conv2d", f"{name}_{suffix}", name, self.params(w.type, kf), args)

    def by_channels(self, node: Node) -> ByChannels | None:
        whole, (_, kf) = self.lower(node), self.fold(node)
        if self.x.shape[-1] != whole.params["in_ch"]:
            return None
        dout, _, w, w_l, channel, fold, mask, *_ = whole.args
        writer = Writer(format_of(node.output.type).suffix)
        args = (
            Group(), dout, w, w_l, channel, fold, mask, writer, Scratch(), Channels(node.output)
        )  # fmt: skip
        part = replace(whole, kernel=f"conv2d_grad_input_part_{writer.suffix}", args=args)
        return self.in_groups(node, part, kf, (4 * len(self.layer.channels or ()), 4))

    def halves(self, node: Node) -> Halves | None:
        dout, exponent, *weights = node.inputs[: self.position]
        _, kf = self.fold(node)
        sums = Conv2DGradSums(self.layer, self.x)
        rest = RequantizeError(self.x, kf, format_of(node.output.type).name, operand=self.operand)
        return Halves(sums, (dout, *weights), rest, (exponent, *node.inputs[self.position :]))

    def scratch_bytes(self, node: Node) -> int:
        return 4 * (node.inputs[2].type.shape[-1] + len(self.layer.channels or ()))

    def macs(self, node: Node) -> int:
        dout, w = node.inputs[0], node.inputs[2]
        learned = node.inputs[3].type.size if self.layer.channels else 0
        return dout.type.size // w.type.shape[0] * (w.type.size + learned)


@dataclass(frozen=True)
class Conv2DGradSums(Op):
    """dout, w s8[, w_l s8] -> raw s32 of x's shape: the sums of Conv2DGradInput, no mask yet."""

    layer: Weighted
    x: TensorType

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        return (TensorType(self.x.shape, DType.S32),)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, w = inputs[:2]
        w = self.layer.whole_weights(self.x, w, inputs[-1])
        g = self.layer.geometry(self.x, node.inputs[1].type)
        raw = scatter(g, folded(dout, weight_fold(self.layer, node.inputs[1].type)[0]), w)
        return (raw.reshape(self.x.shape).astype(np.int32),)

    def lower(self, node: Node) -> KernelCall:
        dout, w = node.inputs[:2]
        w_l = node.inputs[2] if self.layer.channels else None
        factors, kf = weight_fold(self.layer, w.type)
        params = Conv2DGradInput(self.layer, self.x).params(w.type, kf)
        channel, fold = channel_table(self.layer.channels), Table("fold", factors)
        scratch = Scratch() if self.layer.channels else None
        args = (dout, w, w_l, channel, fold, scratch, node.output)
        kernel = f"conv2d_grad_sums_{format_of(dout.type).suffix}"
        return KernelCall("conv2d", kernel, "conv2d_grad_input", params, args)

    def by_channels(self, node: Node) -> ByChannels | None:
        """Groups of the channels of dout."""
        whole, dout = self.lower(node), node.inputs[0]
        if dout.type.shape[-1] != whole.params["out_ch"]:
            return None
        kernel = f"conv2d_grad_sums_part_{format_of(dout.type).suffix}"
        part = replace(whole, kernel=kernel, args=(Group(), Channels(dout), *whole.args[1:]))
        return ByChannels(part, self.scratch_bytes(node), begin=clear_sums(node.output))

    def scratch_bytes(self, node: Node) -> int:
        return 4 * len(self.layer.channels or ())

    def macs(self, node: Node) -> int:
        dout, weights = node.inputs[0].type, node.inputs[1:]
        positions = dout.size // weights[0].type.shape[0]
        return positions * sum(w.type.size for w in weights)


def folded(dout: Array, factors: Array) -> Array:
    """(.., out_ch) float32: near(dout f, 8), with the factors f (O,) of ``weight_fold``."""
    return near(dout * factors.astype(np.float32), 8)


def scatter(g: Geometry, dout: Array, w: Array) -> Array:
    """(in_h, in_w, in_ch) float, exact: the transposed convolution of dout (.., out_ch) float32."""
    dout = dout.reshape(g.out_h, g.out_w, g.out_ch)
    w = w.reshape(g.out_ch, g.kernel_h, g.kernel_w, g.in_ch)
    filters = w.transpose(1, 2, 0, 3)[::-1, ::-1].astype(np.float32, order="C")
    filters = filters.reshape(-1, g.in_ch)
    exact = exact_float(magnitude(dout) * sums_by_column(np.abs(filters)).max())
    filters = filters.astype(exact, copy=False)
    turned = g.transposed()
    if turned is not None:
        return filtered(turned, turned.padded(dout, dtype=exact), filters)
    flat = dout.reshape(-1, g.out_ch).astype(exact, copy=False)
    products = flat @ w.reshape(g.out_ch, -1).astype(exact)
    by_tap = products.reshape(g.out_h, g.out_w, g.kernel_h, g.kernel_w, g.in_ch)
    padded = g.frame(exact)
    for ky, kx, positions in g.taps():
        padded[positions] += by_tap[:, :, ky, kx]
    return g.unpadded(padded)


@dataclass(frozen=True)
class Conv2DUpdate(WeightedUpdate):
    """w s8 and frac s8 in place, x s8, dout, dout_e s16, sgd u32: w -= lr * dw.

    dw[o, ky, kx, i] = sum (x - z) dout[.., o] (SPEC 1.4, 1.5).
    """

    def gradient(self, g: Geometry, x: Array, zero_point: int, dout: Array, rows: slice) -> Array:
        errors = dout.astype(np.float32)
        sums = sums_by_column(np.abs(errors[rows]).reshape(-1, g.out_ch))
        exact = exact_float(MAX_CENTRED * sums.max())
        errors, padded = errors.astype(exact, copy=False), g.padded(x, zero_point, exact)
        bands = (
            errors[band].reshape(-1, g.out_ch).T @ g.columns(padded, band) for band in g.bands(rows)
        )
        return np.asarray(sum(bands))

    def channel(self, g: Geometry) -> Int64:
        return np.arange(g.out_ch)[:, None]

    def lower(self, node: Node) -> KernelCall:
        args: tuple[Arg, ...] = (*node.inputs, *self.rates(node).tables, Scratch())
        kernel = update_kernel("conv2d", node)
        return KernelCall("conv2d", kernel, "conv2d_update", self.update_params(node), args)

    def scratch_bytes(self, node: Node) -> int:
        return 4 * node.inputs[0].type.shape[-1]
