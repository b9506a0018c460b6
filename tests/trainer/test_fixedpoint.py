# SPDX-License-Identifier: Apache-2.0
"""The integer arithmetic: what each function means, exactly, and that its twin in C agrees."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from mcutrain.trainer.fixedpoint import (
    INT32_MAX,
    INT32_MIN,
    SAT23,
    Requant,
    dither,
    doubling_high_mul,
    mix32,
    narrow23,
    near,
    requantize,
    rounding_shift_right,
    sat23,
    scaled_byte,
    seed_op,
    stochastic_round,
    wrap32,
)
from mcutrain.trainer.graph.tensor import Array
from tests.support.native import FIRMWARE, compile_shared

TWIN = """
#include <stddef.h>
#include "mct/fixedpoint.h"
#define TWIN(name, call) \\
    void name(size_t n, const int32_t *x, const int32_t *y, const int32_t *z, int32_t *out); \\
    void name(size_t n, const int32_t *x, const int32_t *y, const int32_t *z, int32_t *out) \\
    { \\
        for (size_t k = 0; k < n; k++) { \\
            (void)y[k]; \\
            (void)z[k]; \\
            out[k] = (int32_t)(call); \\
        } \\
    }
TWIN(wrapping_add, mct_wrapping_add(x[k], y[k]))
TWIN(doubling_high_mul, mct_doubling_high_mul(x[k], y[k]))
TWIN(rounding_shift_right, mct_rounding_shift_right(x[k], y[k]))
TWIN(requantize, mct_requantize(x[k], y[k], z[k]))
TWIN(requantize_32, mct_requantize_32(x[k], y[k], z[k]))
TWIN(near, mct_near(x[k], y[k]))
TWIN(sat23, mct_sat23(x[k]))
TWIN(excess23, mct_excess23(x[k]))
TWIN(bit_length, mct_bit_length(mct_abs(x[k])))
TWIN(mix32, mct_mix32((uint32_t)x[k]))
TWIN(seed_op, mct_seed_op((uint32_t)x[k], (uint32_t)y[k], (uint32_t)z[k]))
TWIN(dither, mct_dither((uint32_t)x[k], (uint32_t)y[k]))
TWIN(stochastic_round, mct_stochastic_round(x[k], y[k], (uint32_t)z[k]))
"""
CORNERS = [
    INT32_MIN, INT32_MIN + 1, -(2**30) - 1, -(2**30), -SAT23, -65536, -257, -256, -3, -2, -1,
    0, 1, 2, 3, 127, 128, 255, 256, 2047, SAT23, 2**24 + 1, 2**30 - 1, 2**30, INT32_MAX - 1,
    INT32_MAX,
]  # fmt: skip


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("twin")
    (folder / "twin.c").write_text(TWIN)
    return compile_shared([folder / "twin.c"], [FIRMWARE], folder / "twin.so")


def call(twin: ctypes.CDLL, name: str, *args: Array) -> Array:
    """The C function over int64 arrays that hold 32-bit values."""
    shape = np.broadcast_shapes(*(np.shape(a) for a in args))
    padded = [*args, *[np.zeros(1, np.int64)] * (3 - len(args))]
    arrays = [np.broadcast_to(a, shape).astype(np.int64).astype(np.int32).copy() for a in padded]
    out = np.empty(shape, np.int32)
    pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (*arrays, out)]
    getattr(twin, name)(ctypes.c_size_t(out.size), *pointers)
    return out


def values(seed: int, count: int = 4000) -> Array:
    """(n,) int64: corners, then random values of all magnitudes."""
    rng = np.random.RandomState(seed)
    wide = rng.randint(INT32_MIN, 2**31, count, np.int64) >> rng.randint(0, 31, count)
    return np.concatenate([np.array(CORNERS, np.int64), wide])


def exact(f: Callable[[Fraction], int], numerators: Array, denominator: int) -> list[int]:
    return [f(Fraction(int(v), denominator)) for v in numerators]


def half_up(x: Fraction) -> int:
    return math.floor(x + Fraction(1, 2))


def half_away(x: Fraction) -> int:
    return int(math.copysign(1, x)) * math.floor(abs(x) + Fraction(1, 2))


@pytest.mark.parametrize("shift", range(32))
def test_near_rounds_half_up(shift: int) -> None:
    x = values(shift, 200)

    assert near(x, shift).tolist() == exact(half_up, x, 2**shift)


@pytest.mark.parametrize("shift", range(32))
def test_rounding_shift_right_rounds_half_away_from_zero(shift: int) -> None:
    x = values(shift, 200)

    assert rounding_shift_right(x, shift).tolist() == exact(half_away, x, 2**shift)


def test_doubling_high_mul_rounds_half_up_and_saturates() -> None:
    a, b = values(1, 300), np.roll(values(2, 300), 7)
    products = [int(x) * int(y) for x, y in zip(a, b, strict=True)]
    expected = [min(half_up(Fraction(product, 2**31)), INT32_MAX) for product in products]

    assert doubling_high_mul(a, b).tolist() == expected
    assert doubling_high_mul(np.array([INT32_MIN]), INT32_MIN).tolist() == [INT32_MAX]


def test_requantize_rounds_twice() -> None:
    # x / 4: half up to halves first, so that 1 / 4 is 1 in the end; then half away from zero.
    assert requantize(np.array([3, 1, -1, -3]), 2**30, -1).tolist() == [1, 1, 0, -1]
    # The left shift wraps.
    assert requantize(np.array([2**30]), 2**30, 1).tolist() == [INT32_MIN // 2]


def test_a_narrowed_gradient_is_near_and_keeps_a_product_with_a_byte_in_32_bits() -> None:
    x = np.array(CORNERS, np.int64)
    v, t = narrow23(x)

    assert np.abs(v * 255).max() < 2**31
    assert (np.abs((v << t) - x) <= np.where(t == 0, 0, 128)).all()
    assert set(t.tolist()) == {0, 8}


def test_sat23_keeps_a_product_with_a_byte_in_32_bits() -> None:
    x = sat23(np.array(CORNERS, np.int64))

    assert x.max() == SAT23
    assert x.min() == -SAT23
    assert SAT23 * 255 <= INT32_MAX


@pytest.mark.parametrize("shift", range(1, 13))
def test_stochastic_rounding_has_no_bias(shift: int) -> None:
    """Over all values of the dither's upper bits, the mean is exact."""
    r = (np.arange(2**shift, dtype=np.uint64) << np.uint64(32 - shift)).astype(np.uint32)
    for v in (-(2**20) - 7, -5, -1, 0, 1, 3, 1000003, INT32_MAX, INT32_MIN):
        rounded = stochastic_round(np.full(r.shape, v), np.full(r.shape, shift), r)

        assert int(rounded.sum()) == v
        assert set(rounded.tolist()) <= {v >> shift, (v >> shift) + 1}


