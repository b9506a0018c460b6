# SPDX-License-Identifier: Apache-2.0
"""The samples that nets are designed for, in real units, and whose each is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mcutrain.host.data.load import Wanted, is_read_here, load
from mcutrain.host.data.options import DEFAULT_DATA_OPTIONS, DataOptions
from mcutrain.host.data.raw import quiet
from mcutrain.host.data.table import read_table
from mcutrain.host.designing.widths import Shape
from mcutrain.host.npz import DAMAGED, NpzFile
from mcutrain.host.search.command import GROUPS
from mcutrain.host.training.ranges import End, clipped_note, clipped_share, quantised, shifted
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, TensorType
from mcutrain.trainer.making.quantiser import activation_quant
from mcutrain.trainer.notes import Note

CODES = QuantParams((1 / 128,), 0)  # what int8 samples mean: -1 to 1
PIXELS = QuantParams((float(np.float32(1 / 255)),), -128)  # black 0, white 1
BEYOND = 1e-4  # share of the values at each end that may lie outside the range
LEAST_PER_CLASS, FEW_PER_CLASS = 8, 50  # below: refused; below: said
LEAST_VALUES = 64  # samples of a regression
FEW_NUMBERS = 32  # distinct whole numbers, given as float: they may be meant as labels


@dataclass(frozen=True)
class RealSamples:
    """x (N, H, W, C) float32 in real units; y (N,) int64 labels or (N, values) float32; group (N,)
    int64, whose each sample is, or None."""

    x: Array
    y: Array
    group: Array | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def has_labels(self) -> bool:
        return self.y.ndim == 1

    def take(self, index: Array) -> RealSamples:
        group = None if self.group is None else self.group[index]
        return RealSamples(self.x[index], self.y[index], group)


@dataclass(frozen=True)
class Reading:
    """How the data of a design are read. ``shape`` is that of a sample, if it is given;
    ``has_values`` says that targets are values even where they are whole numbers."""

    options: DataOptions = DEFAULT_DATA_OPTIONS
    shape: tuple[int, ...] | None = None
    has_values: bool = False


def parse_shape(text: str) -> tuple[int, ...]:
    """
    >>> parse_shape("28x28x1")
    (28, 28, 1)
    """
    parts = text.lower().split("x")
    if not 2 <= len(parts) <= 3 or not all(p.isascii() and p.isdigit() and int(p) for p in parts):
        raise DataError(
            f"--shape {text[:40]}: give time and channels, such as 50x6, or height, width and "
            "channels, such as 28x28x1"
        )
    return tuple(map(int, parts))


def shape_of(each: tuple[int, ...], asked: tuple[int, ...] | None, what: str) -> Shape:
    """(H, W, C) of samples that have the shape ``each``. Raises DataError for what is neither a
    series nor an image."""
    if asked is not None and math.prod(asked) != math.prod(each):
        raise DataError(
            f"{what} has samples of shape {each}, {math.prod(each):,} values, and --shape "
            f"{'x'.join(map(str, asked))} is {math.prod(asked):,}"
        )
    given = asked or each
    if len(given) == 2:  # time and channels
        found: tuple[int, ...] = (given[0], 1, given[1])
    elif len(given) == 3 and given[0] == 1:
        found = (given[1], 1, given[2])
    else:
        found = given
    if len(found) != 3 or not all(found):
        raise DataError(
            f"{what} has samples of shape {each}, which are neither a series (time, channels) nor "
            "an image (height, width, channels): give --shape, such as 50x6 or 28x28x1"
        )
    if found[0] == 1:
        raise DataError(
            f"{what} has samples of shape {each}: over one position no filter moves; give windows "
            "of several readings, or --shape"
        )
    return found[0], found[1], found[2]


def read_samples(path: Path, reading: Reading) -> tuple[RealSamples, QuantParams, list[Note]]:
    """The training samples in ``path``, the quantisation that their values suggest, and what is
    to be said of how they were read. Raises DataError."""
    if is_read_here(path):
        return read_files(path, reading)
    if reading.options != DEFAULT_DATA_OPTIONS:
        raise DataError(
            f"{path} is no folder and no CSV file, and {', '.join(reading.options.given())} says "
            "nothing of an .npz: leave it out"
        )
    x, y, group = arrays_of(path)
    name = f"{path}: x_train"
    if x.dtype != np.int8 and x.dtype.kind != "f":
        raise DataError(f"{name} is {x.dtype}: give int8, or float in real units{shifted(x)}")
    if x.ndim < 2 or not len(x):
        raise DataError(f"{name} has the shape {x.shape}: give samples, each of several values")
    if len(y) != len(x):
        raise DataError(f"{path}: x_train has {len(x)} samples, y_train {len(y)} targets")
    real = x.astype(np.float32) * np.float32(CODES.scale) if x.dtype == np.int8 else finite(x, name)
    shape = shape_of(x.shape[1:], reading.shape, name)
    notes = [*shape_notes(x.shape[1:], reading.shape)]
    quant = CODES if x.dtype == np.int8 else range_of(real)
    targets = targets_of(y, f"{path}: y_train", reading.has_values)
    found = RealSamples(real.reshape(len(x), *shape), targets, group)
    return found, quant, notes


def arrays_of(path: Path) -> tuple[Array, Array, Array | None]:
    """x_train, y_train and group_train of an .npz. Raises DataError."""
    try:
        with NpzFile(path) as file:
            for name in ("x_train", "y_train"):
                if name not in file:
                    raise DataError(f"{path} has no array {name}: a net learns from both")
            x, y = file["x_train"].read(), file["y_train"].read()
            group = file[GROUPS].read() if GROUPS in file else None
    except (OSError, *DAMAGED) as err:
        raise DataError(f"{path} is not an .npz file of plain arrays: {err}") from err
    if group is not None and (group.shape != (len(x),) or group.dtype.kind not in "iu"):
        raise DataError(
            f"{path}: {GROUPS} is {group.dtype} of shape {group.shape}: one integer for each of "
            f"the {len(x)} samples of x_train is needed"
        )
    return x, y, None if group is None else group.astype(np.int64)


def targets_of(y: Array, what: str, has_values: bool) -> Array:
    """Labels (N,) int64 or values (N, values) float32. Raises DataError."""
    if y.ndim not in (1, 2) or y.dtype.kind not in "iuf":
        raise DataError(
            f"{what} is {y.dtype} of shape {y.shape}: give a whole number or values for each sample"
        )
    if y.dtype.kind in "iu" and y.ndim == 1 and not has_values:
        if len(y) and y.min() < 0:
            raise DataError(f"{what} holds the label {y.min()}: labels begin with 0")
        if len(y) and int(y.max()) >= len(y):
            raise DataError(
                f"{what} holds the label {y.max()}, and there are {len(y)} samples: labels are the "
                "whole numbers from 0 on, and each has several samples"
            )
        return y.astype(np.int64)
    if y.dtype.kind in "iu" and not has_values:
        raise DataError(
            f"{what} is {y.dtype} of shape {y.shape}: of a column for each class, "
            "numpy.argmax(y, axis=1) makes labels; values are float"
        )
    real = finite(y, what).reshape(len(y), -1)
    is_few = y.ndim == 1 and len(np.unique(real)) <= FEW_NUMBERS
    if not has_values and is_few and (real == np.round(real)).all():
        raise DataError(
            f"{what} holds whole numbers as {y.dtype}: labels become integers by .astype(int); if "
            "they are values, give --loss mse"
        )
    return real


def finite(values: Array, what: str) -> Array:
    """As float32. Raises DataError for what is no number, or is none that float32 can hold."""
    with np.errstate(over="ignore"):
        found = values.astype(np.float32)
    if not np.isfinite(found).all():
        raise DataError(
            f"{what} holds NaN, infinity, or a number beyond float32: leave such samples out"
        )
    return found


def range_of(x: Array) -> QuantParams:
    """What nearly all values lie in, with 0."""
    flat = x.reshape(-1)[:: max(1, x.size // 1_000_000)]
    low, high = np.quantile(flat, (BEYOND, 1 - BEYOND))
    return activation_quant(float(low), float(high))


def shape_notes(each: tuple[int, ...], asked: tuple[int, ...] | None) -> Iterator[Note]:
    """Where a series could as well be an image."""
    if asked is None and len(each) == 2 and each[0] == each[1]:
        text = (
            f"samples of {each[0]} x {each[1]} are taken as series of {each[0]} readings of "
            f"{each[1]} channels: --shape {each[0]}x{each[1]}x1 makes images of them"
        )
        yield Note("x_train", "series", 1.0, text)


def read_files(path: Path, reading: Reading) -> tuple[RealSamples, QuantParams, list[Note]]:
    """The samples of a folder or a CSV file. Raises DataError."""
    shape = shape_of(asked_shape(path, reading), None, str(path))
    is_image = shape[1] > 1
    quant = PIXELS if is_image else CODES
    type = TensorType((1, *shape), DType.S8, quant)
    values = int(reading.has_values)
    raw = load(path, Wanted(type, labels=not values, values=values), reading.options, quiet)
    part = raw.parts["train"]
    if part.x.dtype == np.int8:
        real = (part.x.astype(np.float32) - quant.zero_point) * np.float32(quant.scale)
    else:
        real, quant = finite(part.x, str(path)), range_of(part.x)
    y = part.y if values else part.y.astype(np.int64)
    y = y.astype(np.float32).reshape(len(y), -1) if values else y
    return RealSamples(real.reshape(len(real), *shape), y, part.groups), quant, [*raw.notes]


def asked_shape(path: Path, reading: Reading) -> tuple[int, ...]:
    """Of a sample, as it is given, or of a table's window. Raises DataError."""
    if reading.shape is not None:
        return reading.shape
    if path.is_dir():
        raise DataError(
            f"{path} is a folder, and no model says which size its samples shall have: give "
            "--shape, such as 32x32x1 for gray images or 16000x1 for a second of sound"
        )
    table = read_table(path, reading.options, not reading.has_values, reading.has_values, quiet)
    return reading.options.window or 1, len(table.features)


