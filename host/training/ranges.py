# SPDX-License-Identifier: Apache-2.0
"""Values as a user gives them, in the int8 of an end of the model; what they lose there is said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array, QuantParams, TensorType
from mcutrain.trainer.notes import WARNING, Note
from mcutrain.trainer.ops.quantize import from_uint8

CLIPPED = 0.01  # share of the values from which it is said
FEW_CODES = 12  # of 256; samples that fit use most of them
MERGED = 0.25  # share of a sample's values that differ in the file alone


@dataclass(frozen=True)
class End:
    """An end of the model: the type of its int8 values, and whether it is the input.

    ``pixels`` is the uint8 quantisation in which the model's file takes its input, if it does.
    """

    type: TensorType
    is_input: bool = True
    pixels: QuantParams | None = None

    @property
    def name(self) -> str:
        return "input" if self.is_input else "output"

    @property
    def verb(self) -> str:
        return "takes" if self.is_input else "gives"

    @property
    def real_range(self) -> str:
        low, high = (self.type.scale * (q - self.type.zero_point) for q in (-128, 127))
        return f"{low:.4g} to {high:.4g}"


def quantised(x: Array, what: str, end: End) -> Array:
    """(N, size) int8: int8 as it is, float in real units as round(x / scale) + zero point, and
    uint8 as the file's own QUANTIZE makes it. Raises DataError."""
    if x.ndim < 1 or len(x) == 0:
        raise DataError(f"{what} is empty")
    if squeezed(x.shape[1:]) != squeezed(end.type.shape):
        raise DataError(
            f"{what} has samples of shape {x.shape[1:]}, the model {end.verb} {end.type.shape[1:]}"
        )
    if x.dtype == np.int8:
        return np.asarray(x.reshape(len(x), -1))
    if x.dtype == np.uint8 and end.pixels is not None:
        assert end.type.quant is not None
        return from_uint8(end.pixels, end.type.quant)[x.reshape(len(x), -1)]
    if x.dtype.kind != "f":
        raise DataError(
            f"{what} is {x.dtype}: give int8 as the model {end.verb} it, or float in the model's "
            f"real units, {end.real_range}{shifted(x)}"
        )
    if not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))[0])
        raise DataError(f"{what} holds NaN or infinity, first in sample {row}")
    q = np.floor(x.astype(np.float64) / end.type.scale + 0.5) + end.type.zero_point
    return np.asarray(np.clip(q, -128, 127).astype(np.int8).reshape(len(x), -1))


def shifted(x: Array) -> str:
    """How integers that look like pixels become int8: a cast alone would wrap them."""
    if x.dtype.kind not in "iu" or x.min() < 0 or not 127 < x.max() < 256:
        return ""
    return (
        ". If 0 to 255 are all of that range, 128 is to be taken off: "
        "(x.astype(numpy.int16) - 128).astype(numpy.int8); a cast alone wraps"
    )


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)


def range_notes(x: Array, codes: Array, name: str, end: End) -> Iterator[Note]:
    """What the values ``x`` of the array ``name`` lose as the int8 ``codes``."""
    share = clipped_share(x, end)
    used = int(codes.max()) - int(codes.min()) + 1
    if share > CLIPPED:
        yield clipped_note(name, share, end)
    elif used < FEW_CODES:
        text = (
            f"{name} reaches over {used} of the 256 int8 values of the {end.name}, whose real "
            f"range is {end.real_range}: give values scaled like those that the model was "
            "quantised with"
        )
        yield Note(name, "few codes", used / 256, text, WARNING)
    elif x.dtype.kind == "f" and (merged := merged_share(x, codes)) > MERGED:
        text = (
            f"{100 * merged:.0f} % of the values of a sample differ from sample to sample in "
            f"{name}, but become one int8 value: scale each of them to the {end.name}'s real "
            f"range, {end.real_range}, before the model is quantised"
        )
        yield Note(name, "merged", merged, text, WARNING)


def clipped_note(name: str, share: float, end: End) -> Note:
    text = (
        f"{100 * share:.1f} % of {name} lies outside the {end.name}'s real range, "
        f"{end.real_range}, and is clipped: give values scaled like those that the model was "
        "quantised with"
    )
    return Note(name, "clipped", share, text, WARNING)


def clipped_share(x: Array, end: End) -> float:
    """Share of real values beyond the end's range, half a quantum beside it allowed."""
    if x.dtype == np.uint8 and end.pixels is not None:
        x = (x.astype(np.float64) - end.pixels.zero_point) * end.pixels.scale
    if x.dtype.kind != "f":
        return 0.0
    q = x.astype(np.float64) / end.type.scale + end.type.zero_point
    return float(np.mean((q < -128.5) | (q > 127.5)))


def merged_share(x: Array, codes: Array) -> float:
    """Share of the positions whose float values differ and whose int8 values do not, of those
    that differ."""
    flat = x.reshape(len(x), -1)
    differs = flat.min(axis=0) != flat.max(axis=0)
    merged = differs & (codes.min(axis=0) == codes.max(axis=0))
    return float(merged.sum() / max(1, differs.sum()))
