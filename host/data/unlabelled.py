# SPDX-License-Identifier: Apache-2.0
"""A folder of images or sound without folders of classes: inputs, and no labels."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from mcutrain.host.data.folder import IMAGES, SOUNDS, listed
from mcutrain.host.data.images import ImageReader
from mcutrain.host.data.load import OF_IMAGES, OF_SOUNDS, Wanted, check_options
from mcutrain.host.data.options import TRAIN, DataOptions
from mcutrain.host.data.raw import RawData, RawPart, check_size, shown
from mcutrain.host.data.sounds import SoundReader
from mcutrain.trainer.errors import DataError


def is_loose(path: Path) -> bool:
    """Whether images or sound lie in the folder itself, and no folder beside them."""
    entries = [*listed(path)]
    has_samples = any(entry.suffix.lower() in IMAGES + SOUNDS for entry in entries)
    return has_samples and not any(entry.is_dir() for entry in entries)


def load_loose(path: Path, wanted: Wanted, options: DataOptions) -> RawData:
    """The samples of a folder that ``is_loose``, in the order of their names. Raises DataError."""
    files = [file for file in listed(path) if file.suffix.lower() in IMAGES + SOUNDS]
    images = [file for file in files if file.suffix.lower() in IMAGES]
    if images and len(images) < len(files):
        raise DataError(
            f"{shown(path)} holds images and sound: a model takes one of them; take the others away"
        )
    reader: ImageReader | SoundReader
    if images:
        check_options(options, OF_IMAGES, f"{shown(path)} holds images")
        reader = ImageReader(wanted.type, options.pixels)
    else:
        check_options(options, OF_SOUNDS, f"{shown(path)} holds sound")
        reader = SoundReader(wanted.type, options.sample_rate)
    dtype = np.dtype(np.int8 if images else np.float32)
    check_size(len(files), math.prod(reader.shape) * dtype.itemsize, shown(path))
    x = np.empty((len(files), *reader.shape), dtype)
    for k, file in enumerate(files):
        x[k] = reader.read(file)
    names = tuple(shown(file.name) for file in files)
    part = RawPart(x, np.zeros(len(files), np.int64), names)
    return RawData({TRAIN: part}, tuple(reader.notes()))
