# SPDX-License-Identifier: Apache-2.0
"""2-D convolution, the gradient of its input, and its update in place.

Forward, in reals: out[y, x, o] = b[o] + sum_{ky, kx, i} x[y*s+ky-p, x*s+kx-p, i] * w[o, ky, kx, i]
(TFLite quantisation specification, CONV_2D). Weights are symmetric.
A layer learned in part has frozen weights ``w``, zero where learned, and the learned
input channels' weights ``w_l``, which act on the gathered channels ``x_l``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.fixedpoint import Int64, Requant, near, requantize, scale_exponent, wrap32
from mcutrain.trainer.graph.call import (
    Arg,
    ByChannels,
    Channels,
    Group,
    KernelCall,
    Row,
    Rows,
    Scratch,
    Table,
    Window,
    Writer,
)
from mcutrain.trainer.graph.op import ErrorTensor, Halves, Op, OutputScale
from mcutrain.trainer.graph.tensor import (
    Array,
    DType,
    QuantParams,
    Role,
    Tensor,
    TensorType,
    constant,
)
from mcutrain.trainer.ops.clamp_mask import mask_type
from mcutrain.trainer.ops.error import (
    E12,
    RawError,
    RequantizeError,
    clear_sums,
    error_types,
    format_of,
)
from mcutrain.trainer.ops.overlap import error_distance, in_step, window_distance
from mcutrain.trainer.ops.sgd import (
    WEIGHT,
    BiasUpdate,
    Rates,
    step_weights,
    weight_rates,
    weight_steps,
)
from mcutrain.trainer.ops.window import Geometry, Placement

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource, Tape

MAX_FAN_IN = 65792  # products of 255 * 128 that fit 32 bits
MAX_FLOAT32_SUM = 514  # products of 255 * 128 below 2**24: sums of integers that float32 holds
DEAD_SCALE = 2.0**-12
DEAD_BIAS = 2**30


def dead_channels(w: TensorType, axis: int, bias: tuple[Tensor, ...]) -> tuple[int, ...]:
    """Output channels that never learn: scale or bias out of all proportion (SPEC 1.4)."""
    scales = filter_scales(w, axis)
    dead = scales < DEAD_SCALE * scales.max()
    if bias and bias[0].data is not None:
        dead |= np.abs(bias[0].data.astype(np.int64).reshape(-1)) > DEAD_BIAS
    return tuple(int(c) for c in np.flatnonzero(dead))


@dataclass(frozen=True)
class Conv2D(Op):
    """x (1, H, W, I) s8, w (O, KH, KW, I) s8[, b (O,) s32][, x_l, w_l] -> out (1, H', W', O) s8.

    ``dead`` are the output channels that never learn (SPEC 1.4); ``channels`` the input
    channels that learn when only some do, and then x_l and w_l are given.
    """

    tflite_name = "CONV_2D"
    output_scale = OutputScale.FREE
    out_axis: ClassVar[int] = 0  # of the filters in the weights
    out_quant: QuantParams
    out_shape: tuple[int, ...]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)  # top, left
    act_min: int = -128
    act_max: int = 127
    has_bias: bool = True
    dead: tuple[int, ...] = ()
    channels: tuple[int, ...] | None = None

    @classmethod
    def from_tflite(cls, source: OperatorSource) -> tuple[Op, tuple[Tensor, ...]]:
        x, w = source.activation(0), source.weights()
        if len(w.type.shape) != 4:
            raise ModelError(f"{source}: the weights have the shape {w.type.shape}")
        if (source.option("DilationHFactor"), source.option("DilationWFactor")) != (1, 1):
            raise UnsupportedOpError(f"{source} is dilated; dilation 1 is supported")
        place = Placement.read(source, x, w.type.shape[1:3])
        return cls.read_layer(source, x, w, place.shape(w.type.shape[cls.out_axis]), place)

    @classmethod
    def read_layer(
        cls,
        source: OperatorSource,
        x: Tensor,
        w: Tensor,
        out_shape: tuple[int, ...],
        place: Placement | None = None,
    ) -> tuple[Op, tuple[Tensor, ...]]:
        """The part that all layers with weights share."""
        assert w.type.quant is not None and source.out.type.quant is not None
        if w.type.quant.axis not in (None, cls.out_axis):
            raise UnsupportedOpError(f"{source}: weight scales lie along axis {w.type.quant.axis}")
        if w.type.size // w.type.shape[cls.out_axis] > MAX_FAN_IN:
            raise UnsupportedOpError(f"{source} sums more than {MAX_FAN_IN} products")
        bias = source.bias(w.type.shape[cls.out_axis])
        stride, padding = (place.stride, place.padding) if place else ((1, 1), (0, 0))
        op = cls(
            source.out.type.quant,
            out_shape,
            stride,
            padding,
            *source.limits(),
            has_bias=bool(bias),
            dead=dead_channels(w.type, cls.out_axis, bias),
        )
        return op, (x, w, *bias)

    def limits(self) -> tuple[int, int]:
        return self.act_min, self.act_max

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        x, w = types[:2]
        if x.shape[-1] != w.shape[-1]:
            raise ValueError(f"x has {x.shape[-1]} channels, the weights expect {w.shape[-1]}")
        if w.shape[0] != self.out_shape[-1]:
            raise ValueError(f"{w.shape[0]} filters for {self.out_shape[-1]} output channels")
        self.requants(x, w)  # a ValueError for scales that no multiplier can express
        return (TensorType(self.out_shape, DType.S8, self.out_quant),)

    def split_inputs(self, node: Node) -> tuple[Tensor | None, Tensor, Tensor]:
        """(bias or None, the input that is saved for the update, the weights that learn)."""
        b = node.inputs[2] if self.has_bias else None
        if self.channels is None:
            return b, node.inputs[0], node.inputs[1]
        return b, node.inputs[-2], node.inputs[-1]

    def geometry(self, x: TensorType, w: TensorType) -> Geometry:
        _, in_h, in_w, in_ch = x.shape
        out_ch, kernel_h, kernel_w, _ = w.shape
        out_h, out_w = self.out_shape[1:3]
        return Geometry(
            in_h, in_w, in_ch, out_h, out_w, out_ch, kernel_h, kernel_w, *self.stride, *self.padding
        )

    def factors(self, x: TensorType, w: TensorType) -> list[float]:
        """Output scale factors s_x s_w[c] / s_out, in float64 as tflite-micro has them."""
        out_scale = self.out_quant.scale
        return [x.scale * s / out_scale for s in filter_scales(w, self.out_axis)]

    def requants(self, x: TensorType, w: TensorType) -> tuple[Array, Array]:
        """(multiplier (O,) s32, shift (O,) s8)."""
        pairs = [Requant.from_real(f) for f in self.factors(x, w)]
        multiplier = np.array([r.multiplier for r in pairs], np.int32)
        return multiplier, np.array([r.shift for r in pairs], np.int8)

    def columns(self, x: TensorType, w: TensorType) -> tuple[int, ...]:
        """Indices along the weights' last axis that belong to the learned channels."""
        return self.channels or ()

    def whole_weights(self, x: TensorType, w: Array, w_l: Array) -> Array:
        """The weights with the learned channels in place."""
        if self.channels is None:
            return w
        whole = w.copy()
        whole[..., list(self.columns(x, constant("w", w).type))] = w_l
        return whole

    def channel_scores(self, x: TensorType, w: Tensor) -> Array:
        """(I,) int64: the squared norm of each input channel's weights (SPEC 1.5)."""
        assert w.data is not None
        squares = (w.data.astype(np.int64) ** 2).reshape(w.type.shape[0], -1, w.type.shape[-1])
        return np.asarray((squares.sum(axis=1) * self.filter_weights(w.type)[:, None]).sum(axis=0))

    def filter_weights(self, w: TensorType) -> Array:
        """(O,) int64: round(2**16 (s_w / max s_w)**2)."""
        scales = filter_scales(w, self.out_axis)
        return np.asarray(np.floor(2**16 * (scales / scales.max()) ** 2 + 0.5).astype(np.int64))

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        x, w = inputs[:2]
        g = self.geometry(*(t.type for t in node.inputs[:2]))
        w = self.whole_weights(node.inputs[0].type, w, inputs[-1])
        centred = x.reshape(g.in_h, g.in_w, g.in_ch) - np.float64(node.inputs[0].type.zero_point)
        return (self.requantized(node, correlate(g, centred, w), inputs),)

    def requantized(self, node: Node, acc: Array, inputs: tuple[Array, ...]) -> Array:
        """The output of accumulators without bias (out_h, out_w, out_ch)."""
        if self.has_bias:
            acc = acc + inputs[2]
        multiplier, shift = self.requants(*(t.type for t in node.inputs[:2]))
        out = requantize(wrap32(acc), multiplier.astype(np.int64), shift.astype(np.int64))
        out = np.clip(wrap32(out + self.out_quant.zero_point), self.act_min, self.act_max)
        return np.asarray(out.astype(np.int8).reshape(self.out_shape))

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        x, w = node.inputs[:2]
        b, saved, learned = self.split_inputs(node)
        if tape.needs(x):
            split = (learned,) if self.channels else ()
            inputs = (*error, w, *split, tape.mask(x))
            yield x, tape.raw_error(self.grad_input(x), node, x, *inputs)
        if learned.role is Role.PARAM:
            parts = tape.parts(learned)
            op = self.weight_update(x, w, has_fraction=len(parts) == 2)
            tape.update(op, node, learned, *parts, saved, *error, tape.sgd)
        if b is not None and b.role is Role.PARAM:
            assert w.type.quant is not None
            update = BiasUpdate(x.type.scale, w.type.quant, self.dead)
            tape.update(update, node, b, *tape.parts(b), *error, tape.sgd)

    def grad_input(self, x: Tensor) -> RawError:
        return Conv2DGradInput(self, x.type)

    def weight_update(self, x: Tensor, w: Tensor, *, has_fraction: bool = True) -> Op:
        return Conv2DUpdate(replace(self, channels=None), has_fraction=has_fraction)

    def why_frozen(self, node: Node) -> str:
        """Why the weights cannot learn from E12 errors; empty if they can."""
        x, w = node.inputs[:2]
        try:
            error = E12.types(node.output.type.shape)
            self.weight_update(x, w).infer(w.type, w.type, x.type, *error)
        except ValueError as err:
            return str(err)
        return ""

    def why_none_before(self, node: Node) -> str:
        """Why nothing before the layer can learn from E12 errors; empty if it can."""
        x, w = node.inputs[:2]
        try:
            error = E12.types(node.output.type.shape)
            self.grad_input(x).infer(*error, w.type, mask_type(x.type))
        except ValueError as err:
            return str(err)
        return ""

    def params(self, node: Node) -> dict[str, int]:
        x, w = node.inputs[:2]
        g = self.geometry(x.type, w.type)
        return {
            **vars(g),
            "learned_ch": len(self.channels or ()),
            "x_offset": -x.type.zero_point,
            "out_offset": self.out_quant.zero_point,
            "act_min": self.act_min,
            "act_max": self.act_max,
        }

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        g = self.geometry(*(t.type for t in node.inputs[:2]))
        return {(0, 0): window_distance(g, by_channel=False)}

    def lower(self, node: Node) -> KernelCall:
        args = (*self.layer_args(node), *self.tables(node), node.output)
        return KernelCall("conv2d", "conv2d_s8", "conv2d", self.params(node), args)

    def by_rows(self, node: Node) -> KernelCall | None:
        x, w, b, x_l, w_l = self.layer_args(node)
        args = (
            self.window_rows(node, x), w, b, self.window_rows(node, x_l), w_l, *self.tables(node),
            Row(node.output, self.out_shape[1]),
        )  # fmt: skip
        return KernelCall("conv2d", "conv2d_s8_row", "conv2d", self.params(node), args)

    def window_rows(self, node: Node, x: Tensor | None) -> Rows | None:
        """The rows of x, or of its gathered channels, that an output row reads."""
        if x is None:
            return None
        g = self.geometry(*(t.type for t in node.inputs[:2]))
        return Rows(x, g.in_h, Window(g.kernel_h, g.stride_h, g.pad_top))

    def layer_args(self, node: Node) -> tuple[Tensor | None, ...]:
        """x, w, b, x_l, w_l; None for what the layer has not."""
        b = node.inputs[2] if self.has_bias else None
        learned = node.inputs[-2:] if self.channels else (None, None)
        return (*node.inputs[:2], b, *learned)

    def tables(self, node: Node) -> tuple[Table, Table]:
        multiplier, shift = self.requants(*(t.type for t in node.inputs[:2]))
        return Table("multiplier", multiplier), Table("shift", shift)

    def macs(self, node: Node) -> int:
        x, w = node.inputs[:2]
        g = self.geometry(x.type, w.type)
        return (
            g.out_h * g.out_w * (w.type.size + (node.inputs[-1].type.size if self.channels else 0))
        )


