# SPDX-License-Identifier: Apache-2.0
"""A folder of images or sound, or a CSV file, as the samples that a model's input takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcutrain.host.data.folder import IMAGES, Folder, look
from mcutrain.host.data.images import ImageReader
from mcutrain.host.data.options import DEFAULT_DATA_OPTIONS, DataOptions
from mcutrain.host.data.raw import (
    TEST,
    TRAIN,
    Progress,
    RawData,
    RawPart,
    check_size,
    held_out,
    numbered,
    quiet,
    shown,
    split_note,
)
from mcutrain.host.data.sounds import SoundReader
from mcutrain.host.data.table import Table, read_table
from mcutrain.host.data.windows import splits_of, windows
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array, QuantParams, TensorType
from mcutrain.trainer.notes import Note

ENDING = ".csv"
OF_TABLES, OF_IMAGES, OF_SOUNDS = ("label", "group", "window", "hop"), ("pixels",), ("sample_rate",)


@dataclass(frozen=True)
class Wanted:
    """What a model takes: samples of ``type``, or uint8 ones of ``pixels``. ``values`` are targets
    per sample, 0 where they are labels or none; ``labels`` says that there must be labels.
    ``class_names`` are known already, or empty."""

    type: TensorType
    pixels: QuantParams | None = None
    labels: bool = True
    values: int = 0
    class_names: tuple[str, ...] = ()


def is_read_here(path: Path) -> bool:
    """Whether a data set is a folder or a CSV file; any other is an .npz."""
    return path.is_dir() or path.suffix.lower() == ENDING


def class_names(path: Path, options: DataOptions = DEFAULT_DATA_OPTIONS) -> tuple[str, ...]:
    """The names of the classes, in the order of their labels; () where the data have numbers, or
    are an .npz. Raises DataError."""
    if path.is_dir():
        return numbered(look(path).classes, (), shown(path))[1]
    if not is_read_here(path):
        return ()
    table = read_table(path, options, True, False, quiet)
    return numbered(table.labels, (), shown(path))[1]


def load(path: Path, wanted: Wanted, options: DataOptions, progress: Progress = quiet) -> RawData:
    """The samples of a folder or a CSV file. Their order is that of the file, or of the names of
    the files, whatever the file system says. Raises DataError."""
    if path.is_dir():
        return load_folder(path, wanted, options, progress)
    return load_table(path, wanted, options, progress)


def check_options(options: DataOptions, known: Sequence[str], what: str) -> None:
    """Raises DataError for an option that says nothing of such data."""
    every = (*OF_TABLES, *OF_IMAGES, *OF_SOUNDS)
    for name in every:
        if name not in known and getattr(options, name) is not None:
            flag = "--" + name.replace("_", "-")
            raise DataError(f"{what}, which {flag} says nothing of: leave it out")


def load_folder(path: Path, wanted: Wanted, options: DataOptions, progress: Progress) -> RawData:
    if wanted.values:
        raise DataError(
            f"{shown(path)} is a folder of classes, but the loss compares {wanted.values} values: "
            "give an .npz or a CSV file with them"
        )
    found = look(path)
    reader: ImageReader | SoundReader
    if found.kind == IMAGES:
        check_options(options, OF_IMAGES, f"{shown(path)} holds images")
        reader = ImageReader(wanted.type, wanted.pixels, options.pixels)
    else:
        check_options(options, OF_SOUNDS, f"{shown(path)} holds sound")
        reader = SoundReader(wanted.type, options.sample_rate)
    number, _ = numbered(found.classes, wanted.class_names, shown(path))
    chosen, notes = chosen_files(found, number, options.seed or 0)
    total, done, parts = sum(map(len, chosen.values())), 0, {}
    dtype = np.dtype(np.int8 if found.kind == IMAGES else np.float32)
    check_size(total, math.prod(reader.shape) * dtype.itemsize, shown(path))
    for split, files in chosen.items():
        x = np.empty((len(files), *reader.shape), dtype)
        for k, (_, file) in enumerate(files):
            x[k] = reader.read(file)
            done += 1
            progress(done, total)
        y = np.array([number[name] for name, _ in files], np.int64)
        parts[split] = RawPart(x, y, tuple(shown(file.relative_to(path)) for _, file in files))
    return RawData(parts, (*found.notes, *notes, *reader.notes()))


def chosen_files(
    found: Folder, number: dict[str, int], seed: int
) -> tuple[dict[str, list[tuple[str, Path]]], list[Note]]:
    """(class, file) by split; some of the training files test where the folder has none to."""
    if TEST in found.splits:
        return found.splits, []
    files = found.splits[TRAIN]
    tests = held_out([number[name] for name, _ in files], range(len(files)), seed)
    where = [f for f, is_test in zip(files, tests, strict=True) if is_test]
    rest = [f for f, is_test in zip(files, tests, strict=True) if not is_test]
    if not where:
        raise DataError(
            f"{shown(found.path)} has one file for each class, and none is left to test with: add "
            "files, or give them as train/ and test/"
        )
    note = split_note(len(where), len(files), seed, shown(found.path))
    return {**found.splits, TRAIN: rest, TEST: where}, [note]


def load_table(path: Path, wanted: Wanted, options: DataOptions, progress: Progress) -> RawData:
    check_options(options, OF_TABLES, f"{shown(path)} is a table")
    table = read_table(path, options, wanted.labels or bool(wanted.values), bool(wanted.values),
                       progress)  # fmt: skip
    found = windows(table, options.window, options.hop)
    size = math.prod(wanted.type.shape)
    each = found[0].size * len(table.features)
    check_shape(table, found[0].size, wanted.type)
    number = numbered(table.labels, wanted.class_names, shown(path))[0] if table.labels else {}
    labels = [number.get(table.labels[w.first], 0) if table.labels else 0 for w in found]
    seed = options.seed or 0
    splits = splits_of(table, found, labels, seed)
    check_size(len(found), 4 * size, shown(path))
    notes = list[Note]()
    if table.splits is None:
        notes += table_notes(table, splits, seed)
    parts = {}
    order = dict.fromkeys((TRAIN, TEST, *map(str, splits)))
    numbers = {name: k for k, name in enumerate(dict.fromkeys(table.groups or ()))}
    for split in (name for name in order if name):
        mine = [k for k, name in enumerate(splits) if name == split]
        if not mine:
            raise DataError(f"{shown(path)} has no sample to {split} with: {REMEDY[split]}")
        x = np.empty((len(mine), each), np.float32)
        for row, k in enumerate(mine):
            first = found[k].first
            x[row] = table.values[first : first + found[k].size].reshape(-1)
        firsts = [found[k].first for k in mine]
        y = np.array([labels[k] for k in mine], np.int64)
        parts[split] = RawPart(
            x.reshape(len(mine), *wanted.type.shape[1:]),
            y if table.targets is None else table.targets[firsts],
            tuple(f"{shown(path.name)}, line {table.lines[first]}" for first in firsts),
            np.array([numbers[table.groups[f]] for f in firsts]) if table.groups else None,
        )
    return RawData(parts, tuple(notes))


REMEDY = {
    TRAIN: "give rows whose column split says train",
    TEST: "give more rows, a smaller --window, or a column split that says train or test",
}


def table_notes(table: Table, splits: Array, seed: int) -> Iterator[Note]:
    count, out = int((splits == TEST).sum()), int((splits == "").sum())
    yield split_note(count, len(splits), seed, shown(table.path))
    if out:
        text = (
            f"the test windows are the last of each stretch of rows, and {out} windows that share "
            "rows with them are left out: --group COLUMN names recordings, which stay whole"
        )
        yield Note("x_test", "windows left out", float(out), text)


def check_shape(table: Table, rows: int, type: TensorType) -> None:
    """Raises DataError for windows of another shape than the model's samples."""
    wanted = [n for n in type.shape[1:] if n != 1]
    found = [n for n in (rows, len(table.features)) if n != 1]
    if found == wanted or [math.prod(found)] == wanted or (rows == 1 and found == [type.size]):
        return
    names = ", ".join(map(shown, table.features[:4]))
    advice = "--window N takes N rows as one sample" if rows == 1 else "give another --window"
    raise DataError(
        f"{shown(table.path)} gives samples of {rows} rows and {len(table.features)} columns "
        f"({names}{', ...' if len(table.features) > 4 else ''}), the model takes {type.shape[1:]}: "
        f"{advice}, or leave out columns"
    )
