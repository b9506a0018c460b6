# SPDX-License-Identifier: Apache-2.0
"""How far below an input an output may begin that overwrites what of it has been read.

A kernel that reads its input and writes its output from the lowest address upward may have both in
the same bytes, if no write reaches what is still to be read. ``Op.overlays`` promises it, by the
least distance in bytes from the output's first byte to the input's.
"""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.ops.window import Geometry


def in_step(out: TensorType, x: TensorType) -> int:
    """The distance if element k is written when element k of x, or the bit k, was read.

    The input then ends at or behind the output's end, and is at or above its beginning.
    """
    return max(0, out.nbytes - x.nbytes)


def distance(written: Array, first_read: Array) -> int:
    """The distance of a kernel that works in steps, in the unit of both arrays.

    ``written`` says where the bytes end that are written before the last read of each step,
    ``first_read`` the lowest that each step reads.

    >>> distance(np.array([0, 1, 2, 3]), np.array([0, 2, 0, 2]))
    2
    """
    read_later = np.minimum.accumulate(first_read[::-1])[::-1]
    return max(0, int((written - read_later).max()))


def window_distance(g: Geometry, *, by_channel: bool) -> int:
    """Of int8 kernels that compute output positions in order, from windows of their input.

    ``by_channel``: an output is written when its own channel has been read, and before the next
    one is; otherwise all channels of a position may be read until the last of it is written.
    """
    positions = np.arange(g.out_h * g.out_w)
    ahead = g.out_ch - g.in_ch if by_channel else g.out_ch
    return distance(positions * g.out_ch + ahead, first_inputs(g) * g.in_ch)


def error_distance(g: Geometry, error: TensorType) -> int:
    """Of kernels that compute the errors of the input positions in order, from those of the
    outputs whose windows hold them."""
    positions = np.arange(g.in_h * g.in_w)
    return distance(positions * g.in_ch, first_outputs(g) * g.out_ch) * error.dtype.nbytes


def first_inputs(g: Geometry) -> Array:
    """(out_h * out_w,): no output position reads an input position below this one."""
    rows, columns = g.first_read()
    return np.asarray((rows[:, None] * g.in_w + columns).ravel())


def first_outputs(g: Geometry) -> Array:
    """(in_h * in_w,): no window of an output position below this one holds an input position."""
    rows, columns = g.first_readers()
    return np.asarray((rows[:, None] * g.out_w + columns).ravel())
