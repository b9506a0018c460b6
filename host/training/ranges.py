# SPDX-License-Identifier: Apache-2.0
"""Values as a user gives them, in the int8 of an end of the model; what they lose there is said."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mcutrain.host.npz import NpzArray
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array, QuantParams, TensorType
from mcutrain.trainer.notes import WARNING, Note
from mcutrain.trainer.ops.quantize import from_uint8

PIECE = 1 << 17  # values that are quantised at once
CLIPPED_KIND = "clipped"  # of a note
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


@dataclass
class Fit:
    """An array as the int8 ``codes`` (N, size), and what its values lost there.

    ``clipped`` counts the values out of range. ``low`` and ``high`` (size,) are the least and the
    greatest value that each position was given as; empty unless they are real ones.
    """

    codes: Array
    clipped: int
    low: Array
    high: Array

    @property
    def clipped_share(self) -> float:
        return self.clipped / max(1, self.codes.size)

    @property
    def merged_share(self) -> float:
        """Share of the positions whose real values differ and whose int8 values do not, of those
        that differ."""
        differs = self.low != self.high
        if not differs.any():
            return 0.0
        merged = differs & (self.codes.min(axis=0) == self.codes.max(axis=0))
        return float(merged.sum() / differs.sum())


def quantised(x: Array | NpzArray, what: str, end: End) -> Fit:
    """int8 as it is, float in real units as round(x / scale) + zero point, and uint8 as the file's
    own QUANTIZE makes it. Of an array in a file only a piece is held beside the result.

    Raises DataError.
    """
    check_values(x, what, end)
    size = math.prod(x.shape[1:])
    none = np.empty(0)
    fit = Fit(np.empty((len(x), size), np.int8), 0, none, none)
    row = 0
    for piece in pieces(x):
        flat = piece.reshape(len(piece), size)
        codes = fit.codes[row : row + len(flat)]
        if x.dtype == np.int8:
            codes[...] = flat
        elif x.dtype == np.uint8:
            assert end.pixels is not None and end.type.quant is not None
            codes[...] = from_uint8(end.pixels, end.type.quant)[flat]
            real = (flat.astype(np.float64) - end.pixels.zero_point) * end.pixels.scale
            fit.clipped += clipped_values(real, end)
        else:
            finite = np.isfinite(flat).all(axis=1)
            if not finite.all():
                first = row + int(np.flatnonzero(~finite)[0])
                raise DataError(
                    f"{what} holds NaN or infinity, first in sample {first}: leave such samples out"
                )
            q = np.floor(flat.astype(np.float64) / end.type.scale + 0.5) + end.type.zero_point
            codes[...] = np.clip(q, -128, 127)
            fit.clipped += clipped_values(flat, end)
            low, high = flat.min(axis=0), flat.max(axis=0)
            fit.low = np.minimum(fit.low, low) if fit.low.size else low
            fit.high = np.maximum(fit.high, high) if fit.high.size else high
        row += len(flat)
    return fit


def pieces(x: Array | NpzArray) -> Iterator[Array]:
    """The array in pieces that are small, but for one of columns in a file."""
    for block in x.blocks() if isinstance(x, NpzArray) else (x,):
        rows = max(1, PIECE // max(1, math.prod(block.shape[1:])))
        yield from (block[first : first + rows] for first in range(0, len(block), rows))


def check_values(x: Array | NpzArray, what: str, end: End) -> None:
    """Raises DataError for another shape or kind of values than the end takes."""
    if len(x.shape) < 1 or len(x) == 0:
        raise DataError(f"{what} is empty: give one sample or more")
    if squeezed(x.shape[1:]) != squeezed(end.type.shape):
        raise DataError(
            f"{what} has samples of shape {x.shape[1:]}, the model {end.verb} "
            f"{end.type.shape[1:]}; reshape them, or give the model that they are for"
        )
    is_pixels = x.dtype == np.uint8 and end.pixels is not None
    if x.dtype != np.int8 and x.dtype.kind != "f" and not is_pixels:
        raise DataError(
            f"{what} is {x.dtype}: give int8 as the model {end.verb} it, or float in the model's "
            f"real units, {end.real_range}{shifted(x)}"
        )


def shifted(x: Array | NpzArray) -> str:
    """How pixels become int8: a cast alone would wrap them."""
    if x.dtype != np.uint8:
        return ""
    return (
        ". If 0 to 255 are all of that range, 128 is to be taken off: "
        "(x.astype(numpy.int16) - 128).astype(numpy.int8); a cast alone wraps"
    )


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)


def range_notes(fit: Fit, name: str, end: End) -> Iterator[Note]:
    """What the values of the array ``name`` lose as int8."""
    if not fit.codes.size:
        return
    share = fit.clipped_share
    used = int(fit.codes.max()) - int(fit.codes.min()) + 1
    if share > CLIPPED:
        yield clipped_note(name, share, end)
    elif used < FEW_CODES:
        text = (
            f"{name} reaches over {used} of the 256 int8 values of the {end.name}, whose real "
            f"range is {end.real_range}: give values scaled like those that the model was "
            "quantised with"
        )
        yield Note(name, "few codes", used / 256, text, WARNING)
    elif (merged := fit.merged_share) > MERGED:
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
    if name.startswith(("x_test", "y_test")):
        text += "; no figure is computed of it"
    return Note(name, CLIPPED_KIND, share, text, WARNING)


def clipped_share(x: Array, end: End) -> float:
    """Share of real values beyond the end's range, half a quantum beside it allowed."""
    return clipped_values(x, end) / max(1, x.size)


def clipped_values(x: Array, end: End) -> int:
    """How many real values are beyond the end's range, half a quantum beside it allowed."""
    q = x.astype(np.float64) / end.type.scale + end.type.zero_point
    return int(np.count_nonzero((q < -128.5) | (q > 127.5)))
