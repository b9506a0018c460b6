# SPDX-License-Identifier: Apache-2.0
"""Data sets for training: samples and labels of an .npz, a folder or a CSV file, checked and
quantised to the input."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mcutrain.host.data.load import Wanted, is_read_here, load
from mcutrain.host.data.options import DEFAULT_DATA_OPTIONS, SPLITS, DataOptions
from mcutrain.host.data.raw import Progress, RawData, quiet
from mcutrain.host.npz import DAMAGED, NpzArray, NpzFile
from mcutrain.host.training.data_notes import label_notes, sample_notes
from mcutrain.host.training.ranges import (
    CLIPPED,
    CLIPPED_KIND,
    End,
    Fit,
    check_values,
    clipped_note,
    clipped_share,
    quantised,
    range_notes,
    squeezed,
)
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.notes import Note
from mcutrain.trainer.ops.pixelwise_cross_entropy import IGNORED
from mcutrain.trainer.options import CROSS_ENTROPY
from mcutrain.trainer.training_plan import TrainingPlan

KEYS = ("x_train", "y_train", "x_test", "y_test")
VALIDATION_KEYS = ("x_val", "y_val")  # a file need not have them
OLD_KEYS = ("x_old", "y_old")  # nor these


@dataclass(frozen=True)
class Dataset:
    """x (N, input size) int8 as the model takes it; y (N,) int64 labels, or (N, positions) uint8
    label maps, or (N, output size) int8 values, or (N, 0) where the target is made of the input.

    The validation samples decide which weights are kept; there may be none. The old samples fill a
    replay buffer before the first step. ``notes`` are what a user would want to know of the arrays.
    ``names`` has a name for each sample of a split, such as its file's, where there are any;
    ``groups_train`` (N,) int64 says whose each training sample is, where a CSV file does.

    ``numbers`` (N,) int64 are the numbers that the training samples had before ``left_out`` others
    were taken away (host.training.leaving_out), ``old_numbers`` those of the old ones; None where
    they are 0 to N - 1. ``filling`` of a stream's training samples, the first ones, are its old
    samples, which count by themselves.
    """

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    x_val: Array | None = None
    y_val: Array | None = None
    x_old: Array | None = None
    y_old: Array | None = None
    notes: tuple[Note, ...] = ()
    groups_train: Array | None = None
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: Array | None = None
    old_numbers: Array | None = None
    left_out: int = 0
    filling: int = 0

    @property
    def epoch_steps(self) -> int:
        """The steps of an epoch: those of samples that were left out count, too."""
        return len(self.x_train) + self.left_out

    def number_of(self, index: int) -> int:
        """The number that a training sample had before others were left out."""
        return index if self.numbers is None else int(self.numbers[index])

    def source(self, index: int) -> tuple[str, int]:
        """The split, "train" or "old", from which a stream or a run takes the training sample
        ``index``, and its number there."""
        if index >= self.filling:
            return "train", self.number_of(index - self.filling)
        return "old", index if self.old_numbers is None else int(self.old_numbers[index])

    def name_of(self, split: str, index: int) -> str:
        """What the user calls a sample: its file, or its number."""
        names = self.names.get(split)
        return names[index] if names else f"sample {index}"

    def part(self, split: str) -> tuple[Array, Array]:
        """x and y of "train", "test" or "val". Raises DataError where there is no such part."""
        x, y = getattr(self, f"x_{split}", None), getattr(self, f"y_{split}", None)
        if split not in SPLITS or x is None or y is None:
            there = [name for name in SPLITS if getattr(self, f"x_{name}") is not None]
            raise DataError(
                f"the data have no samples to {split} with: give --split {' or '.join(there)}"
                if split in SPLITS
                else f"unknown split '{split}': give {', '.join(SPLITS)}"
            )
        return x, y

    def clipped(self, part: str) -> Note | None:
        """What is to be said of samples or targets of a part, "test" or "val", that are out of
        range: they are others than were given then, and no figure is computed of them."""
        notes = (note for note in self.notes if note.kind == CLIPPED_KIND)
        return next((n for n in notes if n.about.startswith((f"x_{part}", f"y_{part}"))), None)

    def is_clipped(self, part: str) -> bool:
        return self.clipped(part) is not None


def load_dataset(
    path: Path,
    plan: TrainingPlan,
    options: DataOptions = DEFAULT_DATA_OPTIONS,
    progress: Progress = quiet,
) -> Dataset:
    """The data set in ``path``, fitted to the plan's input and classes: an .npz, a folder of
    images or sound, or a CSV file. Raises DataError."""
    if is_read_here(path):
        if plan.takes_label_map:
            raise DataError(
                f"{path} has a label for each sample, but each position of the output needs one: "
                "give an .npz with y_train and y_test of uint8"
            )
        return of_raw(load(path, wanted_by(plan), options, progress), path, plan)
    if options != DEFAULT_DATA_OPTIONS:
        raise unneeded(path, options)
    with chosen(path, plan.task.target is not None, all_keys) as found:
        arrays, notes = fitted(found, path, plan)
    notes += content_notes(arrays, plan, {note.about for note in notes})
    return Dataset(**arrays, notes=tuple(notes))


def unneeded(path: Path, options: DataOptions) -> DataError:
    return DataError(
        f"{path} is no folder and no CSV file, and {', '.join(options.given())} says nothing of an "
        ".npz: leave it out"
    )


def of_raw(raw: RawData, path: Path, plan: TrainingPlan) -> Dataset:
    """Samples that were read of a folder or a table, as the plan takes them. Raises DataError."""
    given = dict[str, Array | NpzArray]()
    for split, part in raw.parts.items():
        given[f"x_{split}"] = part.x
        if plan.task.target is not None:
            given[f"y_{split}"] = part.y
    arrays, notes = fitted(given, path, plan)
    notes += content_notes(arrays, plan, {note.about for note in notes})
    names = {split: part.names for split, part in raw.parts.items()}
    groups = raw.parts["train"].groups
    found = Dataset(**arrays, notes=(*raw.notes, *notes))
    return replace(found, names=names, groups_train=groups)


def wanted_by(plan: TrainingPlan) -> Wanted:
    """What the samples of a plan are."""
    values = 0
    if not plan.takes_label and plan.task.target is not None:
        values = plan.task.logits.type.size
    input = plan.task.input.type
    return Wanted(input, plan.takes_label, values, plan.options.class_names)


def load_old(path: Path, plan: TrainingPlan) -> tuple[Array, Array, list[Note]]:
    """The old samples in ``path``, its training samples if it has none: x and y as in Dataset, and
    what is to be said of them. Raises DataError.
    """
    with chosen(path, plan.task.target is not None, old_keys) as found:
        arrays, notes = fitted(found, path, plan)
    x, y = (next(a for key, a in arrays.items() if key[0] == first) for first in "xy")
    return x, y, notes


def load_samples(
    path: Path, end: End, options: DataOptions = DEFAULT_DATA_OPTIONS, progress: Progress = quiet
) -> tuple[Array, list[Note]]:
    """The training samples in ``path`` without targets, (N, input size) int8, and what is to be
    said of their values. Raises DataError."""
    if is_read_here(path):
        raw = load(path, Wanted(end.type, labels=False), options, progress)
        fit = quantised(raw.parts["train"].x, f"{path}: x_train", end)
        return fit.codes, [*raw.notes, *range_notes(fit, "x_train", end)]
    if options != DEFAULT_DATA_OPTIONS:
        raise unneeded(path, options)
    with chosen(path, False, lambda there: KEYS[:1]) as arrays:
        fit = quantised(arrays["x_train"], f"{path}: x_train", end)
    return fit.codes, list(range_notes(fit, "x_train", end))


def ends_of(plan: TrainingPlan) -> tuple[End, End]:
    """The plan's input and output."""
    task = plan.task
    return End(task.input.type, pixels=task.pixels), End(task.logits.type, is_input=False)