def test_stochastic_rounding_at_its_seams() -> None:
    def once(v: int, shift: int, r: int) -> int:
        return int(stochastic_round(np.array([v]), np.array([shift]), np.array([r], np.uint32))[0])

    full = 0xFFFFFFFF
    assert once(5, 0, full) == 5
    assert once(3, -2, full) == 12
    assert once(2**30, -1, 0) == INT32_MAX
    assert once(-(2**30), -1, 0) == INT32_MIN
    assert once(-(2**30) - 1, -1, 0) == INT32_MIN
    assert once(1, -100, 0) == INT32_MAX
    assert once(-1, -100, 0) == INT32_MIN
    assert once(0, -100, 0) == 0
    assert once(INT32_MAX, 31, full) == 1
    assert once(-1, 31, 0) == -1
    assert once(-1, 31, full) == 0
    assert once(INT32_MAX, 31, 1) == 0  # 31 bits of the dither count, not the last
    assert once(INT32_MIN, 62, 0) == -1
    assert once(INT32_MAX, 62, full) in (0, 1)
    assert once(INT32_MIN, 63, 0) == 0
    assert once(INT32_MAX, 1000, full) == 0


def test_far_shifts_round_twice() -> None:
    rng = np.random.RandomState(0)
    v, r = values(3, 500), rng.randint(0, 2**32, len(CORNERS) + 500, np.int64).astype(np.uint32)
    for shift in (32, 40, 61, 62):
        first = stochastic_round(v, np.full(v.shape, 31), r)
        second = stochastic_round(first, np.full(v.shape, shift - 31), mix32(r))

        assert stochastic_round(v, np.full(v.shape, shift), r).tolist() == second.tolist()


def test_the_dither_is_the_one_of_the_specification() -> None:
    def mix(x: int) -> int:
        x = ((x ^ x >> 16) * 0x85EBCA6B) & 0xFFFFFFFF
        x = ((x ^ x >> 13) * 0xC2B2AE35) & 0xFFFFFFFF
        return x ^ x >> 16

    rng = np.random.RandomState(1)
    for _ in range(50):
        seed, step, node = (int(v) for v in rng.randint(0, 2**32, 3, np.int64))
        mixed = mix((seed ^ (step * 0x85EBCA6B) ^ (node * 0xC2B2AE35)) & 0xFFFFFFFF)
        expected = [(mixed + j * 0x9E3779B9) & 0xFFFFFFFF for j in (0, 1, 2**20, 2**32 - 1)]

        assert seed_op(seed, step, node) == mixed
        assert dither(mixed, np.array([0, 1, 2**20, 2**32 - 1])).tolist() == expected


