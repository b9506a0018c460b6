# SPDX-License-Identifier: Apache-2.0
"""Data sets for training: an .npz of samples and labels, checked and quantised to the input."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcutrain.host.npz import DAMAGED, NpzArray, NpzFile
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.training_plan import TrainingPlan

PIECE = 1 << 17  # values that are quantised at once
KEYS = ("x_train", "y_train", "x_test", "y_test")
VALIDATION_KEYS = ("x_val", "y_val")  # a file need not have them
OLD_KEYS = ("x_old", "y_old")  # nor these


@dataclass(frozen=True)
class Dataset:
    """x (N, input size) int8 as the model takes it; y (N,) int64 labels, or (N, output size)
    int8 values, or (N, 0) where the target is made of the input.

    ``clipped`` is the share of float training values outside what the input can hold. The
    validation samples decide which weights are kept; there may be none. The old samples fill a
    replay buffer before the first step.
    """

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    clipped: float = 0.0
    x_val: Array | None = None
    y_val: Array | None = None
    x_old: Array | None = None
    y_old: Array | None = None


def load_dataset(path: Path, plan: TrainingPlan) -> Dataset:
    """The data set in ``path``, fitted to the plan's input and classes. Raises DataError."""
    with chosen(path, plan.task.target is not None, all_keys) as arrays:
        fitting, clipped = fitted(arrays, path, plan)
    return Dataset(**fitting, clipped=clipped.get("x_train", 0.0))


def load_old(path: Path, plan: TrainingPlan) -> tuple[Array, Array]:
    """The old samples in ``path``, its training samples if it has none: x and y as in Dataset.

    Raises DataError.
    """
    with chosen(path, plan.task.target is not None, old_keys) as found:
        arrays, _ = fitted(found, path, plan)
    x, y = (next(a for key, a in arrays.items() if key[0] == first) for first in "xy")
    return x, y


def load_samples(path: Path, wanted: TensorType) -> tuple[Array, float]:
    """The training samples in ``path`` without targets, (N, input size) int8, and the share of
    values that is clipped. Raises DataError."""
    with chosen(path, False, lambda there: KEYS[:1]) as arrays:
        return quantised_with_share(arrays["x_train"], f"{path}: x_train", wanted, "takes")


def all_keys(there: Collection[str]) -> tuple[str, ...]:
    return sum((more for more in (VALIDATION_KEYS, OLD_KEYS) if set(more) & set(there)), KEYS)


def old_keys(there: Collection[str]) -> tuple[str, ...]:
    return OLD_KEYS if set(OLD_KEYS) & set(there) else KEYS[:2]


@contextmanager
def chosen(
    path: Path, has_targets: bool, keys_of: Callable[[Collection[str]], tuple[str, ...]]
) -> Iterator[dict[str, NpzArray]]:
    """What ``keys_of`` picks of the names in an .npz, with or without targets; nothing but their
    headers is read yet. Raises DataError."""
    try:
        with NpzFile(path) as file:
            keys = keys_of(file.names)
            wanted = keys if has_targets else tuple(key for key in keys if key[0] == "x")
            missing = [key for key in wanted if key not in file]
            if missing:
                raise DataError(
                    f"{path} has no array {missing[0]}; it needs {', '.join(wanted)} and has "
                    f"{', '.join(file.names[:8]) or 'none'}"
                )
            yield {key: file[key] for key in wanted}
    except OSError as err:
        raise DataError(f"cannot read data set {path}: {err.strerror or err}") from err
    except DAMAGED as err:
        raise DataError(
            f"{path} is not an .npz file of plain arrays; numpy.savez writes one"
        ) from err


def fitted(
    arrays: dict[str, NpzArray], path: Path, plan: TrainingPlan
) -> tuple[dict[str, Array], dict[str, float]]:
    """Samples and targets of each part, checked and quantised, and the shares of samples' values
    that are clipped. Raises DataError, where headers tell before anything is read."""
    parts = [key[2:] for key in arrays if key[0] == "x"]
    for part in parts:
        x, y = arrays[f"x_{part}"], arrays.get(f"y_{part}")
        check_samples(x, f"{path}: x_{part}", plan.task.input.type, "takes")
        if y is not None and y.shape and len(y) != len(x):
            raise DataError(f"{path}: x_{part} has {len(x)} samples, y_{part} {len(y)} targets")
        if y is not None and plan.takes_label:
            check_labels(y, f"{path}: y_{part}")
    checked, shares = {}, {}
    for part in parts:
        x, y, name = arrays[f"x_{part}"], arrays.get(f"y_{part}"), f"x_{part}"
        checked[name], shares[name] = quantised_with_share(
            x, f"{path}: {name}", plan.task.input.type, "takes"
        )
        checked[f"y_{part}"] = targets(y, len(x), f"{path}: y_{part}", plan)
    return checked, shares


