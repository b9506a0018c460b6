# SPDX-License-Identifier: Apache-2.0
"""How the inputs of the rows in op_cases.py are drawn: extremes first, then at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from mcutrain.trainer.graph.tensor import Array, DType, TensorType
from mcutrain.trainer.graph.tensor import QuantParams as Q
from mcutrain.trainer.ops.clamp_mask import mask_type, packed
from mcutrain.trainer.ops.error import E12, EXPONENT, ErrorFormat


@dataclass(frozen=True)
class Draw:
    """One draw: the generator, the round, the input's position, and the inputs before it.

    RandomState, because its stream is frozen: the golden hashes depend on it.
    """

    rng: np.random.RandomState
    round: int
    position: int
    earlier: list[Array]


Rule: TypeAlias = Callable[[Draw, TensorType], Array]


@dataclass(frozen=True)
class Feed:
    """An input of a row."""

    type: TensorType
    rule: Rule

    def draw(self, rng: np.random.RandomState, round_: int, earlier: list[Array]) -> Array:
        value = self.rule(Draw(rng, round_, len(earlier), earlier), self.type)
        return np.asarray(value).astype(self.type.dtype.np).reshape(self.type.shape)


@dataclass(frozen=True)
class ErrorFeed(Feed):
    """An error: what is of another type where another format is."""


def integers(low: int, high: int) -> Rule:
    """The four combinations of least and greatest; then corners, sparse and uniform values."""

    def rule(draw: Draw, type_: TensorType) -> Array:
        if draw.round < 4:
            is_low = (draw.round, 0)[draw.round > 1] == 0
            flipped = draw.round > 1 and (draw.position + draw.round) % 2 == 1
            return np.full(type_.shape, low if is_low != flipped else high)
        uniform = draw.rng.randint(low, high + 1, type_.shape, np.int64)
        mood = draw.rng.randint(8)
        if mood == 0:
            return np.where(draw.rng.randint(2, size=type_.shape) == 0, low, high)
        if mood == 1:
            return np.where(draw.rng.randint(4, size=type_.shape) == 0, uniform, max(low, 0))
        return uniform

    return rule


DEFAULT = Q((0.05,), -3)


def s8(*shape: int, quant: Q = DEFAULT) -> Feed:
    return Feed(TensorType(shape, DType.S8, quant), integers(-128, 127))


def unmasked(x: TensorType, limits: tuple[int, int]) -> Feed:
    """Forward values that mask nothing while the other inputs are at their extremes."""

    def rule(draw: Draw, type_: TensorType) -> Array:
        if draw.round < 4:
            return np.full(type_.shape, (limits[0] + limits[1]) // 2)
        return integers(-128, 127)(draw, type_)

    return Feed(x, rule)


def mask_of(x: Feed, limits: tuple[int, int]) -> Feed:
    """The clamp mask of what ``x`` draws."""
    return Feed(mask_type(x.type), lambda draw, _: packed(x.rule(draw, x.type), limits))


def open_mask(x: TensorType, limits: tuple[int, int]) -> Feed:
    """The mask of ``unmasked``."""
    return mask_of(unmasked(x, limits), limits)


def mask_of_last(x: TensorType, limits: tuple[int, int]) -> Feed:
    """The clamp mask of the input before it."""
    return Feed(mask_type(x), lambda draw, _: packed(draw.earlier[-1], limits))


def filters(*shape: int, quant: Q) -> Feed:
    """Weights, of the whole int8 range: -128 included."""
    if len(quant.scales) == 1:
        quant = Q(quant.scales, 0)
    return Feed(TensorType(shape, DType.S8, quant), integers(-128, 127))


def zero(feed: Feed) -> Feed:
    return Feed(feed.type, lambda draw, type_: np.zeros(type_.shape))


def frozen_part(whole: Feed, columns: tuple[int, ...]) -> Feed:
    """The frozen weights of a layer learned in part: zero in the learned columns."""

    def rule(draw: Draw, type_: TensorType) -> Array:
        w = whole.rule(draw, type_)
        w[..., list(columns)] = 0
        return w

    return Feed(whole.type, rule)


def gathered(x: TensorType, in_ch: int, channels: tuple[int, ...]) -> Feed:
    """The learned channels of the first input, which is rows of ``in_ch``."""
    rows = x.shape[:-1] if x.shape[-1] == in_ch else (x.size // in_ch,)
    type_ = x.with_shape(*rows, len(channels))
    return Feed(type_, lambda draw, _: draw.earlier[0].reshape(-1, in_ch)[:, list(channels)])


def bias(channels: int, bits: int, dead: tuple[int, ...] = ()) -> Feed:
    """Magnitudes up to 2**bits; beyond 2**30 a channel is dead by definition."""
    limit = np.full(channels, min(2**bits, 2**30), np.int64)
    limit[list(dead)] = 2**bits

    def rule(draw: Draw, _: TensorType) -> Array:
        drawn = integers(-(2**bits), 2**bits)(draw, _)
        return np.clip(drawn, -limit, np.minimum(limit, 2**31 - 1))

    return Feed(TensorType((channels,), DType.S32), rule)


def error(*shape: int, errors: ErrorFormat = E12) -> Feed:
    rule = integers(-errors.greatest, errors.greatest)
    return ErrorFeed(TensorType(shape, errors.dtype), rule)


def exponent(low: int, high: int) -> Feed:
    return Feed(EXPONENT, lambda draw, _: draw.rng.randint(low, high + 1, (1,)))


def history(exponents: tuple[int, int]) -> Feed:
    """(h, n): never used, far below, at decay's edge, or about what the error needs."""
    low, high = exponents

    def rule(draw: Draw, _: TensorType) -> Array:
        h = -32768 if draw.round % 5 == 0 else draw.rng.randint(low - 20, high + 40)
        return np.array([h, draw.rng.randint(16) if draw.round % 3 else 15])

    return Feed(TensorType((2,), DType.S16), rule)


def sgd(shifts: tuple[int, int]) -> Feed:
    """Seed, step, multiplier (0 in every eighth round) and shift of the learning rate."""

    def rule(draw: Draw, _: TensorType) -> Array:
        seed, step = draw.rng.randint(0, 2**32, 2, np.int64)
        multiplier = 0 if draw.round % 8 == 7 else draw.rng.randint(128, 256)
        shift = draw.rng.randint(shifts[0], shifts[1] + 1)
        return np.array([seed, step, multiplier, shift], np.int64)

    return Feed(TensorType((4,), DType.U32), rule)


def label(classes: int) -> Feed:
    return Feed(TensorType((1,), DType.U32), lambda draw, _: draw.rng.randint(classes, size=1))


def seen(classes: int) -> Feed:
    """A bit of each class; at first of none."""
    type_ = TensorType((-(-classes // 32),), DType.U32)

    def rule(draw: Draw, _: TensorType) -> Array:
        bits = draw.rng.randint(0, 2**32, type_.shape, np.int64)
        return np.zeros_like(bits) if draw.round % 8 == 0 else bits

    return Feed(type_, rule)


def count(low: int, high: int) -> Feed:
    """A number of classes in use."""
    return Feed(TensorType((1,), DType.U32), lambda draw, _: draw.rng.randint(low, high + 1, 1))
