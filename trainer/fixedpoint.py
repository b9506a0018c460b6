# SPDX-License-Identifier: Apache-2.0
"""Bit-exact integer arithmetic (SPEC section 1). Twin of firmware/mct/fixedpoint.h.

Arrays are computed in int64 and hold int32 values, unless a name says otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
Integers = npt.NDArray[Any]  # whole numbers, of a type of integers or of floats

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
SAT23 = 2**23 - 1
GOLDEN = 0x9E3779B9
FLOAT32_EXACT = 2**24  # up to here all whole numbers are float32s


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
        multiplier, shift = requants(np.array([factor], np.float64))
        return cls(int(multiplier[0]), int(shift[0]))


def requants(factors: npt.NDArray[np.float64]) -> tuple[Int64, Int64]:
    """(multiplier, shift) of the nearest representable factors. Raises ValueError for a factor
    that none is near to."""
    bad = ~((factors > 0) & (factors < math.inf))
    if bad.any():
        raise ValueError(
            f"requantisation factor must be positive and finite, got {float(factors[bad][0])}"
        )
    mantissa, exponent = np.frexp(factors)
    multiplier, shift = (mantissa * 2**31 + 0.5).astype(np.int64), exponent.astype(np.int64)
    is_next = multiplier == 2**31
    multiplier[is_next] = 2**30
    shift += is_next
    if (shift > 30).any():
        raise ValueError(f"requantisation factor {float(factors[shift > 30][0])} is too large")
    is_none = shift < -31
    multiplier[is_none] = shift[is_none] = 0
    return multiplier, shift


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
    left, right = np.maximum(shift, 0), np.maximum(np.negative(shift), 0)
    scaled = wrap32(acc << left) if left.any() else acc
    return shifted_products(np.asarray(scaled * multiplier), right)


def shifted_products(sums: Int64, right: Int64 | int) -> Int64:
    """``requantize`` of what was shifted left and multiplied, which changes; right in 0..31."""
    # doubling_high_mul, then rounding_shift_right: what the second adds, a half and of a negative
    # number a quantum less, can join the sum before the first shift, and both shifts are one.
    sums += 1 << 30
    sums -= (sums >> 63) & ((np.int64(1) << 31) * (right > 0))
    sums += ((np.int64(1) << right) >> 1) << 31
    sums >>= 31 + right
    return sums


def near(x: npt.NDArray[Any], shift: int) -> npt.NDArray[Any]:
    """round(x / 2**shift), ties toward +inf; shift in 0..31. Of whole numbers of x's type; float32s
    are below 2**23.

    >>> near(np.array([-3, -1, 1, 3]), 1)
    array([-1,  0,  1,  2])
    """
    if shift == 0:
        return x
    if x.dtype.kind == "f":
        scaled = x * x.dtype.type(2.0**-shift)
        scaled += x.dtype.type(0.5)
        return np.asarray(np.floor(scaled, out=scaled))
    halves = x >> (shift - 1)
    return (halves >> 1) + (halves & 1)


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


def exact_float(bound: float) -> type[np.floating[Any]]:
    """The smallest float that holds each sum of whole numbers whose magnitudes add up to ``bound``
    at most, in whichever order they are added. The bound itself may be rounded."""
    return np.float32 if bound < FLOAT32_EXACT else np.float64


def magnitude(x: Integers) -> float:
    """The greatest absolute value; 0 if there is none."""
    return max(float(x.max(initial=0)), -float(x.min(initial=0)))


def sums_by_column(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(columns,): of rows of floats, by a product of matrices, which is faster."""
    return np.asarray(np.ones(len(rows), rows.dtype) @ rows)


@overload
def mix32(x: int) -> int: ...
@overload
def mix32(x: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]: ...
def mix32(x: Any) -> Any:
    """Finaliser of MurmurHash3 (Appleby), all modulo 2**32; of an int or of uint32s.

    >>> [hex(v) for v in mix32(np.array([0, 1, 0xFFFFFFFF], np.uint32))]
    ['0x0', '0x514e28b7', '0x81f16f39']
    """
    x = (x ^ (x >> 16)) * 0x85EBCA6B & 0xFFFFFFFF
    x = (x ^ (x >> 13)) * 0xC2B2AE35 & 0xFFFFFFFF
    return x ^ (x >> 16)