def targets(y: NpzArray | None, count: int, what: str, plan: TrainingPlan) -> Array:
    """What each step takes beside its sample: see Dataset. Raises DataError."""
    if y is None:
        return np.zeros((count, 0), np.int8)
    if plan.takes_label:
        return labels(y.read(), what, plan.classes)
    return quantised(y, what, plan.task.logits.type, "gives")


def quantised(x: Array | NpzArray, what: str, wanted: TensorType, verb: str) -> Array:
    """(N, size) int8: int8 as it is, float in real units as round(x / scale) + zero point.

    ``verb`` says what the model does with such values: takes or gives.
    """
    return quantised_with_share(x, what, wanted, verb)[0]


def quantised_with_share(
    x: Array | NpzArray, what: str, wanted: TensorType, verb: str
) -> tuple[Array, float]:
    """As ``quantised``, and the share of float values beyond the real range, half a quantum beside
    it allowed. Of an array in a file only a piece is held beside the result."""
    check_samples(x, what, wanted, verb)
    found = np.empty((len(x), math.prod(x.shape[1:])), np.int8)
    row, clipped = 0, 0
    for block in pieces(x):
        flat = block.reshape(len(block), -1)
        if x.dtype.kind == "f":
            flat, outside = quantised_block(flat, row, what, wanted)
            clipped += outside
        found[row : row + len(flat)] = flat
        row += len(flat)
    return found, clipped / max(1, found.size)


def pieces(x: Array | NpzArray) -> Iterator[Array]:
    """The array in pieces that are small, but for one of columns in a file."""
    for block in x.blocks() if isinstance(x, NpzArray) else (x,):
        rows = max(1, PIECE // max(1, math.prod(block.shape[1:])))
        yield from (block[first : first + rows] for first in range(0, len(block), rows))


def quantised_block(x: Array, first: int, what: str, wanted: TensorType) -> tuple[Array, int]:
    """(n, size) real values as int8, and how many are out of range; ``first`` is their sample."""
    if not np.isfinite(x).all():
        row = first + int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])
        raise DataError(f"{what} holds NaN or infinity, first in sample {row}")
    exact = x.astype(np.float64) / wanted.scale
    q = exact + wanted.zero_point
    outside = int(np.count_nonzero((q < -128.5) | (q > 127.5)))
    rounded = np.floor(exact + 0.5) + wanted.zero_point
    return np.clip(rounded, -128, 127).astype(np.int8), outside


def check_samples(x: Array | NpzArray, what: str, wanted: TensorType, verb: str) -> None:
    """Raises DataError for another shape or kind of values than the model has."""
    if len(x.shape) < 1 or len(x) == 0:
        raise DataError(f"{what} is empty")
    if squeezed(x.shape[1:]) != squeezed(wanted.shape):
        raise DataError(
            f"{what} has samples of shape {x.shape[1:]}, the model {verb} {wanted.shape[1:]}"
        )
    if x.dtype != np.int8 and x.dtype.kind != "f":
        raise DataError(
            f"{what} is {x.dtype}: give int8 as the model {verb} it, or float in the model's "
            "real units"
        )


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)


def check_labels(y: NpzArray, what: str) -> None:
    if len(y.shape) != 1 or y.dtype.kind not in "iu":
        raise DataError(f"{what} is {y.dtype} of shape {y.shape}: one integer per sample is needed")


def labels(y: Array, what: str, classes: int) -> Array:
    bad = np.flatnonzero((y < 0) | (y >= classes))
    if bad.size:
        wanted = int(y.max()) + 1
        advice = f"; give --classes {wanted} for a new head" if classes < wanted < 1000 else ""
        if y.min() == 1 and wanted == classes + 1:
            advice = f"; labels begin with 0, these with 1{advice.replace('; give', ': or give')}"
        raise DataError(
            f"{what} holds the label {y[bad[0]]} (sample {bad[0]}), but the model has {classes} "
            f"classes, 0 to {classes - 1}{advice}"
        )
    return y.astype(np.int64)
