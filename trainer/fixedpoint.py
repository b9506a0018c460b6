# SPDX-License-Identifier: Apache-2.0
"""Bit-exact integer arithmetic (SPEC section 1). Twin of firmware/mct/fixedpoint.h.

Arrays are computed in int64 and hold int32 values, unless a name says otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
SAT23 = 2**23 - 1
GOLDEN = 0x9E3779B9


@dataclass(frozen=True)
class Requant:
    """A positive real factor as ``multiplier * 2**(shift - 31)``.

    ``multiplier`` is a Q0.31 in [2**30, 2**31), or 0; ``shift > 0`` is a left shift.
    """

    multiplier: int
    shift: int

    @classmethod
    def from_real(cls, factor: float) -> Requant:
        """Nearest representable factor (TFLite ``QuantizeMultiplier``).

        >>> Requant.from_real(0.75)
        Requant(multiplier=1610612736, shift=0)
        >>> Requant.from_real(2.0**-33)
        Requant(multiplier=0, shift=0)
        """
        if not factor > 0 or math.isinf(factor):
            raise ValueError(f"requantisation factor must be positive and finite, got {factor}")
        mantissa, shift = math.frexp(factor)
        multiplier = math.floor(mantissa * 2**31 + 0.5)
        if multiplier == 2**31:
            multiplier, shift = 2**30, shift + 1
        if shift < -31:
            return cls(0, 0)
        if shift > 30:
            raise ValueError(f"requantisation factor {factor} is too large")
        return cls(multiplier, shift)


def wrap32(x: npt.NDArray[Any]) -> Int64:
    """``x`` modulo 2**32, as a signed 32-bit value.

    >>> wrap32(np.array([2**31, -(2**31) - 1]))
    array([-2147483648,  2147483647])
    """
    return np.asarray(x).astype(np.int64).astype(np.int32).astype(np.int64)


def doubling_high_mul(a: Int64, b: Int64 | int) -> Int64:
    """round(a * b / 2**31), ties toward +inf, saturated (ARM VQRDMULH).

    >>> doubling_high_mul(np.array([-3, -1, 1, 3]), 2**30)
    array([-1,  0,  1,  2])
    """
    return np.asarray(np.minimum((a * b + (1 << 30)) >> 31, INT32_MAX))


def rounding_shift_right(x: Int64, exponent: Int64 | int) -> Int64:
    """round(x / 2**exponent), ties away from zero; exponent in 0..31.

    >>> rounding_shift_right(np.array([-3, -1, 1, 3]), 1)
    array([-2, -1,  1,  2])
    """
    mask = (np.int64(1) << exponent) - 1
    threshold = (mask >> 1) + (x < 0)
    return np.asarray((x >> exponent) + ((x & mask) > threshold))


def requantize(acc: Int64, multiplier: Int64 | int, shift: Int64 | int) -> Int64:
    """Scale accumulators by ``multiplier * 2**(shift - 31)`` with TFLite's two roundings.

    The left shift wraps modulo 2**32, as in tflite-micro.
    """
    left, right = np.maximum(shift, 0), np.maximum(-np.asarray(shift), 0)
    return rounding_shift_right(doubling_high_mul(wrap32(acc << left), multiplier), right)


def near(x: Int64, shift: int) -> Int64:
    """round(x / 2**shift), ties toward +inf; shift in 0..31.

    >>> near(np.array([-3, -1, 1, 3]), 1)
    array([-1,  0,  1,  2])
    """
    if shift == 0:
        return x
    return (x >> shift) + ((x >> (shift - 1)) & 1)


def sat23(x: Int64) -> Int64:
    """Saturate at +-(2**23 - 1), so that a product with 8 bits fits 32."""
    return np.clip(x, -SAT23, SAT23)


def narrow23(x: Int64) -> tuple[Int64, Int64]:
    """(v, t): x as v * 2**t, within 2**23 so that a product with 8 bits fits 32; t is 0 or 8.

    >>> narrow23(np.array([2**23 - 1, -(2**23), 2**31 - 1]))
    (array([8388607,  -32768, 8388608]), array([0, 8, 8]))
    """
    is_wide = np.abs(x) > SAT23
    return np.where(is_wide, near(x, 8), x), np.where(is_wide, 8, 0)


def mix32(x: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Finaliser of MurmurHash3 (Appleby), all modulo 2**32.

    >>> [hex(v) for v in mix32(np.array([0, 1, 0xFFFFFFFF], np.uint32))]
    ['0x0', '0x514e28b7', '0x81f16f39']
    """
    x = x.astype(np.uint32)
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


def seed_op(seed: int, step: int, node: int) -> int:
    """The dither seed of one tensor at one step; ``node`` is its stable identity."""
    x = (seed ^ (step * 0x85EBCA6B) ^ (node * 0xC2B2AE35)) & 0xFFFFFFFF
    return int(mix32(np.array([x], np.uint32))[0])


def dither(seed: int, index: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    """r_j = seed + j * 0x9E3779B9 modulo 2**32 for each element index j."""
    products = index.astype(np.uint32) * np.uint32(GOLDEN)
    return products + np.uint32(seed & 0xFFFFFFFF)


def stochastic_round(v: Int64, shift: Int64, r: npt.NDArray[np.uint32]) -> Int64:
    """SR(v, shift, r): v / 2**shift rounded up with probability of the discarded part.

    All of one shape; ``v`` holds int32 values. A shift <= 0 is exact and saturates;
    32..62 round twice; beyond 62 gives 0. Source: Gupta et al. 2015, with an indexed
    dither in place of a generator.

    >>> stochastic_round(np.array([5, -5, 1]), np.array([1, 1, -31]), np.uint32([0, 2**31, 0]))
    array([         2,         -2, 2147483647])
    """
    low = np.clip(shift, 1, 31)
    once = _dithered_shift(v, low, r)
    far = np.clip(shift - 31, 1, 31)
    twice = _dithered_shift(_dithered_shift(v, np.int64(31), r), far, mix32(r))
    left = np.clip(-shift, 0, 32)
    exact = np.clip(v << left, INT32_MIN, INT32_MAX)
    beyond = np.where(shift > 62, 0, twice)
    return np.where(shift <= 0, exact, np.where(shift <= 31, once, beyond))


def _dithered_shift(v: Int64, shift: Int64 | np.int64, r: npt.NDArray[np.uint32]) -> Int64:
    rest = (v & 0xFFFFFFFF) & ((np.int64(1) << shift) - 1)
    return (v >> shift) + ((rest + (r.astype(np.int64) >> (32 - shift))) >> shift)


def scaled_byte(factor: float) -> tuple[int, int]:
    """``factor`` as ``a * 2**-q`` with a in 128..255 (SPEC 1.5).

    >>> scaled_byte(1.0), scaled_byte(0.999)
    ((128, 7), (128, 7))
    """
    mantissa, exponent = math.frexp(factor)
    a, q = math.floor(mantissa * 256 + 0.5), 8 - exponent
    return (128, q - 1) if a == 256 else (a, q)


def scale_exponent(scales: npt.NDArray[Any]) -> int:
    """kf: 2**kf is the smallest power of two >= the greatest scale.

    >>> scale_exponent(np.array([0.25])), scale_exponent(np.array([0.26]))
    (-2, -1)
    """
    mantissa, exponent = math.frexp(float(scales.max()))
    return exponent - 1 if mantissa == 0.5 else exponent
