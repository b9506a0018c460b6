# SPDX-License-Identifier: Apache-2.0
"""Samples of a table: its rows, or windows of rows that cross no recording and no label."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mcutrain.host.data.raw import TEST, TEST_SHARE, TRAIN, held_out, shown
from mcutrain.host.data.table import Table
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array

FEW = 5  # stretches of a class: with fewer, a test would take whole ones that training needs


@dataclass(frozen=True)
class Window:
    """Rows ``first`` to ``first + size`` of a table, and which stretch of rows they lie in."""

    first: int
    size: int
    stretch: int


def stretches(table: Table) -> Iterator[tuple[int, int]]:
    """(first, end) of rows that follow each other in one recording, split and label."""
    kinds: list[Sequence[object]] = [*filter(None, (table.labels, table.groups, table.splits))]
    rows = [*zip(*kinds, strict=True)] if kinds else [()] * len(table.values)
    first = 0
    for k in range(1, len(rows) + 1):
        if k == len(rows) or rows[k] != rows[first]:
            yield first, k
            first = k


def windows(table: Table, size: int | None, hop: int | None) -> list[Window]:
    """Every row, or windows of ``size`` rows, each ``hop`` behind the last, by default ``size``.

    Raises DataError where no window fits.
    """
    if size is None:
        if hop is not None:
            raise DataError("--hop says how far windows are apart: give --window N too")
        return [Window(k, 1, k) for k in range(len(table.values))]
    step = size if hop is None else hop
    if size < 1 or step < 1:
        raise DataError(f"--window {size} --hop {step}: give whole numbers from 1")
    found, longest = list[Window](), 0
    for stretch, (first, end) in enumerate(stretches(table)):
        longest = max(longest, end - first)
        found += [Window(k, size, stretch) for k in range(first, end - size + 1, step)]
    if not found:
        raise DataError(
            f"{shown(table.path)}: no {size} rows follow each other in one recording with one "
            f"label; the longest stretch has {longest}: give a smaller --window"
        )
    return found


def splits_of(table: Table, found: Sequence[Window], labels: Sequence[int], seed: int) -> Array:
    """(windows,) of TRAIN, TEST, VAL or "", which leaves a window out: as the table says, or a
    fifth of each class to test with, where no row is in both.

    Whole recordings are held out, or whole stretches where each class has FEW; else the end of each
    stretch is.
    """
    if table.splits is not None:
        return np.array([table.splits[window.first] for window in found])
    units: list[object] = [window.stretch for window in found]
    if table.groups is not None:
        units = [table.groups[window.first] for window in found]
    elif found[0].size > 1 and fewest(units, labels) < FEW:
        return ends_of_stretches(found)
    return np.where(held_out(labels, units, seed), TEST, TRAIN)


def fewest(units: Sequence[object], labels: Sequence[int]) -> int:
    """How many units the class has that has least of them."""
    of_class = defaultdict[int, set[object]](set)
    for unit, label in zip(units, labels, strict=True):
        of_class[label].add(unit)
    return min(map(len, of_class.values()))


def ends_of_stretches(found: Sequence[Window]) -> Array:
    """The last windows of each stretch are the test's; those that share rows with them are left
    out."""
    splits, members = np.full(len(found), TRAIN), defaultdict[int, list[int]](list)
    for k, window in enumerate(found):
        members[window.stretch].append(k)
    for mine in members.values():
        if count := round(TEST_SHARE * len(mine)):
            begin = found[mine[-count]].first
            splits[[k for k in mine if found[k].first + found[k].size > begin]] = ""
            splits[mine[-count:]] = TEST
    return splits
