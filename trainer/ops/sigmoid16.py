# SPDX-License-Identifier: Apache-2.0
"""The logistic function and the hyperbolic tangent of 16 bits, by interpolation in one table, as
TFLite's int16 kernels compute them (integer_ops/logistic.h, tanh.h). Twin of
firmware/kernels/sigmoid16.h."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.fixedpoint import Int64
from mcutrain.trainer.graph.call import Table

INPUT_BITS = 12  # an input of 1 is 2**12: the gates of an LSTM have this scale
STEPS = 24  # entries of the table from one whole number to the next
# Entries that TFLite's table has one quantum above the nearest to 2**16 / (1 + exp(-k / 24)).
ABOVE_NEAREST = (
    4, 8, 12, 14, 15, 16, 17, 19, 20, 21, 22, 25, 27, 28, 29, 30, 31, 33, 34, 35, 37, 39, 40, 41,
    43, 44, 45, 46, 49, 50, 54, 62, 63, 64, 66, 82, 86, 93, 100, 103, 112, 116, 135, 255,
)  # fmt: skip


def sigmoid_entries() -> Int64:
    """(256,): the table, from 2**15 on.

    >>> sigmoid_entries()[[0, 1, 4, 254, 255]].tolist()
    [32768, 33451, 35493, 65534, 65535]
    """
    nearest = np.floor(2.0**16 / (1 + np.exp(-np.arange(256) / STEPS)) + 0.5).astype(np.int64)
    nearest[list(ABOVE_NEAREST)] += 1
    return nearest


ENTRIES = sigmoid_entries()
SIGMOID_TABLE = Table("sigmoid", ENTRIES.astype(np.uint16))


def interpolated(magnitude: Int64, bits: int) -> Int64:
    """The table at ``magnitude * 2**-bits``, times 2**bits; beyond its end any value."""
    index = np.minimum(magnitude >> bits, 254)
    low, high = ENTRIES[index], ENTRIES[index + 1]
    return np.asarray((low << bits) + (magnitude & ((1 << bits) - 1)) * (high - low))


def logistic16(x: Int64) -> Int64:
    """2**15 / (1 + exp(-x)) of int16 values ``x`` in 2**-12.

    >>> logistic16(np.array([-32768, -1, 0, 1, 32767])).tolist()
    [11, 16382, 16384, 16386, 32757]
    """
    scaled = 3 * x
    magnitude = np.abs(scaled)
    at = np.where(magnitude >> 9 >= 255, 0x7FFF << 10, interpolated(magnitude, 9))
    return np.where(scaled >= 0, at + 512, (1 << 25) - at + 511) >> 10


@dataclass(frozen=True)
class TanhScale:
    """An input's scale 2**power, as the factor ``multiplier * 2**-shift`` to the table's steps."""

    multiplier: int
    shift: int

    @classmethod
    def of_power(cls, power: int) -> TanhScale:
        """
        >>> TanhScale.of_power(-15), TanhScale.of_power(-11)
        (TanhScale(multiplier=3, shift=3), TanhScale(multiplier=6, shift=0))
        """
        left = INPUT_BITS + power
        return cls(3 << max(left, 0), max(-left, 0))


def tanh16(x: Int64, scale: TanhScale) -> Int64:
    """2**15 tanh(x) of int16 values, at most 2**15 - 1.

    >>> tanh16(np.array([-32768, -1, 0, 1, 32767]), TanhScale(3, 0)).tolist()
    [-32767, -8, 0, 8, 32767]
    """
    half = (1 << scale.shift) >> 1
    scaled = (x * scale.multiplier + half) >> scale.shift
    magnitude = np.abs(scaled)
    at = np.where(magnitude >> 8 >= 255, 0xFFFF << 8, interpolated(magnitude, 8))
    return np.where(scaled >= 0, at - (1 << 23) + 128, -at + (1 << 23) + 127) >> 8