def seed_op(seed: int, step: int, node: int) -> int:
    """The dither seed of one tensor at one step; ``node`` is its stable identity."""
    x = (seed ^ (step * 0x85EBCA6B) ^ (node * 0xC2B2AE35)) & 0xFFFFFFFF
    return mix32(x)


def dither(seed: int, index: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    """r_j = seed + j * 0x9E3779B9 modulo 2**32 for each element index j."""
    products = index.astype(np.uint32) * np.uint32(GOLDEN)
    return products + np.uint32(seed & 0xFFFFFFFF)


def stochastic_round(v: Integers, shift: Int64, r: npt.NDArray[np.uint32]) -> Integers:
    """SR(v, shift, r): v / 2**shift rounded up with probability of the discarded part.

    Of shapes that broadcast to v's; ``v`` holds int32 values, as int64s or float64s. A shift <= 0
    is exact and saturates; 32..62 round twice; beyond 62 gives 0. Source: Gupta et al. 2015, with
    an indexed dither in place of a generator.

    >>> stochastic_round(np.array([5, -5, 1]), np.array([1, 1, -31]), np.uint32([0, 2**31, 0]))
    array([         2,         -2, 2147483647])
    """
    near_enough = np.minimum(np.maximum(shift, 1), 31)
    rounded = _dithered_shift(v, near_enough, r)
    if (near_enough != shift).any():
        shift, r = np.broadcast_to(shift, v.shape), np.broadcast_to(r, v.shape)
        rest = (shift < 1) | (shift > 31)
        rounded[rest] = _exact_or_twice(v[rest].astype(np.int64), shift[rest], r[rest])
    return rounded


def _exact_or_twice(v: Int64, shift: Int64, r: npt.NDArray[np.uint32]) -> Int64:
    """SR for shifts that are not in 1..31."""
    once = _dithered_shift(v, np.int64(31), r)
    twice = _dithered_shift(once, np.minimum(np.maximum(shift - 31, 1), 31), mix32(r))
    exact = v << np.minimum(np.maximum(-shift, 0), 32)
    exact = np.minimum(np.maximum(exact, INT32_MIN), INT32_MAX)
    return np.where(shift <= 0, exact, np.where(shift > 62, 0, twice))


def _dithered_shift(v: Integers, shift: Int64 | np.int64, r: npt.NDArray[np.uint32]) -> Integers:
    """For shifts in 1..31. What is added is less than 2**shift: the carry is all that it does."""
    sums = v + (r >> (32 - shift).astype(np.uint32))
    if sums.dtype.kind == "f":
        sums *= np.exp2(-shift)
        return np.asarray(np.floor(sums, out=sums))
    sums >>= shift
    return np.asarray(sums)


def scaled_byte(factor: float) -> tuple[int, int]:
    """``factor`` as ``a * 2**-q`` with a in 128..255 (SPEC 1.5).

    >>> scaled_byte(1.0), scaled_byte(0.999)
    ((128, 7), (128, 7))
    """
    a, q = scaled_bytes(np.array([factor], np.float64))
    return int(a[0]), int(q[0])


def scaled_bytes(factors: npt.NDArray[np.float64]) -> tuple[Int64, Int64]:
    """(a, q) of each factor."""
    mantissa, exponent = np.frexp(factors)
    a, q = np.floor(mantissa * 256 + 0.5).astype(np.int64), 8 - exponent.astype(np.int64)
    is_next = a == 256
    a[is_next] = 128
    return a, q - is_next


def scale_exponent(scales: npt.NDArray[Any]) -> int:
    """kf: 2**kf is the smallest power of two >= the greatest scale.

    >>> scale_exponent(np.array([0.25])), scale_exponent(np.array([0.26]))
    (-2, -1)
    """
    mantissa, exponent = math.frexp(float(scales.max()))
    return exponent - 1 if mantissa == 0.5 else exponent
