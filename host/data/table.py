# SPDX-License-Identifier: Apache-2.0
"""CSV files as samples: a row each, or windows of rows, with a column for the label."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcutrain.host.data.options import SPLITS, DataOptions
from mcutrain.host.data.raw import MOST_BYTES, Progress, shown
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array

LABEL, SPLIT = "label", "split"  # columns by default
DELIMITERS = ",;\t"
PIECE = 4096  # rows that become numbers at once


@dataclass(frozen=True)
class Table:
    """A CSV file: ``values`` (rows, features) float32; of each row its label as text, or its
    targets (rows, values), whose recording it is of, and its split, where there are such columns.

    ``lines`` (rows,) are the numbers of their lines in the file.
    """

    path: Path
    features: tuple[str, ...]
    values: Array
    labels: tuple[str, ...]
    targets: Array | None
    groups: tuple[str, ...] | None
    splits: tuple[str, ...] | None
    lines: Array


@dataclass(frozen=True)
class Columns:
    """Where each kind of column stands in a row of ``count``."""

    features: list[int]
    labels: list[int]
    group: int | None
    split: int | None
    count: int


def columns_of(
    header: Sequence[str], path: Path, options: DataOptions, wants_label: bool
) -> Columns:
    """Raises DataError for columns that are not there, or not told apart."""
    twice = next((name for k, name in enumerate(header) if name in header[:k]), None)
    if twice is not None:
        raise DataError(f"{shown(path)} has two columns '{shown(twice)}': name each in the header")

    def place(name: str, flag: str) -> int:
        if name not in header:
            there = ", ".join(map(shown, header[:8]))
            raise DataError(f"{shown(path)} has no column '{name}' ({flag}); it has {there}")
        return list(header).index(name)

    group = None if options.group is None else place(options.group, "--group")
    split = place(SPLIT, "") if SPLIT in header else None
    if options.label is not None:
        labels = [place(name.strip(), "--label") for name in options.label.split(",")]
    elif LABEL in header:
        labels = [place(LABEL, "")]
    else:
        free = [k for k in range(len(header)) if k not in (group, split)]
        labels = free[-1:] if wants_label else []
    taken = {*labels, group, split}
    features = [k for k in range(len(header)) if k not in taken]
    if not features:
        raise DataError(f"{shown(path)} has no columns beside the label: a sample needs values")
    return Columns(features, labels, group, split, len(header))


def names_a_label(path: Path, options: DataOptions) -> bool:
    """Whether a file says which column is the label: by its header, or the options do. Raises
    DataError."""
    _, header = next(rows_of(path), (0, []))
    return options.label is not None or LABEL in header


def rows_of(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(number of its line, cells) of each row, the header first. Raises DataError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            delimiter = max(DELIMITERS, key=first.count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            for row in reader:
                if row:
                    yield reader.line_num, [cell.strip() for cell in row]
    except UnicodeDecodeError as err:
        raise DataError(f"{shown(path)} is no UTF-8 text: save it as CSV in UTF-8") from err
    except csv.Error as err:
        raise DataError(f"{shown(path)}, line {reader.line_num}: this is no CSV ({err})") from err
    except OSError as err:
        raise DataError(f"cannot read {shown(path)}: {err.strerror or err}") from err


def read_table(
    path: Path,
    options: DataOptions,
    wants_label: bool,
    has_values: bool,
    progress: Progress,
) -> Table:
    """The file. ``wants_label``: the last column is the label if none is named so. ``has_values``:
    label columns are numbers, which are the targets. Raises DataError."""
    rows = rows_of(path)
    _, header = next(rows, (0, []))
    if not header:
        raise DataError(f"{shown(path)} is empty: a CSV file begins with the names of its columns")
    columns = columns_of(header, path, options, wants_label)
    pieces, targets = list[Array](), list[Array]()
    labels, groups, splits, lines = list[str](), list[str](), list[str](), list[int]()
    most = MOST_BYTES // (4 * len(columns.features))
    piece, numbers = list[list[str]](), list[int]()

    def flush() -> None:
        if piece:
            pieces.append(numbers_in(piece, columns.features, header, numbers, path))
            if has_values:
                targets.append(numbers_in(piece, columns.labels, header, numbers, path))
            lines.extend(numbers)
            piece.clear()
            numbers.clear()
            progress(len(lines), 0)

    for number, row in rows:
        if len(row) != columns.count:
            raise DataError(
                f"{shown(path)}, line {number}: this row has {len(row)} cells, the header "
                f"{columns.count}: give each row as many"
            )
        piece.append(row)
        numbers.append(number)
        if columns.labels and not has_values:
            labels.append(row[columns.labels[0]])
        if columns.group is not None:
            groups.append(row[columns.group])
        if columns.split is not None:
            splits.append(checked_split(row[columns.split], number, path))
        if len(lines) + len(piece) > most:
            raise DataError(
                f"{shown(path)} has more than {most:,} rows, which take more than the "
                f"{MOST_BYTES >> 30} GiB that are read at most: leave some out"
            )
        if len(piece) == PIECE:
            flush()
    flush()
    if not pieces:
        raise DataError(f"{shown(path)} has a header and no rows: it holds no sample")
    empty = next((k for k, label in enumerate(labels) if not label), None)
    if empty is not None:
        raise DataError(f"{shown(path)}, line {lines[empty]}: the label is empty")
    return Table(
        path,
        tuple(header[k] for k in columns.features),
        np.concatenate(pieces),
        tuple(labels),
        np.concatenate(targets) if has_values else None,
        tuple(groups) if columns.group is not None else None,
        tuple(splits) if columns.split is not None else None,
        np.array(lines),
    )


def checked_split(cell: str, number: int, path: Path) -> str:
    if cell.lower() not in SPLITS:
        raise DataError(
            f"{shown(path)}, line {number}: the split '{shown(cell)}' is none of "
            f"{', '.join(SPLITS)}"
        )
    return cell.lower()


def numbers_in(
    rows: list[list[str]], columns: list[int], header: Sequence[str], lines: list[int], path: Path
) -> Array:
    """(rows, columns) float32. Raises DataError that names the first cell that is no number."""
    cells = [[row[k] for k in columns] for row in rows]
    try:
        with np.errstate(over="ignore"):  # infinity is told below
            found = np.array(cells, dtype=str).astype(np.float64).astype(np.float32)
    except ValueError:
        found = np.full((len(rows), len(columns)), np.nan, np.float32)
        for at, row in enumerate(cells):
            for k, cell in enumerate(row):
                try:
                    found[at, k] = float(cell)
                except ValueError:
                    raise not_a_number(path, lines[at], header[columns[k]], cell) from None
    bad = np.argwhere(~np.isfinite(found))
    if len(bad):
        at, k = bad[0]
        raise not_a_number(path, lines[at], header[columns[k]], cells[at][k])
    return found


def not_a_number(path: Path, line: int, column: str, cell: str) -> DataError:
    what = f"'{shown(cell[:40])}' is no finite number" if cell else "the cell is empty"
    return DataError(
        f"{shown(path)}, line {line}, column '{shown(column)}': {what}; mend or leave out the row; "
        "or name the label's column with --label, and one that says which recording a row is of "
        "with --group"
    )
