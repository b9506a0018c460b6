# SPDX-License-Identifier: Apache-2.0
"""Samples as they were read of a folder or a table, before the model's types are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.notes import Note

TRAIN, TEST, VAL = "train", "test", "val"
MOST_BYTES = 2 << 30  # of all samples: more is refused before memory runs out
TEST_SHARE = 0.2

Progress = Callable[[int, int], None]  # files or rows that are read, of how many


def quiet(done: int, total: int) -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class RawPart:
    """One split: x (N, ...) int8 or float, y (N,) int64 labels or (N, values) float64, a name for
    each sample, and whose each is (N,) int64, if the data say so."""

    x: Array
    y: Array
    names: tuple[str, ...]
    groups: Array | None = None


@dataclass(frozen=True)
class RawData:
    """The splits, by TRAIN, TEST and VAL, and what is to be said of how they were read."""

    parts: dict[str, RawPart]
    notes: tuple[Note, ...] = ()


def shown(path: Path | str) -> str:
    """A path as a message can print it, whatever bytes its name has."""
    text = str(path).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def check_size(count: int, bytes_each: int, what: str) -> None:
    """Raises DataError for more samples than memory is given to."""
    if count * bytes_each > MOST_BYTES:
        raise DataError(
            f"{what}: {count:,} samples of {bytes_each:,} bytes take more than the "
            f"{MOST_BYTES >> 30} GiB that are read at most: leave some out"
        )


def numbered(
    found: Iterable[str], known: Sequence[str], what: str
) -> tuple[dict[str, int], tuple[str, ...]]:
    """The label of each class that was ``found``, and the names of all classes.

    With ``known`` names a class has the label of its name there. Else names that are whole numbers
    are the labels themselves, and have no names; others are numbered in their order. Raises
    DataError for a class that is not known.
    """
    names = sorted(set(found))
    for name in names:
        if known and name not in known:
            raise DataError(
                f"{what}: the class '{shown(name)}' is not one of the model's class names "
                f"({', '.join(known[:8])}): rename it, or give --class-names"
            )
        if not known and (not name.isprintable() or not name.strip()):
            raise DataError(f"{what}: the class name '{shown(name)}' cannot be printed: rename it")
    if known:
        return {name: known.index(name) for name in names}, tuple(known)
    if all(name.isascii() and name.isdigit() and len(name) < 6 for name in names):
        return {name: int(name) for name in names}, ()
    return {name: k for k, name in enumerate(names)}, tuple(names)


def held_out(labels: Sequence[int], units: Sequence[object], seed: int) -> Array:
    """(N,) bool: which samples are the test's where the data do not say: a fifth of each class.

    The samples of a unit stay together. Each class keeps one unit at least to train on.
    """
    rng = np.random.default_rng(seed)
    numbers = {unit: k for k, unit in enumerate(dict.fromkeys(units))}
    unit_of = np.array([numbers[unit] for unit in units], np.int64)
    of_class, is_test = np.array(labels, np.int64), np.zeros(len(numbers), bool)
    for label in np.unique(of_class):
        mine, counts = np.unique(unit_of[of_class == label], return_counts=True)
        wanted = max(1.0, TEST_SHARE * counts.sum())
        taken = int(counts[is_test[mine]].sum())
        free = len(mine) - int(is_test[mine].sum())
        for k in rng.permutation(len(mine)):
            if free < 2 or taken >= wanted:
                break
            if is_test[mine[k]] or (taken and taken + counts[k] > 2 * wanted):
                continue
            is_test[mine[k]] = True
            taken, free = taken + int(counts[k]), free - 1
    return np.asarray(is_test[unit_of])


def split_note(count: int, total: int, seed: int, what: str) -> Note:
    text = (
        f"{what} has no split of its own: {count} of {total} samples were chosen to test with, a "
        f"fifth of each class (--split-seed {seed})"
    )
    return Note("x_test", "split", count / max(1, total), text)
