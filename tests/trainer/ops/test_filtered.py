# SPDX-License-Identifier: Apache-2.0
"""The reference sums windows in several ways, which give the sums that the formula says."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.ops import conv2d, depthwise_conv2d
from mcutrain.trainer.ops.window import Geometry

GEOMETRIES = (
    Geometry(5, 40, 3, 5, 40, 4, 3, 3, 1, 1, 1, 1),
    Geometry(9, 71, 2, 5, 36, 3, 3, 3, 2, 2, 1, 1),
    Geometry(6, 34, 3, 2, 32, 2, 5, 3, 1, 1, 0, 0),  # no padding
    Geometry(4, 33, 1, 4, 33, 5, 1, 1, 1, 1, 0, 0),
    Geometry(3, 4, 2, 2, 2, 3, 2, 5, 1, 2, 0, 2),  # strides of two kinds, an even kernel
    Geometry(4, 5, 2, 4, 5, 2, 4, 2, 1, 1, 1, 0),  # more padding below than above
)
Tap = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def taps(g: Geometry) -> Iterator[Tap]:
    """(output position, tap, input position) of each product."""
    for y, x, ky, kx in np.ndindex(g.out_h, g.out_w, g.kernel_h, g.kernel_w):
        at = y * g.stride_h + ky - g.pad_top, x * g.stride_w + kx - g.pad_left
        if 0 <= at[0] < g.in_h and 0 <= at[1] < g.in_w:
            yield (y, x), (ky, kx), at


def drawn(seed: int, *shape: int, most: int = 127) -> Array:
    return np.random.default_rng(seed).integers(-most, most + 1, shape)


@pytest.mark.parametrize("g", GEOMETRIES, ids=str)
@pytest.mark.parametrize("most", [9, 2**17])  # sums that are float32s, and that need float64s
def test_sums_over_all_channels_and_their_transpose(g: Geometry, most: int) -> None:
    x, w = drawn(1, g.in_h, g.in_w, g.in_ch), drawn(2, g.out_ch, g.kernel_h, g.kernel_w, g.in_ch)
    dout = drawn(3, g.out_h, g.out_w, g.out_ch, most=most)
    out, dx = np.zeros(dout.shape, np.int64), np.zeros(x.shape, np.int64)
    for o, (ky, kx), at in taps(g):
        out[o] += w[:, ky, kx] @ (x[at] - 5)
        dx[at] += dout[o] @ w[:, ky, kx]

    small = w.astype(np.int8)
    np.testing.assert_array_equal(conv2d.correlate(g, x.astype(np.int8), small, 5), out)
    np.testing.assert_array_equal(conv2d.scatter(g, dout.astype(np.float32), small), dx)


@pytest.mark.parametrize("g", GEOMETRIES, ids=str)
def test_sums_within_a_channel_and_their_transpose(g: Geometry) -> None:
    """By rows or not, whatever the width."""
    padded = g.padded(drawn(1, g.in_h, g.in_w, g.out_ch).astype(np.float32))
    w, dout = drawn(2, g.kernel_h, g.kernel_w, g.out_ch), drawn(3, g.out_h, g.out_w, g.out_ch)
    inner = g.unpadded(padded)
    out, dx = np.zeros(dout.shape, np.int64), np.zeros(inner.shape, np.int64)
    for o, tap, at in taps(g):
        out[o] += (w[tap] * inner[at]).astype(np.int64)
        dx[at] += w[tap] * dout[o]

    filters, error = w.astype(np.float32), dout.astype(np.float32)
    np.testing.assert_array_equal(depthwise_conv2d.filtered(g, padded, filters), out)
    np.testing.assert_array_equal(depthwise_conv2d.filtered_by_rows(g, padded, filters), out)
    np.testing.assert_array_equal(depthwise_conv2d.scatter(g, error, filters), dx)