def target_notes(codes: Array, key: str, first: End, last: End) -> Iterator[Note]:
    """Of an input that is the target: what its output cannot hold of it."""
    real = (codes.astype(np.float64) - first.type.zero_point) * first.type.scale
    share = clipped_share(real, last)
    if share > CLIPPED:
        yield clipped_note(f"{key}, as the target,", share, last)


def content_notes(
    arrays: dict[str, Array], plan: TrainingPlan, unfit: Collection[str]
) -> Iterator[Note]:
    """What the samples and labels say of themselves; the values of ``unfit`` arrays are lost."""
    yield from sample_notes(arrays, unfit)
    if plan.takes_label:
        spare = plan.options.spare_classes
        yield from label_notes(arrays, plan.classes - spare, plan.options.classes is not None)


def all_keys(there: Collection[str]) -> tuple[str, ...]:
    return sum((more for more in (VALIDATION_KEYS, OLD_KEYS) if set(more) & set(there)), KEYS)


NO_LABELS = ", and --loss reconstruction, for a model that gives back its input, needs no labels"


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
                    f"{', '.join(file.names[:8]) or 'none'}; numpy.savez writes them by name"
                    f"{NO_LABELS if missing[0][0] == 'y' else ''}"
                )
            yield {key: file[key] for key in wanted}
    except OSError as err:
        raise DataError(
            f"cannot read data set {path}: {err.strerror or err}; give the path of an .npz file"
        ) from err
    except DAMAGED as err:
        raise DataError(
            f"{path} is not an .npz file of plain arrays; numpy.savez writes one"
        ) from err