def correlate(g: Geometry, x: Array, w: Array) -> Array:
    """(out_h, out_w, out_ch) float, exact: x (in_h, in_w, in_ch) in +-255, w (O, KH, KW, I) s8."""
    w = w.reshape(g.out_ch, -1)
    exact: type[np.floating[Any]] = np.float32 if w.shape[1] <= MAX_FLOAT32_SUM else np.float64
    out = g.columns(x.astype(exact)) @ w.astype(exact).T
    return np.asarray(out.reshape(g.out_h, g.out_w, g.out_ch))


def channel_table(channels: tuple[int, ...] | None, name: str = "channel") -> Table | None:
    return Table(name, np.array(channels, np.uint16)) if channels else None


def filter_scales(w: TensorType, axis: int) -> Array:
    """(out_ch,) float64: the scale of each filter; ``axis`` is the filters' in the weights."""
    assert w.quant is not None
    return w.quant.channel_scales(w.shape[axis])


def weight_fold(conv: Conv2D, w: TensorType) -> tuple[Array, int]:
    """(f (O,) u16, kf): the weights' scales as 8-bit fractions of 2**kf, dead channels 0."""
    scales = filter_scales(w, conv.out_axis)
    kf = scale_exponent(scales)
    factors = np.floor(256 * scales / 2.0**kf + 0.5).astype(np.uint16)
    factors[list(conv.dead)] = 0
    return factors, kf


