# SPDX-License-Identifier: Apache-2.0
"""Draws samples for a page: images as pictures, windows of sensors as traces, two-dimensional
features of sound as spectrograms."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from mcutrain.trainer.graph.tensor import Array

IMAGE, SPECTROGRAM, TRACES, VALUES = "image", "spectrogram", "traces", "values"
LEAST_SIDE = 6  # pixels of an image, or bands and frames of a spectrogram
MOST_SIDE = 128  # pixels of a drawing: larger ones are thinned
MOST_CHANNELS = 12  # traces that can be told apart
MOST_TIMES = 200
MOST_VALUES = 8
QUALITY = 85  # of JPEG
SQUARE = 1.25  # sides further apart are time and frequency
# Viridis at nine places: dark is low and light is high, for colour-blind readers too.
VIRIDIS = (
    (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141), (39, 173, 129),
    (92, 200, 99), (170, 220, 50), (253, 231, 37),
)  # fmt: skip


def kind_of(shape: Sequence[int]) -> str:
    """What samples of an input's ``shape`` (1, ...) look like.

    >>> kind_of((1, 96, 96, 3)), kind_of((1, 49, 10, 1)), kind_of((1, 60, 1, 6)), kind_of((1, 12))
    ('image', 'spectrogram', 'traces', 'values')
    """
    sides = tuple(shape[1:])
    if len(sides) == 3 and min(sides[:2]) >= LEAST_SIDE and sides[2] in (1, 3):
        is_square = max(sides[:2]) <= SQUARE * min(sides[:2])
        return IMAGE if is_square or sides[2] == 3 else SPECTROGRAM
    times, channels = window(sides)
    return (
        TRACES if times >= LEAST_SIDE and channels <= MOST_CHANNELS and len(sides) > 1 else VALUES
    )


def window(sides: Sequence[int]) -> tuple[int, int]:
    """(times, channels) of a window: the last axis has the channels if another is longer than 1."""
    long = [side for side in sides if side > 1]
    if len(long) == 2 and sides[-1] > 1:
        return long[0], long[1]
    return (int(np.prod(sides)), 1) if len(long) == 1 else (0, 0)


def drawing(sample: Array, shape: Sequence[int]) -> dict[str, Any]:
    """What a page needs to draw a sample (input size,) int8 of an input's ``shape``."""
    kind, values = kind_of(shape), sample.reshape(shape[1:]).astype(np.int64)
    if kind in (IMAGE, SPECTROGRAM):
        pixels = image(values) if kind == IMAGE else spectrogram(values[..., 0])
        return {"kind": kind, **encoded(pixels, "jpeg" if values.shape[2] == 3 else "png")}
    if kind == TRACES:
        times, channels = window(shape[1:])
        return {"kind": kind, "traces": traces(values.reshape(times, channels))}
    return {"kind": kind, "values": values.reshape(-1)[:MOST_VALUES].tolist(), "size": values.size}


def image(values: Array) -> Array:
    """(H, W, 3) uint8 of int8 pixels (H, W, 1 or 3), which begin with -128."""
    return np.repeat(values + 128, 3 // values.shape[2], axis=2).astype(np.uint8)


def spectrogram(values: Array) -> Array:
    """(bands, times, 3) uint8 of (times, bands): time goes right, the first band is lowest."""
    shares = np.interp(values.T[::-1], (values.min(), max(values.max(), values.min() + 1)), (0, 8))
    return np.stack(
        [np.interp(shares, range(9), [c[k] for c in VIRIDIS]) for k in range(3)], axis=-1
    ).astype(np.uint8)


def encoded(pixels: Array, media: str) -> dict[str, Any]:
    """(H, W, 3) uint8 as a file of the ``media`` jpeg, small for photographs, or png, in base64."""
    from PIL import Image

    every = -(-max(pixels.shape[:2]) // MOST_SIDE)
    thin = np.ascontiguousarray(pixels[::every, ::every])
    buffer = io.BytesIO()
    Image.fromarray(thin).save(buffer, format=media, quality=QUALITY)
    height, width = pixels.shape[:2]
    data = base64.b64encode(buffer.getvalue()).decode()
    return {"width": width, "height": height, "media": media, "data": data}


def traces(values: Array) -> list[str]:
    """The points of a line for each channel of (times, channels), in a box of 200 by 100: all
    channels have the scale of the window's least and greatest value."""
    every = -(-len(values) // MOST_TIMES)
    thin = values[::every]
    low, high = int(thin.min()), max(int(thin.max()), int(thin.min()) + 1)
    places = np.linspace(0, 200, len(thin))
    heights = 98 - 96 * (thin - low) / (high - low)
    return [
        " ".join(f"{x:.0f},{y:.0f}" for x, y in zip(places, column, strict=True))
        for column in heights.T
    ]
