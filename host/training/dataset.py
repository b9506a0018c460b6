# SPDX-License-Identifier: Apache-2.0
"""Data sets for training: an .npz of samples and labels, checked and quantised to the input."""

from __future__ import annotations

import lzma
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.training_plan import TrainingPlan

# What NumPy and zipfile raise for files that are no .npz, or a damaged or encrypted one.
DAMAGED = (
    ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, AttributeError, TypeError,
    RuntimeError, KeyError, MemoryError, SyntaxError, tokenize.TokenError,
)  # fmt: skip
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
    arrays = read_arrays(path, plan.task.target is not None, all_keys)
    share = clipped_share(arrays["x_train"], plan.task.input.type)
    return Dataset(**fitted(arrays, path, plan), clipped=share)


def load_old(path: Path, plan: TrainingPlan) -> tuple[Array, Array]:
    """The old samples in ``path``, its training samples if it has none: x and y as in Dataset.

    Raises DataError.
    """
    arrays = fitted(read_arrays(path, plan.task.target is not None, old_keys), path, plan)
    x, y = (next(a for key, a in arrays.items() if key[0] == first) for first in "xy")
    return x, y


def load_samples(path: Path, wanted: TensorType) -> tuple[Array, float]:
    """The training samples in ``path`` without targets, (N, input size) int8, and the share of
    values that is clipped. Raises DataError."""
    x = read_arrays(path, False, lambda there: KEYS[:1])["x_train"]
    return quantised(x, f"{path}: x_train", wanted, "takes"), clipped_share(x, wanted)


def all_keys(there: Collection[str]) -> tuple[str, ...]:
    return sum((more for more in (VALIDATION_KEYS, OLD_KEYS) if set(more) & set(there)), KEYS)


def old_keys(there: Collection[str]) -> tuple[str, ...]:
    return OLD_KEYS if set(OLD_KEYS) & set(there) else KEYS[:2]


def read_arrays(
    path: Path, has_targets: bool, keys_of: Callable[[Collection[str]], tuple[str, ...]]
) -> dict[str, Array]:
    """What ``keys_of`` picks of the names in an .npz, with or without targets. Raises DataError."""
    try:
        with np.load(path, allow_pickle=False) as file:
            keys = keys_of(file.files)
            wanted = keys if has_targets else tuple(key for key in keys if key[0] == "x")
            missing = [key for key in wanted if key not in file]
            if missing:
                raise DataError(
                    f"{path} has no array {missing[0]}; it needs {', '.join(wanted)} and has "
                    f"{', '.join(file.files[:8]) or 'none'}"
                )
            arrays = {key: file[key] for key in wanted}
            if not all(isinstance(array, np.ndarray) for array in arrays.values()):
                raise DataError(f"{path} holds members that are no NumPy arrays")
    except OSError as err:
        raise DataError(f"cannot read data set {path}: {err.strerror or err}") from err
    except DAMAGED as err:
        raise DataError(
            f"{path} is not an .npz file of plain arrays; numpy.savez writes one"
        ) from err
    return arrays


def fitted(arrays: dict[str, Array], path: Path, plan: TrainingPlan) -> dict[str, Array]:
    """Samples and targets of each part, checked and quantised. Raises DataError."""
    checked = {}
    for part in (key[2:] for key in arrays if key[0] == "x"):
        x, y = arrays[f"x_{part}"], arrays.get(f"y_{part}")
        checked[f"x_{part}"] = quantised(x, f"{path}: x_{part}", plan.task.input.type, "takes")
        checked[f"y_{part}"] = targets(y, len(x), f"{path}: y_{part}", plan)
        if len(x) != len(checked[f"y_{part}"]):
            count = len(checked[f"y_{part}"])
            raise DataError(f"{path}: x_{part} has {len(x)} samples, y_{part} {count} targets")
    return checked


def targets(y: Array | None, count: int, what: str, plan: TrainingPlan) -> Array:
    """What each step takes beside its sample: see Dataset. Raises DataError."""
    if y is None:
        return np.zeros((count, 0), np.int8)
    if plan.takes_label:
        return labels(y, what, plan.classes)
    if y.ndim == 1 and plan.task.logits.type.size == 1:
        y = y[:, None]
    return quantised(y, what, plan.task.logits.type, "gives")


def clipped_share(x: Array, wanted: TensorType) -> float:
    """Share of float values beyond the input's real range, half a quantum beside it allowed."""
    if x.dtype.kind != "f":
        return 0.0
    q = x.astype(np.float64) / wanted.scale + wanted.zero_point
    return float(np.mean((q < -128.5) | (q > 127.5)))


def quantised(x: Array, what: str, wanted: TensorType, verb: str) -> Array:
    """(N, size) int8: int8 as it is, float in real units as round(x / scale) + zero point.

    ``verb`` says what the model does with such values: takes or gives.
    """
    if x.ndim < 1 or len(x) == 0:
        raise DataError(f"{what} is empty")
    if squeezed(x.shape[1:]) != squeezed(wanted.shape):
        raise DataError(
            f"{what} has samples of shape {x.shape[1:]}, the model {verb} {wanted.shape[1:]}"
        )
    if x.dtype == np.int8:
        return np.asarray(x.reshape(len(x), -1))
    if x.dtype.kind != "f":
        raise DataError(
            f"{what} is {x.dtype}: give int8 as the model {verb} it, or float in the model's "
            "real units"
        )
    if not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))[0])
        raise DataError(f"{what} holds NaN or infinity, first in sample {row}")
    q = np.floor(x.astype(np.float64) / wanted.scale + 0.5) + wanted.zero_point
    return np.asarray(np.clip(q, -128, 127).astype(np.int8).reshape(len(x), -1))


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)


def labels(y: Array, what: str, classes: int) -> Array:
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise DataError(f"{what} is {y.dtype} of shape {y.shape}: one integer per sample is needed")
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