@dataclass(frozen=True)
class Conv2DGradInput(RawError):
    """dout, dout_e s16, w s8[, w_l s8], mask of x, history s16[, sgd] -> dx, dx_e s16.

    raw[y, x, i] = sum near(dout[.., o] f[o], 8) w[o, ky, kx, i] over the outputs that read
    it; dx = REQ(raw, e + kf) with x's mask (SPEC 1.4).
    """

    conv: Conv2D
    x: TensorType

    @property
    def position(self) -> int:
        """Of the mask among the inputs."""
        return 4 if self.conv.channels else 3

    @property
    def mutates(self) -> tuple[int, ...]:  # type: ignore[override]
        return (self.position + 1,)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        format_, g = format_of(types[0]), self.conv.geometry(self.x, types[2])
        if g.out_ch * g.kernel_h * g.kernel_w > format_.max_fan_out:
            raise ValueError(
                f"{g.out_ch} filters of {g.kernel_h}x{g.kernel_w} overflow the gradient's 32 bits "
                f"(at most {format_.max_fan_out} products): no layer before this one can learn"
            )
        return error_types(types[0], self.x, types[self.position])

    def fold(self, node: Node) -> tuple[Array, int]:
        """``weight_fold`` of the layer."""
        return weight_fold(self.conv, node.inputs[2].type)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, w = inputs[:3]
        mask, *state = inputs[self.position :]
        w = self.conv.whole_weights(self.x, w, inputs[3])
        g = self.conv.geometry(self.x, node.inputs[2].type)
        factors, kf = self.fold(node)
        dout = dout.reshape(g.out_h, g.out_w, g.out_ch).astype(np.int64)
        raw = scatter(g, near(dout * factors, 8), w).reshape(self.x.shape)
        return self.requantized(node, raw, int(exponent[0]) + kf, mask, *state)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        dx, mask = node.output.type, node.inputs[self.position].type
        dout = error_distance(self.conv.geometry(self.x, node.inputs[2].type), dx)
        return super().overlays(node) | {(0, 0): dout, (0, self.position): in_step(dx, mask)}

    def lower(self, node: Node) -> KernelCall:
        dout, exponent, w = node.inputs[:3]
        w_l = node.inputs[3] if self.conv.channels else None
        mask = node.inputs[self.position]
        factors, kf = self.fold(node)
        channel = channel_table(self.conv.channels)
        fold = Table("fold", factors)
        inputs: tuple[Arg, ...] = (dout, exponent, w, w_l, channel, fold, mask)
        args = (*inputs, *self.state_args(node), Scratch(), *node.outputs[:2])
        name, suffix = "conv2d_grad_input", format_of(dout.type).suffix
        return KernelCall("conv2d", f"{name}_{suffix}", name, self.params(w.type, kf), args)

    def params(self, w: TensorType, kf: int) -> dict[str, int]:
        """Parameters of the kernel, of its parts too."""
        return {
            **vars(self.conv.geometry(self.x, w)),
            "learned_ch": len(self.conv.channels or ()),
            "scale_exponent": kf,
        }

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
        return self.in_groups(node, part, kf, (4 * len(self.conv.channels or ()), 4))

    def halves(self, node: Node) -> Halves | None:
        dout, exponent, *weights = node.inputs[: self.position]
        _, kf = self.fold(node)
        sums = Conv2DGradSums(self.conv, self.x)
        rest = RequantizeError(self.x, kf, format_of(node.output.type).name, operand=self.operand)
        return Halves(sums, (dout, *weights), rest, (exponent, *node.inputs[self.position :]))

    def scratch_bytes(self, node: Node) -> int:
        return 4 * (node.inputs[2].type.shape[-1] + len(self.conv.channels or ()))

    def macs(self, node: Node) -> int:
        dout, w = node.inputs[0], node.inputs[2]
        learned = node.inputs[3].type.size if self.conv.channels else 0
        return dout.type.size // w.type.shape[0] * (w.type.size + learned)


