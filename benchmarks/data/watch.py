# SPDX-License-Identifier: Apache-2.0
"""The smartwatch example's left wrists (examples/watch), split by person and seed, and the right
wrists that its model was made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.data.fetch import CACHE, cached_arrays, fetch, pip_package
from mcutrain.examples.watch.make_watch import WHEEL_SHA256, cut_windows, read_recordings
from mcutrain.host.training.dataset import Dataset
from mcutrain.trainer.graph.tensor import Array

EXAMPLE = Path(__file__).parents[2] / "examples" / "watch"
SHOTS = 5
RIGHT = 1  # as the wheel has it
PACKAGE = replace(
    pip_package("right wrists", "seglearn", "1.2.5", WHEEL_SHA256),
    file="seglearn-1.2.5-py3-none-any.whl",
)


def load_people(path: Path = EXAMPLE / "watch.npz") -> dict[int, tuple[Array, Array]]:
    """(windows int8, labels) of each person's left wrist."""
    with np.load(path) as file:
        x, y, person = file["x"], file["y"].astype(np.int64), file["person"]
    return {int(p): (x[person == p], y[person == p]) for p in np.unique(person)}


def split(x: Array, y: Array, seed: int, person: int, shots: int = SHOTS) -> Dataset:
    """``shots`` samples of each class, drawn by ``seed``, to learn from; the others to test."""
    rng = np.random.default_rng([seed, person])
    drawn = [rng.permutation(np.flatnonzero(y == label))[:shots] for label in np.unique(y)]
    learn = np.concatenate(drawn)
    test = np.setdiff1d(np.arange(len(y)), learn)
    flat = x.reshape(len(x), -1)
    return Dataset(flat[learn], y[learn], flat[test], y[test])


def right_wrists() -> dict[str, Array]:
    """``x`` (N, 50, 1, 6) int8, ``y`` and ``person`` (N,). Raises DataUnavailable."""

    def made() -> dict[str, Array]:
        found = cut_windows(read_recordings(fetch(PACKAGE).read_bytes()), RIGHT)
        return {"x": found.x, "y": found.y, "person": found.person}

    return cached_arrays(CACHE / "watch-right.npz", made)
