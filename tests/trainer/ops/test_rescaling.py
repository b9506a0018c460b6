# SPDX-License-Identifier: Apache-2.0
"""The reference's short ways through floats have the bits of the integers that define them."""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.trainer.fixedpoint import (
    INT32_MAX,
    Int64,
    dither,
    near,
    requantize,
    stochastic_round,
    wrap32,
)
from mcutrain.trainer.ops.rescaling import MAX_IN_DOUBLES, Rescaling, quantized

MULTIPLIERS = np.array([2**30, 2**30 + 1, 1518500250, 2**31 - 1])


def by_definition(acc: Int64, scale: Rescaling, bias: Int64) -> Int64:
    """With the zero point 7."""
    scaled = requantize(wrap32(acc + bias), scale.multiplier, scale.shift) + 7
    return np.clip(scaled, -128, 127)


@pytest.mark.parametrize("shift", range(-31, 31))
def test_sums_are_requantised_as_the_integers_are(shift: int) -> None:
    """Small ones, those around each tie that is not clipped, and those at the bounds."""
    ties = ((2 * np.arange(-270, 270) + 1) << max(0, -shift)) >> 1 >> max(0, shift)
    bounds = MAX_IN_DOUBLES >> max(0, shift)
    around = np.concatenate([ties, [-bounds, bounds - 1], np.arange(-99, 99)])
    acc = np.unique(around[:, None] + np.arange(-3, 4))
    acc = np.unique(np.clip(np.concatenate([acc, acc * 2, acc * 4 // 3]), -(2**31), INT32_MAX))
    acc = np.repeat(acc[:, None], len(MULTIPLIERS), axis=1)
    scale = Rescaling(MULTIPLIERS, np.full(len(MULTIPLIERS), shift))
    bias = np.array([0, 1, -300, 5])

    found = quantized(acc, scale, 7, bias=bias)

    np.testing.assert_array_equal(found, by_definition(acc, scale, bias))
    few = acc[np.abs(acc).max(axis=1) * 2.0 ** max(0, shift) < MAX_IN_DOUBLES - 300]
    np.testing.assert_array_equal(
        quantized(few.astype(np.float32), scale, 7, bias=bias), by_definition(few, scale, bias)
    )


def test_channels_that_doubles_do_not_hold_are_computed_apart() -> None:
    rng = np.random.default_rng(1)
    acc = rng.integers(-(2**19), 2**19, (64, 6))
    bias = np.array([0, 2**30, -5, 2**31 - 1, 7, -9])  # the sums with the fourth wrap
    scale = Rescaling(rng.integers(2**30, 2**31, 6), np.array([-9, -20, 0, -24, -12, 1]))

    found = quantized(acc.astype(np.float64), scale, 7, bias=bias)

    np.testing.assert_array_equal(found, by_definition(acc, scale, bias))


@pytest.mark.parametrize("shift", range(32))
def test_near_of_floats_is_that_of_integers(shift: int) -> None:
    around = np.arange(-5, 6) + (np.arange(-4, 5) << shift >> 1)[:, None]
    x = np.unique(np.clip(around, 1 - 2**23, 2**23 - 1))

    assert near(x.astype(np.float32), shift).tolist() == near(x, shift).tolist()
    assert near(x.astype(np.float64), shift).tolist() == near(x, shift).tolist()


def test_floats_round_stochastically_as_integers() -> None:
    """For every kind of shift, alone and beside others."""
    rng = np.random.default_rng(2)
    v, shift = rng.integers(-(2**31), 2**31, 4096), rng.integers(-5, 70, 4096)
    v[:64] = [0, -1, 1, INT32_MAX] * 16
    r = dither(5, np.arange(len(v)))
    alone = [
        int(stochastic_round(*(a[k : k + 1] for a in (v, shift, r)))[0]) for k in range(len(v))
    ]

    assert stochastic_round(v, shift, r).tolist() == alone
    assert stochastic_round(v.astype(np.float64), shift, r).tolist() == alone