@dataclass(frozen=True)
class Conv2DGradSums(Op):
    """dout, w s8[, w_l s8] -> raw s32 of x's shape: the sums of Conv2DGradInput, no mask yet."""

    conv: Conv2D
    x: TensorType

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        return (TensorType(self.x.shape, DType.S32),)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, w = inputs[:2]
        w = self.conv.whole_weights(self.x, w, inputs[-1])
        g = self.conv.geometry(self.x, node.inputs[1].type)
        dout = dout.reshape(g.out_h, g.out_w, g.out_ch).astype(np.int64)
        raw = scatter(g, near(dout * weight_fold(self.conv, node.inputs[1].type)[0], 8), w)
        return (raw.reshape(self.x.shape).astype(np.int32),)

    def lower(self, node: Node) -> KernelCall:
        dout, w = node.inputs[:2]
        w_l = node.inputs[2] if self.conv.channels else None
        factors, kf = weight_fold(self.conv, w.type)
        params = Conv2DGradInput(self.conv, self.x).params(w.type, kf)
        channel, fold = channel_table(self.conv.channels), Table("fold", factors)
        scratch = Scratch() if self.conv.channels else None
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
        return 4 * len(self.conv.channels or ())

    def macs(self, node: Node) -> int:
        dout, weights = node.inputs[0].type, node.inputs[1:]
        positions = dout.size // weights[0].type.shape[0]
        return positions * sum(w.type.size for w in weights)


