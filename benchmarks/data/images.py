# SPDX-License-Identifier: Apache-2.0
"""Images as int8 models take them; bilinear resizing, as two matrix products."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array, TensorType


def model_input(images: Array, wanted: TensorType) -> Array:
    """int8 (N, H, H, C) for a model's input of that shape; ``images`` are uint8, and are resized.

    The int8 value is the pixel minus 128. That is what an input takes whose real values are
    pixels 0 to 255, pixels scaled to [0, 1], or to [-1, 1]: with scale 1 or 1/255 and zero point
    -128, or with scale 1/127.5 and zero point 0. Raises DataError for any other input.
    """
    height, width, channels = wanted.shape[1:]
    known = ((1.0, -128), (1 / 255, -128), (1 / 127.5, 0))
    fits = any(
        np.isclose(wanted.scale, scale, rtol=1e-3) and wanted.zero_point == zero
        for scale, zero in known
    )
    if not fits or height != width or channels != images.shape[-1]:
        raise DataError(
            f"the model takes {wanted.shape[1:]} at scale {wanted.scale:g}, zero point "
            f"{wanted.zero_point}: no square image of {images.shape[-1]} channels and full range"
        )
    pixels = images if images.shape[1] == height else resized(images, height)
    return np.asarray((pixels ^ 128).view(np.int8))


def input_rows(images: Array, wanted: TensorType) -> Array:
    """``model_input`` as a Dataset holds it: (N, input size) int8."""
    return model_input(images, wanted).reshape(len(images), -1)


def linear_weights(positions: Array, size: int) -> Array:
    """(len(positions), size) float64: row i interpolates ``size`` points at ``positions[i]``.

    Positions beyond the ends take the end's value.

    >>> linear_weights(np.array([0.25, 5.0]), 2)
    array([[0.75, 0.25],
           [0.  , 1.  ]])
    """
    inside = np.clip(positions, 0, size - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(inside[:, None] - np.arange(size))))


def resample(images: Array, weights: Array) -> Array:
    """(N, H, H, C) by weights (K, H) in height and width: (N, K, K, C) of the weights' dtype."""
    rows = np.tensordot(images.astype(weights.dtype), weights, (1, 1))  # (N, W, C, K)
    return np.asarray(np.tensordot(rows, weights, (1, 1)).transpose(0, 2, 3, 1))


def resized(images: Array, size: int) -> Array:
    """uint8 (N, H, H, C) to (N, size, size, C), bilinear with half-pixel centres, rounded."""
    count = images.shape[1]
    centres = (np.arange(size) + 0.5) * count / size - 0.5
    weights = linear_weights(centres, count).astype(np.float32)
    return np.asarray(np.floor(resample(images, weights) + 0.5).astype(np.uint8))
