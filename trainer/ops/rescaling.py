# SPDX-License-Identifier: Apache-2.0
"""Accumulators to int8 in few passes over arrays: the bits of ``requantize``, by exact floats."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mcutrain.trainer.fixedpoint import Int64, Integers, magnitude, requantize, requants, wrap32

# A product of less with a multiplier is below 2**53, up to where they are float64s, rounded too.
MAX_IN_DOUBLES = 2**21
CHUNK = 2**14  # values that are requantised at a time: they stay in the processor's cache
LONG_ROW = 256  # values in a row from where NumPy's time for it is that of its values
AWAY = 1 + 2.0**-22  # two units in the last place of a float32 of 1


@dataclass(frozen=True, eq=False)
class Rescaling:
    """Requantisation by ``multiplier * 2**(shift - 31)``, of all values or of each channel.

    What ``quantized`` makes of the two is computed once.
    """

    multiplier: Int64 | int
    shift: Int64 | int

    @classmethod
    def of(cls, factors: npt.NDArray[np.float64]) -> Rescaling:
        """By ``requants`` of the factors (channels,), which may raise."""
        return cls(*requants(factors))

    def at(self, chosen: npt.NDArray[np.bool_]) -> Rescaling:
        """Of the chosen channels."""
        pair = (np.broadcast_to(v, chosen.shape)[chosen] for v in (self.multiplier, self.shift))
        return Rescaling(*pair)

    @cached_property
    def left(self) -> float:
        """The greatest factor of a left shift, at least 1."""
        return float(2.0 ** max(0, int(np.max(self.shift))))

    @cached_property
    def factor(self) -> Any:
        """The multiplier with the shift to the left, in float64: exact."""
        return self.multiplier * 2.0 ** (np.maximum(self.shift, 0) - 31.0)

    @cached_property
    def down(self) -> Any:
        """The shift to the right as a float32 factor, greater by two units in the last place."""
        return (2.0 ** np.minimum(self.shift, 0.0) * AWAY).astype(np.float32)


def quantized(
    acc: Integers,
    scale: Rescaling,
    zero_point: int,
    limits: tuple[int, int] = (-128, 127),
    bias: Integers | int = 0,
) -> npt.NDArray[np.int8]:
    """Accumulators with their bias requantised, and with the zero point within limits; both sums
    wrap modulo 2**32. ``scale`` and ``bias`` are one for all or one per channel.

    >>> quantized(np.array([-300.0, -3.0, -1.0, 1.0, 3.0]), Rescaling(2**30, 0), 5)
    array([-128,    4,    5,    6,    7], dtype=int8)
    """
    greatest: Any = magnitude(acc)
    most = MAX_IN_DOUBLES / scale.left
    if greatest + magnitude(np.asarray(bias)) < most:
        return _quantized_in_doubles(acc, scale, zero_point, limits, bias)
    rows = acc.reshape(-1, acc.shape[-1])
    if greatest >= most:
        greatest = np.maximum(rows.max(axis=0, initial=0), -rows.min(axis=0, initial=0))
    wide = np.broadcast_to(greatest + np.abs(bias, dtype=np.float64) >= most, rows.shape[1])
    if wide.mean() > 0.5:
        return _quantized_in_integers(rows, scale, zero_point, limits, bias).reshape(acc.shape)
    # Few channels are beyond, such as dead ones, whose biases are out of all proportion.
    out = _quantized_in_doubles(rows, scale, zero_point, limits, bias)
    few, bias = scale.at(wide), np.broadcast_to(bias, wide.shape)[wide]
    out[:, wide] = _quantized_in_integers(rows[:, wide], few, zero_point, limits, bias)
    return out.reshape(acc.shape)


def _quantized_in_integers(
    rows: Integers, scale: Rescaling, zero_point: int, limits: tuple[int, int], bias: Integers | int
) -> npt.NDArray[np.int8]:
    """``quantized`` of any sums (rows, channels)."""
    out = np.empty(rows.shape, np.int8)
    for chunk in _chunks(*rows.shape):
        sums = wrap32(rows[chunk].astype(np.int64) + bias)
        scaled = requantize(sums, scale.multiplier, scale.shift).astype(np.int32)
        scaled += np.int32(zero_point)
        out[chunk] = np.minimum(np.maximum(scaled, limits[0]), limits[1])
    return out


def _quantized_in_doubles(
    acc: Integers, scale: Rescaling, zero_point: int, limits: tuple[int, int], bias: Integers | int
) -> npt.NDArray[np.int8]:
    """``quantized`` where the sums, shifted left, are below MAX_IN_DOUBLES.

    No product and no sum of the first rounding has more than 53 bits, and behind it a value has at
    most 22. The second rounding is ``rint``, whose ties, which would go to the even neighbour, lie
    a little further from zero by ``down``: less than from one value to the next, or the value
    is far beyond the limits.
    """
    factor, added, down = scale.factor, bias * scale.factor + 0.5, scale.down
    joined = _joined_rows(acc.size // acc.shape[-1], acc.shape[-1])
    if joined > 1 and added.ndim:
        added = np.concatenate([added] * joined)
    if joined > 1 and down.ndim:
        factor, down = np.concatenate([factor] * joined), np.concatenate([down] * joined)
    rows = acc.reshape(-1, joined * acc.shape[-1])
    out = np.empty(rows.shape, np.int8)
    for chunk in _chunks(*rows.shape):
        wide = rows[chunk] * factor
        wide += added
        value = np.floor(wide, out=wide).astype(np.float32)
        value *= down
        np.rint(value, out=value)
        value += np.float32(zero_point)
        out[chunk] = np.clip(value, *limits, out=value)
    return out.reshape(acc.shape)


def _joined_rows(rows: int, length: int) -> int:
    """How many rows, of all that there are, to compute as one: NumPy is slow with short ones."""
    joined = 1
    while joined * length < LONG_ROW and rows % (2 * joined) == 0:
        joined *= 2
    return joined


def _chunks(rows: int, length: int) -> list[slice]:
    """Rows of about CHUNK values in all."""
    step = max(1, CHUNK // length)
    return [slice(first, first + step) for first in range(0, rows, step)]
