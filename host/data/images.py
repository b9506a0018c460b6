# SPDX-License-Identifier: Apache-2.0
"""Image files as a model's int8 input: resized, gray or RGB, black and white as it takes them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.host.data.raw import shown
from mcutrain.host.extras import require_extra
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array, QuantParams, TensorType
from mcutrain.trainer.notes import WARNING, Note
from mcutrain.trainer.ops.quantize import from_uint8

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "BMP")  # whatever the ending says
MOST_PIXELS = 50_000_000  # of one image; a larger one was not made for a microcontroller
ASPECT = 0.05  # relative change from which a picture is said to be stretched
RANGES = ((0.0, 255.0), (0.0, 1.0), (-1.0, 1.0), (-128.0, 127.0))  # of black and white
UNLIKE = 0.25  # of a range's width: an input that ends so far away takes another one
OUTSIDE = 0.01  # share of the 256 values of a pixel that are clipped, from which it is said
# What Pillow raises for files that are damaged, or were made to do harm.
DAMAGED = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError,
           OverflowError, MemoryError, struct.error, zlib.error)  # fmt: skip


class ImageReader:
    """Reads images for an input of ``type``. ``pixels`` is the uint8 quantisation in which the
    model's file takes it, if it does; ``asked`` is "LOW:HIGH", the real values of black and white.

    Raises DataError where the model takes no images, or other values than can be told.
    """

    def __init__(self, type: TensorType, pixels: QuantParams | None, asked: str | None) -> None:
        require_extra("data")
        self.size, self.channels = image_shape(type)
        self.type = type
        if pixels is not None and asked is None:
            self.values = from_uint8(pixels, quant_of(type))
            self.told = "pixels are taken as the model's uint8 input takes them"
            self.outside = 0.0
        else:
            low, high = pixel_range(type, asked)
            real = low + np.arange(256) * (high - low) / 255
            q = np.floor(real / type.scale + 0.5) + type.zero_point
            self.values = np.clip(q, -128, 127).astype(np.int8)
            self.outside = float(((q < -128) | (q > 127)).mean())
            self.told = f"black is {low:g} and white {high:g}" + (
                "" if asked else f", as the input's range of {real_range(type)} suggests"
            )
        self._stretched: list[tuple[Path, tuple[int, int]]] = []
        self._resized = self._count = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a sample: (height, width, channels)."""
        return (*self.size, self.channels)

    def read(self, path: Path) -> Array:
        """(height, width, channels) int8. Raises DataError."""
        from PIL import Image

        try:
            with Image.open(path, formats=FORMATS) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise DataError(
                        f"{shown(path)} has {width} x {height} pixels, more than are read: make "
                        "it smaller first"
                    )
                found = np.asarray(self._fitted(image, path), np.uint8)
        except (*DAMAGED, Image.DecompressionBombError) as err:
            raise DataError(unreadable(path, err)) from err
        return self.values[found.reshape(self.shape)]

    def _fitted(self, image: Image, path: Path) -> Image:
        """Upright, gray or RGB, and of the model's size."""
        from PIL import Image as images
        from PIL import ImageOps

        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16 bits of gray, which would be clipped to 8
            image = images.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
        image = image.convert("L" if self.channels == 1 else "RGB")
        self._count += 1
        height, width = self.size
        if image.size == (width, height):
            return image
        self._resized += 1
        if abs(image.width * height / (image.height * width) - 1) > ASPECT:
            self._stretched.append((path, image.size))
        shrinks = image.width >= width and image.height >= height
        how = images.Resampling.BOX if shrinks else images.Resampling.BILINEAR
        return image.resize((width, height), how)

    def notes(self) -> Iterator[Note]:
        """How the images were read, for people."""
        height, width = self.size
        kind = "gray" if self.channels == 1 else "RGB"
        text = f"images are read as {width} x {height} {kind}, {self._resized} of them resized; "
        yield Note("x_train", "pixels", float(self._resized), text + self.told)
        if self._stretched:
            path, (was_wide, was_high) = self._stretched[0]
            text = (
                f"{len(self._stretched)} of {self._count} images change their shape, such as "
                f"{shown(path)} from {was_wide} x {was_high} to {width} x {height}: crop them "
                "first if that matters"
            )
            yield Note("x_train", "stretched", len(self._stretched) / self._count, text)
        if self.outside > OUTSIDE:
            text = (
                f"{100 * self.outside:.0f} % of the 256 values of a pixel lie outside the input's "
                f"real range, {real_range(self.type)}, and are clipped: give other --pixels "
                "LOW:HIGH"
            )
            yield Note("x_train", "clipped pixels", self.outside, text, WARNING)


def unreadable(path: Path, error: BaseException) -> str:
    reason = getattr(error, "strerror", None)
    if reason:
        return f"cannot read {shown(path)}: {reason}"
    return f"{shown(path)} is damaged, or no PNG, JPEG or BMP image: take it away, or save it again"


def image_shape(type: TensorType) -> tuple[tuple[int, int], int]:
    """((height, width), channels) of an input that is an image. Raises DataError."""
    dims = type.shape[1:]
    if len(dims) == 2:
        dims = (*dims, 1)
    if len(dims) != 3 or dims[2] not in (1, 3) or min(dims[:2]) < 2:
        raise DataError(
            f"the model takes samples of shape {type.shape[1:]}, which are no images of 1 or 3 "
            "channels: give an .npz of such samples"
        )
    return (dims[0], dims[1]), dims[2]


def quant_of(type: TensorType) -> QuantParams:
    assert type.quant is not None
    return type.quant


def pixel_range(type: TensorType, asked: str | None) -> tuple[float, float]:
    """The real values of black and white: as asked for, or those that the input covers best."""
    if asked is not None:
        return asked_range(asked)
    low, high = real_ends(type)

    def unlike(ends: tuple[float, float]) -> float:
        return max(abs(low - ends[0]), abs(high - ends[1])) / (ends[1] - ends[0])

    best = min(RANGES, key=unlike)
    if unlike(best) > UNLIKE:
        raise DataError(
            f"the model's input covers {real_range(type)}, so it cannot be told which values "
            "pixels have: give --pixels LOW:HIGH, the values of black and white, such as 0:1"
        )
    return best


def asked_range(asked: str) -> tuple[float, float]:
    try:
        low, high = map(float, asked.split(":"))
    except ValueError:
        low = high = 0.0
    if not (np.isfinite([low, high]).all() and low != high):
        raise DataError(
            f"--pixels {asked}: give LOW:HIGH, the values of black and white: 0:255, 0:1, -1:1"
        )
    return low, high


def real_ends(type: TensorType) -> tuple[float, float]:
    """The least and the greatest real value that an input can hold."""
    low, high = ((q - type.zero_point) * type.scale for q in (-128, 127))
    return low, high


def real_range(type: TensorType) -> str:
    return "{:.4g} to {:.4g}".format(*real_ends(type))