def fitted(
    arrays: Mapping[str, Array | NpzArray], path: Path, plan: TrainingPlan
) -> tuple[dict[str, Any], list[Note]]:
    """Samples and targets of each part, checked and quantised, and what their values lose there.

    Raises DataError, where headers tell before anything is read.
    """
    first, last = ends_of(plan)
    parts = [key[2:] for key in arrays if key[0] == "x"]
    for part in parts:
        x, y = arrays[f"x_{part}"], arrays.get(f"y_{part}")
        check_values(x, f"{path}: x_{part}", first)
        if y is not None and y.shape and len(y) != len(x):
            raise DataError(f"{path}: x_{part} has {len(x)} samples, y_{part} {len(y)} targets")
        if y is not None and plan.takes_label:
            check_labels(y, f"{path}: y_{part}")
        if y is not None and plan.takes_label_map:
            check_label_maps(y, f"{path}: y_{part}", plan)
    checked, notes = dict[str, Any](), list[Note]()
    for part in parts:
        x, y, name = arrays[f"x_{part}"], arrays.get(f"y_{part}"), f"x_{part}"
        fit = quantised(x, f"{path}: {name}", first)
        checked[name] = fit.codes
        notes += range_notes(fit, name, first)
        if plan.task.target is None:
            notes += target_notes(fit.codes, name, first, last)
        found = targets(y, len(x), f"{path}: y_{part}", plan)
        checked[f"y_{part}"] = found.codes if isinstance(found, Fit) else found
        if isinstance(found, Fit):
            notes += range_notes(found, f"y_{part}", last)
    return checked, notes


def targets(y: Array | NpzArray | None, count: int, what: str, plan: TrainingPlan) -> Array | Fit:
    """What each step takes beside its sample: see Dataset. Raises DataError."""
    if y is None:
        return np.zeros((count, 0), np.int8)
    if plan.takes_label:
        return labels(y.read() if isinstance(y, NpzArray) else y, what, plan.classes)
    if plan.takes_label_map:
        return label_maps(y.read() if isinstance(y, NpzArray) else y, what, plan.classes)
    values = plan.task.logits.type.size
    if len(y.shape) == 1 and values > 1:
        raise DataError(
            f"{what} has one {y.dtype} per sample, but the loss compares {values} values: give "
            f"{values} per sample, or, if they are labels, --loss {CROSS_ENTROPY}"
        )
    return quantised(y, what, ends_of(plan)[1])


def check_labels(y: Array | NpzArray, what: str) -> None:
    if len(y.shape) != 1 or y.dtype.kind not in "iu":
        how = ""
        if len(y.shape) == 2:
            how = "; of a column for each class, numpy.argmax(y, axis=1) makes them"
        elif len(y.shape) == 1 and y.dtype.kind in "fb":
            how = "; whole numbers become them by .astype(int)"
        raise DataError(
            f"{what} is {y.dtype} of shape {y.shape}: one integer per sample is needed{how}"
        )


def check_label_maps(y: Array | NpzArray, what: str, plan: TrainingPlan) -> None:
    assert plan.task.target is not None
    positions = plan.task.target.type.shape[1:]
    if squeezed(y.shape[1:]) == squeezed(positions) and y.dtype.kind in "iu":
        return
    wanted = "x".join(map(str, positions))
    how = f"; a map of another size is to be sampled at the centres of the {wanted} positions"
    if len(y.shape) == 1:
        how = ""
    elif squeezed(y.shape[1:]) == squeezed(plan.task.logits.type.shape):
        how = "; of a plane for each class, numpy.argmax(y, axis=-1) makes them"
    raise DataError(
        f"{what} is {y.dtype} of shape {y.shape}: integers of shape {(len(y), *positions)} are "
        f"needed, a label for each position of the output{how}"
    )


def label_maps(y: Array, what: str, classes: int) -> Array:
    """(N, positions) uint8. Raises DataError for a label that is neither a class nor IGNORED, and
    where no position has a class."""
    flat = y.reshape(len(y), -1)
    bad = np.argwhere((flat != IGNORED) & ((flat < 0) | (flat >= classes)))
    if len(bad):
        sample, position = (int(k) for k in bad[0])
        raise DataError(
            f"{what} holds the label {flat[sample, position]} (sample {sample}, position "
            f"{position}), but the model has {classes} classes, 0 to {classes - 1}; {IGNORED} is "
            "the label of a position that takes no part"
        )
    if not (flat != IGNORED).any():
        raise DataError(
            f"{what} holds the label {IGNORED} alone, so that no position takes part: give classes"
        )
    return flat.astype(np.uint8)


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