def check_enough(samples: RealSamples, path: Path) -> list[Note]:
    """What is to be said of how many there are. Raises DataError for too few."""
    if not samples.has_labels:
        if len(samples) < LEAST_VALUES:
            raise DataError(
                f"{path} has {len(samples)} samples: a net from scratch needs {LEAST_VALUES} at "
                "least; add some, or begin with a model that is trained"
            )
        return []
    counts = np.bincount(samples.y)
    if np.count_nonzero(counts) < 2:
        raise DataError(
            f"{path} has samples of one class alone, {int(samples.y[0])}: there is nothing to tell "
            "apart; add samples of another class"
        )
    least = int(np.argmin(counts))
    if counts[least] < LEAST_PER_CLASS:
        raise DataError(
            f"{path} has {counts[least]} samples of class {least}: a net from scratch needs "
            f"{LEAST_PER_CLASS} of each class at least, and learns well from some hundreds; add "
            "some, or begin with a model that is trained"
        )
    if counts[least] < FEW_PER_CLASS:
        text = (
            f"class {least} has {counts[least]} samples: a net from scratch learns well from some "
            "hundreds of each class"
        )
        return [Note("y_train", "few samples", float(counts[least]), text)]
    return []


def own_samples(
    path: Path, reading: Reading, general: RealSamples, quant: QuantParams
) -> tuple[RealSamples, list[Note]]:
    """The user's own samples, which must be of the kind of the ``general`` ones. Raises
    DataError."""
    shape = general.x.shape[1:]
    wanted = replace(reading, shape=reading.shape or (shape[0], *shape[1 + (shape[1] == 1) :]))
    found, own_quant, notes = read_samples(path, wanted)
    if found.x.shape[1:] != shape:
        raise DataError(
            f"{path} has samples of shape {found.x.shape[1:]}, --data of {shape}: both must be of "
            "one kind"
        )
    if (own_quant == CODES) != (quant == CODES):
        raise DataError(f"{path}: give --own and --data both as int8, or both as float")
    if found.has_labels != general.has_labels:
        raise DataError(f"{path}: one of --own and --data has labels, and the other values")
    if found.has_labels and found.y.max() > general.y.max():
        raise DataError(
            f"{path} holds the label {found.y.max()}, and --data has those from 0 to "
            f"{general.y.max()}: a net is made for the classes of --data"
        )
    if not found.has_labels and found.y.shape != (len(found), general.y.shape[1]):
        raise DataError(
            f"{path} has {found.y.shape[1]} values for each sample, --data has {general.y.shape[1]}"
        )
    share = clipped_share(found.x, End(TensorType((1, *shape), DType.S8, quant)))
    if share > 0.01:
        notes.append(clipped_note("x_train of --own", share, end_of(shape, quant)))
    return found, notes


def end_of(shape: tuple[int, ...], quant: QuantParams) -> End:
    """The input of a net for samples of ``shape``."""
    return End(TensorType((1, *shape), DType.S8, quant))


def codes_of(samples: RealSamples, quant: QuantParams) -> Array:
    """(N, input size) int8, as every net of a design takes them."""
    return quantised(samples.x, "x_train", end_of(samples.x.shape[1:], quant)).codes