def test_a_requant_is_the_nearest_factor() -> None:
    rng = np.random.RandomState(2)
    for factor in (1.0, 0.5, 2.0**-31, 2.0**29, 1 - 2.0**-40, *np.exp(rng.uniform(-20, 20, 200))):
        r = Requant.from_real(float(factor))

        assert 2**30 <= r.multiplier < 2**31
        assert abs(r.multiplier * 2.0 ** (r.shift - 31) - factor) <= factor * 2.0**-31


@pytest.mark.parametrize("factor", [0.0, -1.0, math.nan, math.inf, 2.0**31])
def test_a_factor_that_no_requant_can_be_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="factor"):
        Requant.from_real(factor)


def test_a_scaled_byte_is_the_nearest_of_eight_bits() -> None:
    rng = np.random.RandomState(3)
    for factor in (1.0, 255.0, 255.5, 255.9, 2.0**-40, *np.exp(rng.uniform(-30, 30, 200))):
        a, q = scaled_byte(float(factor))

        assert 128 <= a <= 255
        assert abs(a * 2.0**-q - factor) <= factor * 2.0**-8


def all_pairs(x: Array, y: Array) -> tuple[Array, Array]:
    return np.repeat(x, len(y)), np.tile(y, len(x))


def test_the_twin_in_c_agrees(twin: ctypes.CDLL) -> None:
    x, y = all_pairs(values(4, 100), values(5, 100))
    np.testing.assert_array_equal(call(twin, "wrapping_add", x, y), wrap32(x + y))
    np.testing.assert_array_equal(call(twin, "doubling_high_mul", x, y), doubling_high_mul(x, y))
    np.testing.assert_array_equal(call(twin, "sat23", x), sat23(x))
    np.testing.assert_array_equal(call(twin, "excess23", x), narrow23(x)[1])
    lengths = [abs(int(v)).bit_length() for v in values(6)]
    np.testing.assert_array_equal(call(twin, "bit_length", values(6)), lengths)


def test_the_twins_shifts_agree(twin: ctypes.CDLL) -> None:
    x, shift = all_pairs(values(7, 200), np.arange(32))
    np.testing.assert_array_equal(
        call(twin, "rounding_shift_right", x, shift), rounding_shift_right(x, shift)
    )
    for s in range(32):
        np.testing.assert_array_equal(call(twin, "near", x, np.array([s])), near(x, s))
    multipliers = np.array([0, 2**30, 2**30 + 1, 1518500250, 2**31 - 1])
    for m in multipliers:
        x, shift = all_pairs(values(8, 100), np.arange(-31, 31))
        expected = requantize(x, int(m), shift)
        for name in ("requantize", "requantize_32"):
            np.testing.assert_array_equal(call(twin, name, x, np.array([m]), shift), expected)


def test_the_twins_dither_agrees(twin: ctypes.CDLL) -> None:
    x, y = values(9, 300), np.roll(values(10, 300), 3)
    unsigned = (x & 0xFFFFFFFF).astype(np.uint32)
    np.testing.assert_array_equal(call(twin, "mix32", x).view(np.uint32), mix32(unsigned))
    seeds = [
        seed_op(int(a) & 0xFFFFFFFF, int(b) & 0xFFFFFFFF, 77) for a, b in zip(x, y, strict=True)
    ]
    found = call(twin, "seed_op", x, y, np.array([77])).view(np.uint32)
    np.testing.assert_array_equal(found, seeds)
    found = call(twin, "dither", np.array([99]), y).view(np.uint32)
    np.testing.assert_array_equal(found, dither(99, y & 0xFFFFFFFF))


def test_the_twin_rounds_stochastically_alike(twin: ctypes.CDLL) -> None:
    v, shift = all_pairs(values(11, 100), np.array([*range(-40, 70), 1000, -1000, 32767, -32768]))
    r = np.random.RandomState(12).randint(0, 2**32, v.shape, np.int64)
    r[::5], r[1::5] = 0, 0xFFFFFFFF

    found = call(twin, "stochastic_round", v, shift, r)
    np.testing.assert_array_equal(found, stochastic_round(v, shift, r.astype(np.uint32)))
