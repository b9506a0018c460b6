# SPDX-License-Identifier: Apache-2.0
"""The checks of lab 1, quantisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from exercise import Hint, exercise, integers, number, result

from mcutrain.trainer.graph.tensor import Array, QuantParams
from mcutrain.trainer.making.quantiser import activation_quant, quantize_array

# An answer may round a value either way if it is that near to a half: by which rule, or in float32.
NEAR_HALF = 0.001


@exercise
def quantise(answer: Any) -> None:
    """quantise(x, scale, zero_point) -> int8 array."""
    rng = np.random.default_rng(1)
    for scale, zero in ((0.5, 0), (0.1, -20), (0.03, 100)):
        x = rng.normal(0, 60 * scale, 200)
        wanted = quantize_array(x, QuantParams((scale,), zero))
        found = result(answer, x, scale, zero)
        if np.asarray(found).dtype != np.int8:
            raise Hint("The result is to be an array of int8.")
        found = integers(found, wanted)
        inside = (wanted > -128) & (wanted < 127)
        if (found != wanted)[inside].any():
            off = np.abs(found - wanted)[inside].max()
            raise Hint(
                "Some values differ by one: do you round, or cut off?" if off == 1
                else "Values inside the range are wrong: divide by the scale, round, and then add "
                "the zero point."
            )  # fmt: skip
        if (found != wanted).any():
            raise Hint("Values outside the range wrap around: they are to stay at its end.")


@exercise
def range_parameters(answer: Any) -> None:
    """range_parameters(low, high) -> (scale, zero_point)."""
    for low, high in ((-1.0, 1.0), (0.0, 6.0), (-4.0, 3.0), (1.0, 3.0), (-3.0, -1.0)):
        found = result(answer, low, high)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise Hint("Your function is to return two values: scale and zero point.")
        scale, zero = map(number, found)
        wanted = activation_quant(low, high)
        if abs(scale / wanted.scale - 1) > 1e-3:  # of 256 steps it would be 0.4 % less
            raise Hint(
                "The scale is wrong for a range that does not hold 0: widen it until it does."
                if low > 0 or high < 0
                else "The scale is wrong: 256 values have how many steps between them?"
            )
        if not -128 <= zero <= 127:
            raise Hint(
                "The zero point is outside -128 to 127 where the range does not hold 0: widen it."
                if low > 0 or high < 0
                else "The zero point is outside -128 to 127: low is to become -128."
            )
        if zero != int(zero):
            raise Hint("The zero point is one of the 256 int8 values: round it to a whole number.")
        exact = -128 - min(low, 0) / scale
        if abs(zero - exact) > 0.5 + NEAR_HALF:
            raise Hint(
                "The zero point is off by less than one: do you round, or cut off?"
                if abs(zero - exact) < 1
                else "The zero point is wrong: low is to become -128. What becomes of 0 then?"
            )


@exercise
def accumulators(answer: Any) -> None:
    """accumulators(x, w, b, x_zero_point) -> (outputs,) integers."""
    rng = np.random.default_rng(2)
    for size, outputs, zero in ((4, 2, 0), (24, 7, -128), (300, 3, 90)):
        x = rng.integers(-128, 128, size).astype(np.int8)
        w = rng.integers(-127, 128, (outputs, size)).astype(np.int8)
        b = rng.integers(-5000, 5000, outputs).astype(np.int32)
        wanted = w.astype(np.int64) @ (x.astype(np.int64) - zero) + b
        found = integers(result(answer, x, w, b, zero), wanted)
        off = wanted - found
        if not off.any():
            continue
        if np.array_equal(off, b):
            raise Hint("The sums lack something that is the same for each x: is the bias added?")
        if np.array_equal(off, -zero * w.astype(np.int64).sum(1)):
            raise Hint("Sums are wrong where x has a zero point: x stands for x - x_zero_point.")
        if not (off % 256).any() or not ((off - b) % 256).any():
            raise Hint("Numbers of int8 overflow in int8: make the arrays wider first.")
        raise Hint("For each output, multiply its weights with x - x_zero_point, and add all up.")


@exercise
def requantise(answer: Any) -> None:
    """requantise(sums, factor, zero_point) -> int8 array."""
    rng = np.random.default_rng(3)
    for factor, zero in ((0.01, 0), (0.0003, 17)):
        sums = rng.normal(0, 100 / factor, 100).astype(np.int32)
        real = sums * factor + zero
        held = np.clip(real, -128, 127)
        found = integers(result(answer, sums, factor, zero), sums)
        wrong = np.abs(found - held) > 0.5 + NEAR_HALF
        if not wrong.any():
            continue
        if not wrong[held == real].any():
            raise Hint("Results outside the range wrap around: they are to stay at its end."
                       if np.abs(found).max() <= 128
                       else "Some results are no int8: they are to stay between -128 and 127."
                       )  # fmt: skip
        if np.abs(found - held)[held == real].max() < 2:
            raise Hint("Some results are off by one: do you round to the nearest, or cut off?")
        raise Hint("Multiply the sums by the factor, round, add the zero point, clip.")


@exercise
def clipped_share(answer: Any, samples: Array, gain: float, end: Any) -> None:
    """The share of the values of samples * gain that the input of a model cannot hold."""
    low, high = end.real_range
    scaled = samples * gain
    wanted = float(np.mean((scaled < low - end.scale / 2) | (scaled > high + end.scale / 2)))
    found = number(answer)
    if not 0 <= found <= 1:
        raise Hint("A share is between 0 and 1.")
    if abs(found - wanted) > 0.002:
        raise Hint("Count the values below or above real_range, and divide by all values.")
