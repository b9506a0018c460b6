# SPDX-License-Identifier: Apache-2.0
"""Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): 60,000 + 10,000 grey images of 28 x 28.

They come from the Debian package dataset-fashion-mnist, as IDX files (LeCun's MNIST format).
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from benchmarks.data import RawSamples
from benchmarks.data.fetch import DataUnavailable
from mcutrain.trainer.graph.tensor import Array

CLASSES = 10
SIZE = 28
FOLDER = Path("/usr/share/datasets/fashion-mnist")
COUNTS = {"train": 60_000, "t10k": 10_000}


def train_set() -> RawSamples:
    """x (60000, 28, 28, 1) uint8, y (60000,). Raises DataUnavailable."""
    return load("train")


def test_set() -> RawSamples:
    """x (10000, 28, 28, 1) uint8, y (10000,). Raises DataUnavailable."""
    return load("t10k")


def load(part: str, folder: Path = FOLDER) -> RawSamples:
    """``part`` is train or t10k. Raises DataUnavailable."""
    count = COUNTS[part]
    x = read_idx(folder / f"{part}-images-idx3-ubyte.gz", (count, SIZE, SIZE))
    y = read_idx(folder / f"{part}-labels-idx1-ubyte.gz", (count,))
    return RawSamples(x[..., None], y.astype(np.int64))


def read_idx(path: Path, shape: tuple[int, ...]) -> Array:
    """The uint8 array of a compressed IDX file, of the shape given. Raises DataUnavailable.

    The header: two zero bytes, 8 for uint8, the number of dimensions, each as big-endian uint32.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except FileNotFoundError as err:
        raise DataUnavailable(
            f"Fashion-MNIST: there is no {path}; it comes from the Debian package "
            "dataset-fashion-mnist: `apt-get install dataset-fashion-mnist` as root"
        ) from err
    except (OSError, EOFError, zlib.error) as err:
        raise DataUnavailable(f"Fashion-MNIST: {path} is damaged ({err}); reinstall it") from err
    header = bytes((0, 0, 8, len(shape))) + np.array(shape, ">u4").tobytes()
    if not content.startswith(header) or len(content) != len(header) + int(np.prod(shape)):
        raise DataUnavailable(f"Fashion-MNIST: {path} does not hold {shape} bytes; reinstall it")
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)
