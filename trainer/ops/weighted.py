# SPDX-License-Identifier: Apache-2.0
"""What layers with weights share: their scales, what of them learns, the rules of their errors.

Weights are symmetric. A layer learned in part has frozen weights ``w``, zero where learned, and the
learned input channels' weights ``w_l``, which act on the gathered channels ``x_l``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.fixedpoint import requants
from mcutrain.trainer.graph.call import Rows, Table, Window
from mcutrain.trainer.graph.cutting import along_last
from mcutrain.trainer.graph.once import once_per_node
from mcutrain.trainer.graph.op import ErrorTensor, Op, OutputScale
from mcutrain.trainer.graph.tensor import (
    Array,
    QuantParams,
    Role,
    Tensor,
    TensorType,
    constant,
)
from mcutrain.trainer.ops.clamp_mask import mask_type
from mcutrain.trainer.ops.error import E12, RawError
from mcutrain.trainer.ops.overlap import window_distance
from mcutrain.trainer.ops.rescaling import Rescaling, quantized
from mcutrain.trainer.ops.sgd import BiasUpdate
from mcutrain.trainer.ops.window import MAX_TAPS, Geometry, Placement

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource, Tape, Ties

BEYOND_INT8 = "some of its uint8 weights are beyond int8"  # of a layer read in two parts
MAX_CENTRED = 255  # the magnitude of an input less its zero point
MAX_FAN_IN = 65792  # products of 255 * 128 that fit 32 bits
DEAD_SCALE = 2.0**-12
DEAD_BIAS = 2**30


def greatest_weight(w: Array) -> int:
    """What no magnitude of weights passes: more than int8 where two parts of them are added."""
    return 128 if w.dtype == np.int8 else 255


def dead_channels(w: TensorType, axis: int, bias: tuple[Tensor, ...]) -> tuple[int, ...]:
    """Output channels that never learn: scale or bias out of all proportion (SPEC 1.4)."""
    scales = filter_scales(w, axis)
    dead = scales < DEAD_SCALE * scales.max()
    if bias and bias[0].data is not None:
        dead |= np.abs(bias[0].data.astype(np.int64).reshape(-1)) > DEAD_BIAS
    return tuple(int(c) for c in np.flatnonzero(dead))


def groups_of(source: OperatorSource, x: Tensor, w: Tensor) -> int:
    """How many groups of channels a convolution has. Raises ModelError."""
    (filters, *_, read), in_ch = w.type.shape, x.type.shape[-1]
    if in_ch == read:
        return 1
    if read < 1 or in_ch % read or filters % (in_ch // read):
        raise ModelError(
            f"{source}: {filters} filters of {read} channels do not divide the {in_ch} channels of "
            f"'{x.label}' into groups",
            "take a number of groups that divides the channels of input and output",
        )
    return int(in_ch // read)


def require_few_taps(source: OperatorSource, w: Tensor) -> None:
    """Raises UnsupportedOpError if the kernels of spaced windows have no room for the taps."""
    _, kernel_h, kernel_w, _ = w.type.shape
    if kernel_h * kernel_w > MAX_TAPS:
        raise UnsupportedOpError(
            f"{source} has a kernel of {kernel_h}x{kernel_w}; where taps lie apart or channels in "
            f"groups, up to {MAX_TAPS} taps are supported",
            "take a smaller kernel, or two layers in its place",
        )


@dataclass(frozen=True)
class Weighted(Op, ABC):
    """x s8, w s8[, b (O,) s32][, x_l, w_l] -> out s8: the base of all layers with weights.

    ``dead`` are the output channels that never learn (SPEC 1.4); ``channels`` the input
    channels that learn when only some do, and then x_l and w_l are given. ``out_axis`` is that of
    the filters in the weights; ``by_channel``: a filter reads one input channel, not all;
    ``is_spatial``: its filters are windows over height and width, and ``folds_pads`` if zeros
    around its input may become their padding; ``is_spaced``: the child for windows whose taps lie
    apart and for groups of channels. ``bias_input`` is the position of the bias among the inputs in
    a file. The fields and their order are part of the numerics hash (SPEC 3.2), for each child
    alike.
    """

    output_scale = OutputScale.FREE
    out_axis: ClassVar[int] = 0
    by_channel: ClassVar[bool] = False
    is_spatial: ClassVar[bool] = True
    folds_pads: ClassVar[bool] = True
    is_spaced: ClassVar[bool] = False
    bias_input: ClassVar[int] = 2
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
        x, w = source.activation(0), source.weights(may_be_int4=True)
        if len(w.type.shape) != 4:
            raise ModelError(f"{source}: the weights have the shape {w.type.shape}")
        dilation = int(source.option("DilationHFactor")), int(source.option("DilationWFactor"))
        place = Placement.read(source, x, w.type.shape[1:3], dilation)
        groups = 1 if cls.by_channel else groups_of(source, x, w)
        out_shape = place.shape(w.type.shape[cls.out_axis])
        op, inputs = cls.read_layer(source, x, w, out_shape, place)
        is_dense = dilation == (1, 1) and groups == 1
        return op if is_dense else cls.spaced(op, source, w, dilation, groups), inputs

    @classmethod
    def spaced(
        cls, op: Op, source: OperatorSource, w: Tensor, dilation: tuple[int, int], groups: int
    ) -> Op:
        """The layer ``op`` with taps ``dilation`` apart and with groups of channels."""
        require_few_taps(source, w)
        kind: Any = next(child for child in cls.__subclasses__() if child.is_spaced)
        own: dict[str, Any] = {} if cls.by_channel else {"groups": groups}
        layer: Op = kind(**vars(op), dilation=dilation, **own)
        return layer

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
        bias = source.bias(w.type.shape[cls.out_axis], cls.bias_input)
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

    @property
    def learns_in_part(self) -> bool:
        """Whether some of its input channels can learn alone."""
        return True

    def limits(self) -> tuple[int, int]:
        return self.act_min, self.act_max

    @property
    def has_two_parts(self) -> bool:
        """Whether its weights are two tensors, of which one acts on some channels only."""
        return self.channels is not None

    def split_inputs(self, node: Node) -> tuple[Tensor | None, Tensor, Tensor]:
        """(bias or None, the input that is saved for the update, the weights that learn)."""
        b = node.inputs[2] if self.has_bias else None
        if self.channels is None:
            return b, node.inputs[0], node.inputs[1]
        return b, node.inputs[-2], node.inputs[-1]

    def geometry(self, x: TensorType, w: TensorType) -> Geometry:
        _, in_h, in_w, in_ch = x.shape
        out_h, out_w = self.out_shape[1:3]
        _, kernel_h, kernel_w, _ = w.shape
        sizes = (in_h, in_w, in_ch, out_h, out_w, w.shape[self.out_axis])
        return Geometry(*sizes, kernel_h, kernel_w, *self.stride, *self.padding)

    def factors(self, x: TensorType, w: TensorType) -> Array:
        """Output scale factors s_x s_w[c] / s_out, in float64 as tflite-micro has them."""
        return np.asarray(x.scale * filter_scales(w, self.out_axis) / self.out_quant.scale)

    def requants(self, x: TensorType, w: TensorType) -> tuple[Array, Array]:
        """(multiplier (O,) s32, shift (O,) s8)."""
        multiplier, shift = requants(self.factors(x, w))
        return multiplier.astype(np.int32), shift.astype(np.int8)

    def columns(self, x: TensorType, w: TensorType) -> tuple[int, ...]:
        """Indices along the weights' last axis that belong to the learned channels."""
        return self.channels or ()

    def whole_weights(self, x: TensorType, w: Array, w_l: Array) -> Array:
        """The weights with those of the learned channels added, int16; without any, ``w``."""
        if self.channels is None:
            return w
        whole = w.astype(np.int16)
        whole[..., list(self.columns(x, constant("w", w).type))] += w_l
        return whole

    def filter_weights(self, w: TensorType) -> Array:
        """(O,) int64: round(2**16 (s_w / max s_w)**2)."""
        scales = filter_scales(w, self.out_axis)
        return np.asarray(np.floor(2**16 * (scales / scales.max()) ** 2 + 0.5).astype(np.int64))

    @once_per_node
    def windows(self, node: Node) -> Geometry:
        """``geometry`` of the node's inputs."""
        return self.geometry(*(t.type for t in node.inputs[:2]))

    @once_per_node
    def rescaling(self, node: Node) -> Rescaling:
        """From accumulators to the output."""
        return Rescaling.of(self.factors(*(t.type for t in node.inputs[:2])))

    @abstractmethod
    def channel_scores(self, x: TensorType, w: Tensor) -> Array:
        """(I,) int64: the squared norm of each input channel's weights (SPEC 1.5)."""

    @abstractmethod
    def grad_input(self, x: Tensor) -> RawError:
        """The operator that makes the error of ``x``."""

    @abstractmethod
    def weight_update(
        self, x: Tensor, w: Tensor, *, has_fraction: bool = True, has_input_shifts: bool = False
    ) -> Op:
        """The operator that changes what of ``w`` learns."""

    def requantized(self, node: Node, acc: Array, inputs: tuple[Array, ...]) -> Array:
        """The output of accumulators without bias (out_h, out_w, out_ch)."""
        bias = inputs[2] if self.has_bias else 0
        scale, zero_point = self.rescaling(node), self.out_quant.zero_point
        out = quantized(acc, scale, zero_point, self.limits(), bias)
        return out.reshape(self.out_shape)

    def filter_groups(self) -> int:
        """How many groups of filters read channels of their own."""
        return 1

    def tie(self, node: Node, ids: tuple[Array, ...], ties: Ties) -> Array | str:
        """What filters make has new ids, and each column of weights reads one thing. Filters by
        channel pass on what they read, unless that stays: then each reads a filter less."""
        x, out, groups = ids[0], node.output.type.shape, self.filter_groups()
        if self.has_two_parts:
            return BEYOND_INT8
        row, depth = along_last(x), node.inputs[1].type.shape[-1]
        if self.by_channel:
            if row is None:
                return "its input has its channels along another axis than the last one"
            times = out[-1] // row.size
            if row.size > 1 and not ties.must_stay(row):
                return np.broadcast_to(np.repeat(row, times), out)
            return np.broadcast_to(np.tile(ties.make(node, times), row.size), out)
        read = row if row is not None and row.size % depth == 0 else x
        columns = read.reshape(-1, depth)
        ties.unite(columns[:1], columns)
        ties.read(node, columns[0])
        made = ties.make(node, out[-1] // groups)
        return np.broadcast_to(np.tile(made, groups), out)

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
            shifts = tape.input_shifts(learned)
            op = self.weight_update(
                x, w, has_fraction=len(parts) == 2, has_input_shifts=bool(shifts)
            )
            tape.update(op, node, learned, *parts, *shifts, saved, *error, tape.sgd)
        if b is not None and b.role is Role.PARAM:
            assert w.type.quant is not None
            update = BiasUpdate(x.type.scale, w.type.quant, self.dead)
            tape.update(update, node, b, *tape.parts(b), *error, tape.sgd)

    def why_frozen(self, node: Node) -> str:
        """Why the weights cannot learn from E12 errors; empty if they can."""
        x, w = node.inputs[:2]
        if self.has_two_parts:
            return BEYOND_INT8
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
            weights = (w, node.inputs[-1]) if self.channels else (w,)
            types = (*error, *(t.type for t in weights), mask_type(x.type))
            self.grad_input(x).infer(*types)
        except ValueError as err:
            return str(err)
        return ""

    def params(self, node: Node, *, by_rows: bool = False) -> dict[str, int]:
        """Of the kernel of a whole layer, or of a row."""
        x, w = node.inputs[:2]
        g = self.geometry(x.type, w.type)
        return {
            **vars(g if by_rows else g.in_one_row()),
            "learned_ch": len(self.channels or ()),
            "x_offset": -x.type.zero_point,
            "out_offset": self.out_quant.zero_point,
            "act_min": self.act_min,
            "act_max": self.act_max,
        }

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        g = self.geometry(*(t.type for t in node.inputs[:2]))
        return {(0, 0): window_distance(g, by_channel=self.by_channel)}

    def window_rows(self, node: Node, x: Tensor | None) -> Rows | None:
        """The rows of x, or of its gathered channels, that an output row reads."""
        if x is None:
            return None
        g = self.geometry(*(t.type for t in node.inputs[:2]))
        return Rows(x, g.in_h, Window(g.span[0], g.stride_h, g.pad_top))

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

    def reads(self, node: Node) -> tuple[int, int]:
        w = node.inputs[1].type
        g = self.geometry(node.inputs[0].type, w)
        # The filters of a depthwise layer read different values, all others the same.
        return g.kernel_h * g.kernel_w, g.out_h * g.out_w * w.size // w.shape[0]


def channel_table(channels: tuple[int, ...] | None, name: str = "channel") -> Table | None:
    return Table(name, np.array(channels, np.uint16)) if channels else None


def filter_scales(w: TensorType, axis: int) -> Array:
    """(out_ch,) float64: the scale of each filter; ``axis`` is the filters' in the weights."""
    assert w.quant is not None
    return w.quant.channel_scales(w.shape[axis])
