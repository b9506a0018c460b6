# SPDX-License-Identifier: Apache-2.0
"""Exponential, reciprocal and reciprocal root in fixed point, as gemmlowp's fixedpoint.h has them.

A polynomial on [-1/4, 0) with a barrel of exact factors, and Newton-Raphson iterations.
``QI.F`` is a number with I integer and F fraction bits. Twin of firmware/kernels/softmax.c
and l2_normalization.c.
"""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.fixedpoint import (
    INT32_MAX,
    INT32_MIN,
    Int64,
    doubling_high_mul,
    rounding_shift_right,
)

# exp(-2**k) as Q0.31 for k = -2..4
BARREL = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)


def saturating_shift_left(x: Int64, bits: Int64 | int) -> Int64:
    return np.asarray(np.clip(x << bits, INT32_MIN, INT32_MAX))


def exp_on_negative_values(x: Int64, integer_bits: int) -> Int64:
    """exp(x) as Q0.31 of x <= 0 with up to 5 integer bits, the rest fraction.

    >>> exp_on_negative_values(np.array([0, -1 << 26]), 5)  # 1, exp(-1)
    array([2147483647,  790015308])
    """
    quarter = 1 << (31 - integer_bits - 2)
    in_quarter = (x & (quarter - 1)) - quarter
    result = _exp_last_quarter(saturating_shift_left(in_quarter, integer_bits))
    rest = in_quarter - x
    for k, factor in enumerate(BARREL):
        result = np.where(rest & (quarter << k), doubling_high_mul(result, factor), result)
    return np.where(x == 0, INT32_MAX, result)


def _exp_last_quarter(x: Int64) -> Int64:
    """exp(x) as Q0.31 of x in [-1/4, 0) as Q0.31, from its Taylor series about -1/8."""
    at = x + (1 << 28)
    at2 = doubling_high_mul(at, at)
    at3, at4 = doubling_high_mul(at2, at), doubling_high_mul(at2, at2)
    third = doubling_high_mul(rounding_shift_right(at4, 2) + at3, 715827883)
    series = at + rounding_shift_right(third + at2, 1)
    return 1895147668 + doubling_high_mul(series, 1895147668)


def two_over_one_plus(x: Int64) -> Int64:
    """2 / (1 + x) as Q2.29 of x in [0, 1] as Q0.31: three steps of Newton-Raphson."""
    half_denominator = (x + INT32_MAX + 1) >> 1
    y = 1515870810 + doubling_high_mul(half_denominator, -1010580540)
    for _ in range(3):
        error = (1 << 29) - doubling_high_mul(half_denominator, y)
        y = y + saturating_shift_left(doubling_high_mul(y, error), 2)
    return y


def inverse_root(x: Int64) -> tuple[Int64, Int64]:
    """(multiplier, shift to the right): 1 / sqrt(x) = multiplier * 2**(-31 - shift), x an int32;
    0 is taken as 1 (TFLite GetInvSqrtQuantizedMultiplierExp).

    >>> inverse_root(np.array([1, 9, 250000]))
    (array([2147483647,  715827716,  274877901]), array([0, 0, 6]))
    """
    scaled, right = x, np.full(x.shape, 11, np.int64)
    for _ in range(2):  # below 2**29, from below 2**31
        is_great = scaled >= 1 << 29
        scaled, right = np.where(is_great, scaled // 4, scaled), right + is_great
    for _ in range(13):  # at least 2**27, from 2 on
        is_small = scaled < 1 << 27
        scaled, right = np.where(is_small, scaled * 4, scaled), right - is_small
    half = rounding_shift_right(scaled >> 1, 1)  # Q3.28, as the root
    root = np.full(x.shape, 1 << 28, np.int64)
    for _ in range(5):
        cube = doubling_high_mul(doubling_high_mul(root, root), root)
        step = doubling_high_mul(root, (1 << 28) + (1 << 27))
        step = step - doubling_high_mul(half, saturating_shift_left(cube, 6))
        root = saturating_shift_left(step, 3)
    root = doubling_high_mul(root, 1518500250)  # sqrt(1/2) as Q0.31
    root, right = root << np.maximum(-right, 0), np.maximum(right, 0)
    return np.where(x <= 1, INT32_MAX, root), np.where(x <= 1, 0, right)
