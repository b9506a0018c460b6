# SPDX-License-Identifier: Apache-2.0
"""Plain SGD on integers: the update of weights and biases, and the step count (SPEC 1.5).

A learned weight is ``M = 256 w + frac``: the int8 weight that the forward pass reads and
eight fraction bits beside it. Quantisation-aware scaling (Lin et al. 2022) is built into
the rates, which are bytes with a shift; the rounding is stochastic and stateless.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainer.fixedpoint import Int64, dither, narrow23, scaled_byte, seed_op, stochastic_round
from trainer.ops.base import KernelCall, Op, Table
from trainer.tensor import Array, DType, QuantParams, Role, Tensor, TensorType

if TYPE_CHECKING:
    from trainer.graph import Node

WEIGHT_MAX = 127 * 256
STEP_MAX = 2**16
BIAS_MAX = 2**30
MAX_POSITIONS = 2**20  # errors of up to 2047 that fit 32 bits in a bias's gradient
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


def fraction_of(weight: Tensor) -> Tensor:
    """PARAM s8 of the weight's shape: the fraction bits of a learned weight, at first 0."""
    type_ = TensorType(weight.type.shape, DType.S8)
    return Tensor(f"{weight.name}_frac", type_, Role.PARAM, np.zeros(type_.shape, np.int8))


@dataclass(frozen=True)
class Rates:
    """Per-channel factors ``multiplier * 2**-shift``; multiplier 0 marks a dead channel."""

    multiplier: Array
    shift: Array

    @classmethod
    def of(cls, factors: Iterable[float], dead: tuple[int, ...]) -> Rates:
        pairs = [(0, 0) if c in dead else scaled_byte(f) for c, f in enumerate(factors)]
        return cls(
            np.array([a for a, _ in pairs], np.uint8), np.array([q for _, q in pairs], np.int16)
        )

    @property
    def tables(self) -> tuple[Table, Table]:
        return Table("rate", self.multiplier), Table("rate_shift", self.shift)


def weight_rates(x_scale: float, w_scales: Array, dead: tuple[int, ...]) -> Rates:
    """s_x / s_w[c] * 2**8 for each output channel."""
    return Rates.of((x_scale / float(s) * 256.0 for s in w_scales), dead)


def bias_rates(x_scale: float, w_scales: Array, dead: tuple[int, ...]) -> Rates:
    """1 / (s_x s_w[c]) for each output channel."""
    return Rates.of((1.0 / (x_scale * float(s)) for s in w_scales), dead)


def _scaled_steps(
    gradient: Int64, channel: Int64, exponent: int, rates: Rates, sgd: Array, node: int, first: int
) -> Int64:
    """SR(g A, q + L - 8 - e - t, r), (g, t) = narrow23(gradient); ``first`` is the first index."""
    seed, step, multiplier, shift = (int(v) for v in sgd)
    a = (rates.multiplier.astype(np.int64) * multiplier + 128) >> 8
    index = np.arange(first, first + gradient.size, dtype=np.int64).reshape(gradient.shape)
    r = dither(seed_op(seed, step, node), index)
    total_shift = rates.shift.astype(np.int64) + (shift - 8 - exponent)
    value, dropped = narrow23(gradient)
    return stochastic_round(value * a[channel], total_shift[channel] - dropped, r)


def update_weights(
    w: Array,
    frac: Array,
    dw: Int64,
    channel: Int64,
    exponent: int,
    rates: Rates,
    sgd: Array,
    node: int,
    first: int = 0,
) -> tuple[Array, Array]:
    """New (w, frac) after the step along ``dw``; all of one shape, ``channel`` the rates' index.

    Elements with dw = 0 and dead channels are left untouched.
    """
    if int(sgd[2]) == 0:
        return w, frac
    u = np.clip(_scaled_steps(dw, channel, exponent, rates, sgd, node, first), -STEP_MAX, STEP_MAX)
    m = np.clip(256 * w.astype(np.int64) + frac - u, -WEIGHT_MAX, WEIGHT_MAX)
    new_w = np.clip((m + 128) >> 8, -127, 127)
    keep = (dw == 0) | (rates.multiplier[channel] == 0)
    new_frac = np.where(keep, frac, m - 256 * new_w)
    return np.where(keep, w, new_w).astype(np.int8), new_frac.astype(np.int8)


@dataclass(frozen=True)
class BiasUpdate(Op):
    """b (C,) s32 in place, dout (..., C) s16, dout_e s16 (1,), sgd u32 (4,): b -= lr * sum dout."""

    mutates = (0,)
    x_scale: float
    w_quant: QuantParams
    dead: tuple[int, ...] = ()

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        b, dout = types[:2]
        if dout.shape[-1] != b.size:
            raise ValueError(f"bias has {b.size} channels, its error {dout.shape[-1]}")
        if dout.size // b.size > MAX_POSITIONS:
            raise ValueError(f"a bias over more than {MAX_POSITIONS} positions cannot learn")
        return ()

    def rates(self, node: Node) -> Rates:
        scales = self.w_quant.channel_scales(node.inputs[0].type.size)
        return bias_rates(self.x_scale, scales, self.dead)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        b, dout, exponent, sgd = inputs
        if int(sgd[2]) == 0:
            return (b,)
        db = dout.reshape(-1, b.size).astype(np.int64).sum(axis=0)
        rates = self.rates(node)
        channel = np.arange(b.size)
        u = _scaled_steps(db, channel, int(exponent[0]), rates, sgd, 4 * node.index + BIAS, 0)
        u = np.clip(u, -(BIAS_MAX - 1), BIAS_MAX - 1)
        new = np.clip(b.astype(np.int64) - u, -BIAS_MAX, BIAS_MAX)
        keep = (db == 0) | (rates.multiplier == 0)
        return (np.where(keep, b, new).astype(np.int32),)

    def lower(self, node: Node) -> KernelCall:
        b, dout, exponent, sgd = node.inputs
        channels = b.type.size
        params = {
            "positions": dout.type.size // channels,
            "channels": channels,
            "node": 4 * node.index + BIAS,
        }
        args = (b, dout, exponent, sgd, *self.rates(node).tables)
        return KernelCall("sgd", "bias_update_s16_s32", "bias_update", params, args)


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