def scatter(g: Geometry, dout: Array, w: Array) -> Int64:
    """(in_h, in_w, in_ch) int64: the transposed convolution of dout (out_h, out_w, out_ch)."""
    w = w.reshape(g.out_ch, g.kernel_h, g.kernel_w, g.in_ch).astype(np.float64)
    padded = g.padded(np.zeros((g.in_h, g.in_w, g.in_ch)))
    flat = dout.reshape(-1, g.out_ch).astype(np.float64)
    for ky, kx, positions in g.taps():
        padded[positions] += (flat @ w[:, ky, kx]).reshape(g.out_h, g.out_w, g.in_ch)
    return np.asarray(g.unpadded(padded).astype(np.int64))


@dataclass(frozen=True)
class Conv2DUpdate(Op):
    """w s8 and frac s8 in place, x s8, dout, dout_e s16, sgd u32: w -= lr * dw.

    Without a fraction there is w alone, or a sum s32 of the steps in its place (SPEC 1.5).
    There is no buffer for dw:
    dw[o, ky, kx, i] = sum (x - z) dout[.., o], applied at once, in bands of rows (SPEC 1.4, 1.5).
    """

    conv: Conv2D
    has_fraction: bool = field(default=True, kw_only=True)

    @property
    def mutates(self) -> tuple[int, ...]:  # type: ignore[override]
        return (0, 1) if self.has_fraction else (0,)

    @property
    def position(self) -> int:
        """Of x among the inputs."""
        return len(self.mutates)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        x, dout = types[self.position : self.position + 2]
        if format_of(dout).band_rows(self.conv.geometry(x, types[0])) < 1:
            raise ValueError(f"rows of more than {format_of(dout).max_band} outputs cannot learn")
        return ()

    def rates(self, node: Node) -> Rates:
        scales = filter_scales(node.inputs[0].type, self.conv.out_axis)
        x = node.inputs[self.position].type
        return weight_rates(x.scale, scales, self.conv.dead, has_fraction=self.has_fraction)

    def gradient(self, g: Geometry, x: Array, dout: Array, rows: slice) -> Int64:
        """The weight gradient of one band of output rows, in the weights' order."""
        dw = dout[rows].reshape(-1, g.out_ch).T @ g.columns(x, rows)
        return np.asarray(dw.astype(np.int64))

    def channel(self, g: Geometry) -> Int64:
        """The rate's index of each weight, in the gradient's shape or broadcasting to it."""
        return np.arange(g.out_ch)[:, None]

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        parts, (x, dout, exponent, sgd) = inputs[: self.position], inputs[self.position :]
        x_type, dout_type = (t.type for t in node.inputs[self.position : self.position + 2])
        g = self.conv.geometry(x_type, node.inputs[0].type)
        x = x.reshape(g.in_h, g.in_w, g.in_ch) - np.float64(x_type.zero_point)
        dout = dout.reshape(g.out_h, g.out_w, -1).astype(np.float64)
        shape, size = parts[0].shape, parts[0].size
        rates, e, band_rows = self.rates(node), int(exponent[0]), format_of(dout_type).band_rows(g)
        for band, row in enumerate(range(0, g.out_h, band_rows)):
            dw = self.gradient(g, x, dout, slice(row, row + band_rows))
            channel = np.broadcast_to(self.channel(g), dw.shape)
            node_id = 4 * node.index + WEIGHT
            u, learns = weight_steps(dw, channel, e, rates, sgd, node_id, first=band * size)
            parts = step_weights(tuple(v.reshape(dw.shape) for v in parts), u, learns)
        return tuple(v.reshape(shape) for v in parts)

    def lower(self, node: Node) -> KernelCall:
        args: tuple[Arg, ...] = (*node.inputs, *self.rates(node).tables, Scratch())
        kernel = update_kernel("conv2d", node)
        return KernelCall("conv2d", kernel, "conv2d_update", self.update_params(node), args)

    def by_channels(self, node: Node) -> ByChannels | None:
        """Groups of the channels of dout."""
        whole, at = self.lower(node), self.position + 1
        dout = node.inputs[at]
        if dout.type.shape[-1] != whole.params.get("dout_ch", whole.params["out_ch"]):
            return None
        args = (Group(), *whole.args[:at], Channels(dout), *whole.args[at + 1 :])
        part = replace(whole, kernel=update_kernel(f"{whole.unit}_part", node), args=args)
        return ByChannels(part, self.scratch_bytes(node))

    def update_params(self, node: Node) -> dict[str, int]:
        """Parameters of the kernel: geometry, bands, the dither's node."""
        x, dout = node.inputs[self.position : self.position + 2]
        g = self.conv.geometry(x.type, node.inputs[0].type)
        return {
            **vars(g),
            "band_rows": format_of(dout.type).band_rows(g),
            "x_offset": -x.type.zero_point,
            "node": 4 * node.index + WEIGHT,
        }

    def scratch_bytes(self, node: Node) -> int:
        return 4 * node.inputs[0].type.shape[-1]

    def macs(self, node: Node) -> int:
        w, dout = node.inputs[0], node.inputs[self.position + 1]
        return dout.type.size // dout.type.shape[-1] * w.type.size


def update_kernel(layer: str, node: Node) -> str:
    """The kernel for what learns, (w, frac), w or its sum, and for the format of the errors."""
    if len(node.outputs) == 2:
        name = "update"
    else:
        name = "accumulate" if node.output.type.dtype is DType.S32 else "update_whole"
    return f"{layer}_{name}_{format_of(node.inputs[-3].type).suffix}"
