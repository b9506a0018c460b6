# SPDX-License-Identifier: Apache-2.0
"""Integers of four bits, two in a byte: as ``.tflite`` files have them (TensorType INT4), and as
frozen weights lie in flash."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
LEAST, GREATEST = -8, 7


def paired(values: Array) -> Array:
    """(.., ceil(N / 2)) u8: values 2 k and 2 k + 1 of the last axis, the first in the low nibble.

    >>> paired(np.array([-8, 7, 1], np.int8)).tolist()
    [120, 1]
    """
    even, odd = values[..., 0::2] & 15, values[..., 1::2] & 15
    found: Array = even.astype(np.uint8)
    found[..., : odd.shape[-1]] |= odd.astype(np.uint8) << 4
    return found


def unpaired(both: Array, count: int) -> Array:
    """(.., count) s8 of ``paired``; a nibble that is left over is passed over.

    >>> unpaired(np.array([120, 1], np.uint8), 3).tolist()
    [-8, 7, 1]
    """
    nibbles = np.stack([both & 15, both >> 4], axis=-1).reshape(*both.shape[:-1], -1)
    found: Array = ((nibbles[..., :count].astype(np.int8) ^ 8) - 8).astype(np.int8)
    return found
