# SPDX-License-Identifier: Apache-2.0
"""A small task with a class for each position: bright and dark squares on a noisy ground."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.making.net_builder import NetBuilder
from mcutrain.trainer.making.quantiser import quantize_net
from mcutrain.trainer.ops.pixelwise_cross_entropy import IGNORED

SIDE, STRIDE, CLASSES = 12, 2, 3
POSITIONS = SIDE // STRIDE


def scenes(count: int, seed: int) -> tuple[Array, Array]:
    """(N, 12, 12, 1) float32 images, and (N, 6, 6) uint8 maps of their labels: 0 the ground, 1 a
    bright square, 2 a dark one. A position at an image's corner takes no part."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.15, (count, SIDE, SIDE, 1))
    y = np.zeros((count, POSITIONS, POSITIONS), np.uint8)
    for k in range(count):
        for label, value in ((1, 1.0), (2, -1.0)):
            row, column = rng.integers(0, POSITIONS - 1, 2)
            where = slice(row, row + 2), slice(column, column + 2)
            y[k][where] = label
            pixels = (slice(STRIDE * s.start, STRIDE * s.stop) for s in where)
            x[k][tuple(pixels)] = value
    y[:, 0, 0] = IGNORED
    return np.clip(x, -1, 1).astype(np.float32), y


def segmenter(classes: int = CLASSES, seed: int = 3) -> bytes:
    """Two convolutions of random weights, and a head of ``classes`` at each of 6x6 positions; one
    is that of the squares against the ground."""
    build = NetBuilder((SIDE, SIDE, 1), seed)
    build.conv(8, kernel=3, stride=STRIDE)
    build.conv(8, kernel=3)
    build.conv(classes, kernel=1, activation="none")
    x = scenes(40, 1)[0].astype(np.float64)
    return quantize_net(build.net, build.params, x, softmax=classes > 1)


def write_task(folder: Path, train: int = 40, test: int = 20) -> tuple[Path, Path]:
    """A model and its data, as files."""
    model, data = folder / "segmenter.tflite", folder / "squares.npz"
    model.write_bytes(segmenter())
    (x_train, y_train), (x_test, y_test) = scenes(train, 5), scenes(test, 6)
    np.savez(data, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return model, data
