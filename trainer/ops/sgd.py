# SPDX-License-Identifier: Apache-2.0
"""Plain SGD on integers: the update of weights and biases, and the step count (SPEC 1.5).

A learned weight is ``M = 256 w + frac``: the int8 weight that the forward pass reads and
eight fraction bits beside it, or ``M = w`` without them. Steps of several samples can add
up in a sum of their own before they are taken. Quantisation-aware scaling (Lin et al. 2022)
is built into the rates, which are bytes with a shift; the rounding is stochastic and stateless.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.fixedpoint import (
    SAT23,
    Int64,
    Integers,
    dither,
    exact_float,
    magnitude,
    narrow23,
    scaled_byte,
    scaled_bytes,
    seed_op,
    stochastic_round,
    sums_by_column,
)
from mcutrain.trainer.graph.call import ByChannels, Channels, Group, KernelCall, Table
from mcutrain.trainer.graph.once import once_per_node
from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Role, Tensor, TensorType
from mcutrain.trainer.ops.companion import Companion, Digest, FollowUp, Kept, LearnedFormats
from mcutrain.trainer.ops.error import format_of
from mcutrain.trainer.ops.state_check import (
    BIAS_MAX,
    WEIGHT_MAX,
    fraction_check,
    sum_check,
)

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node

FRACTION_BITS = 8
STEP_MAX = 2**16
WEIGHT, BIAS = 0, 1  # the low two bits of a dither's node number


@dataclass(frozen=True)
class LearningRate:
    """``multiplier * 2**-shift``; the multiplier is in 128..255, or 0 for no update."""

    multiplier: int
    shift: int

    @classmethod
    def from_real(cls, rate: float) -> LearningRate:
        """Nearest rate with an 8-bit multiplier. Raises ValueError unless 0 <= rate <= 255.

        >>> LearningRate.from_real(2**-6), LearningRate.from_real(0.1)
        (LearningRate(multiplier=128, shift=13), LearningRate(multiplier=205, shift=11))
        """
        if not 0 <= rate <= 255:
            raise ValueError(f"the learning rate must be a number from 0 to 255, got {rate}")
        return cls(*scaled_byte(rate)) if rate >= 2**-100 else cls(0, 0)

    @property
    def real(self) -> float:
        return float(self.multiplier * 2.0**-self.shift)


def sgd_state(rate: LearningRate, seed: int = 0) -> Tensor:
    """STATE (4,) u32: seed, step number, multiplier and shift of the learning rate."""
    data = np.array([seed, 0, rate.multiplier, rate.shift], np.uint32)
    return Tensor("sgd", TensorType(data.shape, DType.U32), Role.STATE, data)


def fraction_of(weight: Tensor, formats: LearnedFormats) -> Tensor | None:
    """PARAM s8 of the weight's shape: the fraction bits of a learned weight, at first 0."""
    if not formats.has_fraction or weight.type.dtype is not DType.S8:
        return None
    type_ = TensorType(weight.type.shape, DType.S8)
    return Tensor(f"{weight.name}_frac", type_, Role.PARAM, np.zeros(type_.shape, np.int8))


def sum_of(learned: Tensor, formats: LearnedFormats) -> Tensor | None:
    """STATE s32 of the shape of a weight or a bias: steps that it has not taken yet, at first 0.

    A weight's steps are in quanta of its scale, or of a fraction of it.
    """
    if not formats.has_sums:
        return None
    quant = learned.type.quant
    if quant is not None and formats.has_fraction and learned.type.dtype is DType.S8:
        quant = replace(quant, scales=tuple(s / 2**FRACTION_BITS for s in quant.scales))
    type_ = TensorType(learned.type.shape, DType.S32, quant)
    return Tensor(f"{learned.name}_sum", type_, Role.STATE, np.zeros(type_.shape, np.int32))


@dataclass(frozen=True)
class Rates:
    """Per-channel factors ``multiplier * 2**-shift``; multiplier 0 marks a dead channel."""

    multiplier: Array
    shift: Array

    @classmethod
    def of(cls, factors: Array, dead: tuple[int, ...]) -> Rates:
        multiplier, shift = scaled_bytes(factors)
        multiplier[list(dead)] = shift[list(dead)] = 0
        return cls(multiplier.astype(np.uint8), shift.astype(np.int16))

    @property
    def tables(self) -> tuple[Table, Table]:
        return Table("rate", self.multiplier), Table("rate_shift", self.shift)


def weight_rates(
    x_scale: float, w_scales: Array, dead: tuple[int, ...], *, has_fraction: bool = True
) -> Rates:
    """s_x / s_w[c], times 2**8 where the steps are in a fraction's quanta, for each channel."""
    quanta = 2.0**FRACTION_BITS if has_fraction else 1.0
    return Rates.of(x_scale / w_scales * quanta, dead)


