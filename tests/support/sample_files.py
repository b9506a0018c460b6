# SPDX-License-Identifier: Apache-2.0
"""Folders of images and sound, and CSV files, as users have them; models that take them."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mcutrain.trainer.graph.tensor import Array, QuantParams
from mcutrain.trainer.making.options import FullyConnectedOptions
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, write_model


def dense_model(
    shape: tuple[int, ...], classes: int, low: float, high: float, seed: int = 0
) -> bytes:
    """One layer on an input of ``shape`` whose int8 covers ``low`` to ``high``."""
    rng, size = np.random.default_rng(seed), int(np.prod(shape))
    scale = float(np.float32((high - low) / 255))
    w = rng.integers(-127, 128, (classes, size)).astype(np.int8)
    tensors = [
        WriterTensor("x", (1, *shape), "int8", QuantParams((scale,), round(-128 - low / scale))),
        WriterTensor("w", w.shape, "int8", QuantParams((float(np.float32(0.01)),), 0), w),
        WriterTensor("b", (classes,), "int32", None, np.zeros(classes, np.int32)),
        WriterTensor("y", (1, classes), "int8", QuantParams((float(np.float32(0.1)),), 0)),
    ]
    ops = [WriterOp("FULLY_CONNECTED", ("x", "w", "b"), ("y",), FullyConnectedOptions())]
    return write_model(tensors, ops, ["x"], ["y"])


def save_image(path: Path, pixels: Array) -> Path:
    """(H, W) or (H, W, 3) uint8, in the format of the ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def image_folder(
    folder: Path, classes: Sequence[str], each: int, size: tuple[int, int] = (8, 6), seed: int = 0
) -> Path:
    """``each`` gray PNG (height, width) for each class, brighter from class to class."""
    rng = np.random.default_rng(seed)
    for k, name in enumerate(classes):
        level = 255 * k // max(1, len(classes) - 1)
        for n in range(each):
            pixels = np.clip(level + rng.integers(-30, 31, size), 0, 255).astype(np.uint8)
            save_image(folder / name / f"{n}.png", pixels)
    return folder


def save_wav(path: Path, values: Array, rate: int = 16000) -> Path:
    """(N,) or (N, channels) in -1 to 1, as 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if values.ndim == 1 else values.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(values * 32767).astype("<i2").tobytes())
    return path


def tone(hertz: float, count: int, rate: int = 16000) -> Array:
    return np.asarray(0.5 * np.sin(2 * np.pi * hertz * np.arange(count) / rate))