def bias_rates(x_scale: float, w_scales: Array, dead: tuple[int, ...]) -> Rates:
    """1 / (s_x s_w[c]) for each output channel."""
    return Rates.of(1.0 / (x_scale * w_scales), dead)


def input_shift_of(weight: Tensor, formats: LearnedFormats) -> Tensor | None:
    """STATE s8 (last axis of the weight,): p of each input channel, whose weights' steps are 2**p
    times as large; at first 0. A depthwise layer has one for each output channel."""
    if not formats.has_input_shifts or weight.type.dtype is not DType.S8:
        return None
    type_ = TensorType(weight.type.shape[-1:], DType.S8)
    return Tensor(f"{weight.name}_input_shift", type_, Role.STATE, np.zeros(type_.shape, np.int8))


def _scaled_steps(
    gradient: Integers,
    channel: Int64,
    exponent: int,
    rates: Rates,
    sgd: Array,
    node: int,
    first: int,
    input_shift: Array | None = None,
) -> Integers:
    """SR(g A, q + L - 8 - e - p - t, r), (g, t) = narrow23(gradient); ``first`` is the first
    index, ``input_shift`` p along the last axis of the weights, 0 if it is None."""
    seed, step, multiplier, shift = (int(v) for v in sgd)
    a = ((rates.multiplier.astype(np.int64) * multiplier + 128) >> 8)[channel]
    total_shift = (rates.shift.astype(np.int64) + (shift - 8 - exponent))[channel]
    index = np.arange(first, first + gradient.size, dtype=np.uint32).reshape(gradient.shape)
    r = dither(seed_op(seed, step, node), index)
    if input_shift is not None:
        repeats = gradient.size // input_shift.size
        total_shift = total_shift - np.tile(input_shift, repeats).reshape(gradient.shape)
    steps = stochastic_round(gradient * a.astype(np.float64), total_shift, r)
    if magnitude(gradient) > SAT23:  # of some the product with a byte does not fit 32 bits
        wide = np.abs(gradient) > SAT23
        a, total_shift = (np.broadcast_to(v, gradient.shape)[wide] for v in (a, total_shift))
        value, dropped = narrow23(gradient[wide].astype(np.int64))
        steps[wide] = stochastic_round(value * a, total_shift - dropped, r[wide])
    return steps


def weight_steps(
    dw: Integers,
    channel: Int64,
    exponent: int,
    rates: Rates,
    sgd: Array,
    node: int,
    first: int = 0,
    input_shift: Array | None = None,
) -> tuple[Integers, Array]:
    """(u, which elements take their step) along ``dw``; of its shape, which that of ``channel``,
    the rates' index, broadcasts to. ``input_shift`` (C,) is p of each input channel, if any.

    Elements with dw = 0 and dead channels take none.
    """
    steps = _scaled_steps(dw, channel, exponent, rates, sgd, node, first, input_shift)
    u = within(steps, STEP_MAX)
    return u, (dw != 0) & (rates.multiplier[channel] != 0) & (int(sgd[2]) != 0)


def step_weights(parts: tuple[Array, ...], u: Integers, learns: Array) -> tuple[Array, ...]:
    """(w, frac), (w,) without a fraction, or one s32 (a bias, a sum), after the steps ``u``, which
    are 0 where nothing ``learns``."""
    if len(parts) == 1:
        most = BIAS_MAX if parts[0].dtype == np.int32 else 127
        return (_stepped(parts[0], u, learns, most),)
    # 256 w + frac has 16 bits but for the -128 that a model file can hold.
    narrow = np.int16 if parts[0].min(initial=0) > -128 else np.int32
    m = parts[0] * narrow(2**FRACTION_BITS) + parts[1]
    m = _stepped(m, u, learns, WEIGHT_MAX)
    return np.right_shift(m + 128, FRACTION_BITS).astype(np.int8), m.astype(np.int8)


def _stepped(values: Array, u: Integers, learns: Array, most: int) -> Array:
    """The values less u in +-most; those that do not learn stay even beyond it."""
    new = within(values - u, most).astype(values.dtype)
    return new if magnitude(values) <= most else np.where(learns, new, values)


def within(values: Array, most: int) -> Array:
    """The values, which are changed, in +-most."""
    return np.asarray(np.clip(values, -most, most, out=values))


@dataclass(frozen=True)
class BiasUpdate(Op):
    """b (C,) s32 in place, dout (..., C), dout_e s16 (1,), sgd u32 (4,): b -= lr * sum dout.

    A sum of a bias's steps can stand in its place.
    """

    mutates = (0,)
    x_scale: float
    w_quant: QuantParams
    dead: tuple[int, ...] = ()

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        b, dout = types[:2]
        if dout.shape[-1] != b.size:
            raise ValueError(f"bias has {b.size} channels, its error {dout.shape[-1]}")
        most = format_of(dout).max_errors
        if dout.size // b.size > most:
            raise ValueError(f"a bias over more than {most} positions cannot learn")
        return ()

    @once_per_node
    def rates(self, node: Node) -> Rates:
        scales = self.w_quant.channel_scales(node.inputs[0].type.size)
        return bias_rates(self.x_scale, scales, self.dead)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        b, dout, exponent, sgd = inputs
        if int(sgd[2]) == 0:
            return (b,)
        exact = exact_float(dout.size // b.size * format_of(node.inputs[1].type).greatest)
        db = sums_by_column(dout.reshape(-1, b.size).astype(exact))
        rates = self.rates(node)
        channel = np.arange(b.size)
        u = _scaled_steps(db, channel, int(exponent[0]), rates, sgd, 4 * node.index + BIAS, 0)
        u = within(u, BIAS_MAX - 1)
        return step_weights((b,), u, (db != 0) & (rates.multiplier != 0))

    def lower(self, node: Node) -> KernelCall:
        b, dout, exponent, sgd = node.inputs
        channels = b.type.size
        params = {
            "positions": dout.type.size // channels,
            "channels": channels,
            "node": 4 * node.index + BIAS,
        }
        args = (b, dout, exponent, sgd, *self.rates(node).tables)
        kernel = f"bias_update_{format_of(dout.type).suffix}"
        return KernelCall("sgd", kernel, "bias_update", params, args)

    def by_channels(self, node: Node) -> ByChannels | None:
        whole, (b, dout, *_) = self.lower(node), node.inputs
        args = (Group(), b, Channels(dout), *whole.args[2:])
        kernel = f"bias_update_part_{format_of(dout.type).suffix}"
        return ByChannels(replace(whole, kernel=kernel, args=args))


@dataclass(frozen=True)
class ApplySum(Op):
    """(w s8[, frac s8] or b s32), sum s32 in place, sgd u32 (4,): every ``samples`` steps what the
    sum was for takes -sum as its step where it is not 0, and the sum begins anew (SPEC 1.5).
    """

    samples: int
    has_fraction: bool = False

    @property
    def mutates(self) -> tuple[int, ...]:  # type: ignore[override]
        return (0, 1, 2) if self.has_fraction else (0, 1)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        return ()

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        *parts, total, sgd = inputs
        _, step, multiplier, _ = (int(v) for v in sgd)
        if multiplier == 0 or ((step + 1) & 0xFFFFFFFF) % self.samples:
            return (*parts, total)
        u = -np.clip(total.astype(np.int64), -BIAS_MAX, BIAS_MAX)
        return (*step_weights(tuple(parts), u, total != 0), np.zeros_like(total))

    def lower(self, node: Node) -> KernelCall:
        kind = "s8_8" if self.has_fraction else node.inputs[0].type.dtype.value
        params = {"size": node.inputs[0].type.size, "samples": self.samples}
        return KernelCall("sgd", f"apply_sum_{kind}", "apply_sum", params, node.inputs)


@dataclass(frozen=True)
class CountStep(Op):
    """sgd u32 (4,) in place: the step number grows by one."""

    mutates = (0,)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        return ()

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        (sgd,) = inputs
        return (sgd + np.array([0, 1, 0, 0], np.uint32),)

    def lower(self, node: Node) -> KernelCall:
        return KernelCall("sgd", "count_step", "count_step", {}, node.inputs)


def apply_sum(
    learned: Tensor, kept: Kept, sgd: Tensor, formats: LearnedFormats
) -> Iterator[FollowUp]:
    """What takes the steps of a sum, behind each update."""
    whole = whole_of(learned, kept)
    op = ApplySum(formats.accumulate, has_fraction=len(whole) > 1)
    yield FollowUp(op, (*whole, kept[SUM], sgd), "apply")


def whole_of(learned: Tensor, kept: Kept) -> tuple[Tensor, ...]:
    """A weight and its fraction, or what has none alone."""
    return (learned, kept[FRACTION]) if FRACTION in kept else (learned,)


def updated(learned: Tensor, kept: Kept) -> tuple[Tensor, ...]:
    """What an update changes: a weight and its fraction, one of them alone, or their sum."""
    return (kept[SUM],) if SUM in kept else whole_of(learned, kept)


FRACTION = Companion(
    "fraction", "fractions", fraction_of, Digest.JOINED, is_beside=True, check=fraction_check
)
SUM = Companion("sum", "sums", sum_of, follow=apply_sum, check=sum_check)
INPUT_SHIFT = Companion("input_shift", "input_shifts", input_shift_of, Digest.NONE)
COMPANIONS = (FRACTION, SUM, INPUT_SHIFT)
