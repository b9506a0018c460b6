# SPDX-License-Identifier: Apache-2.0
"""Samples and labels: of a file, or of arrays that a program has."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from mcutrain.host.api.errors import GIVEN_ARRAYS, raises_errors
from mcutrain.host.api.html import page_table
from mcutrain.host.data.options import DEFAULT_DATA_OPTIONS, DataOptions
from mcutrain.host.npz import DAMAGED, NpzFile
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array


class Dataset:
    """Samples and labels to train with and to test with. ``load_data`` makes one.

    The arrays have the names ``x_train``, ``y_train``, ``x_test`` and ``y_test``; there may be
    ``x_val``, ``y_val`` (the samples by which the best epoch is chosen) and ``x_old``, ``y_old``
    (what fills a replay buffer first). The first axis of each counts samples.

    Attributes:
        path: The file that holds the arrays, the folder of images or sound, or the CSV file.
        reading: How a folder or a CSV file is read.
    """

    def __init__(
        self,
        path: Path,
        reading: DataOptions = DEFAULT_DATA_OPTIONS,
        keeps: ExitStack | None = None,
    ) -> None:
        self.path, self.reading = path, reading
        self._keeps = keeps  # a temporary folder, which goes with this object

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each array, by name; empty for data that are no .npz file."""
        return {name: shape for name, (shape, _) in self._headers().items()}

    def __getitem__(self, name: str) -> Array:
        """An array as it is in the file.

        Raises:
            Error: There is no such array.
        """
        try:
            with NpzFile(self.path) as file:
                if name in file:
                    return file[name].read()
                known = ", ".join(file.names)
        except (OSError, *DAMAGED) as err:
            raise DataError(f"cannot read {name} in {self.path}: {err}") from err
        raise DataError(f"the data have no array '{name}'; they have {known}")

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {shape}" for name, shape in self.shapes.items())
        return f"Dataset({shapes or self.path})"

    def _repr_html_(self) -> str:
        found = self._headers().items()
        rows = [(name, "x".join(map(str, shape)), dtype) for name, (shape, dtype) in found]
        return page_table("data", ("array", "shape", "type"), rows or [(str(self.path), "", "")])

    def _headers(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and type of each array of an .npz."""
        if not self.path.is_file() or self.path.suffix != ".npz":
            return {}
        try:
            with NpzFile(self.path) as file:
                found = {name: file[name] for name in file.names}
                return {name: (array.shape, str(array.dtype)) for name, array in found.items()}
        except (OSError, *DAMAGED) as err:
            raise DataError(
                f"{self.path} is not an .npz file of plain arrays; numpy.savez writes one"
            ) from err


# What every function takes as data.
Data: TypeAlias = "Dataset | str | os.PathLike[str] | Mapping[str, Any]"


@raises_errors
def load_data(source: Data, **reading: Any) -> Dataset:
    """Take samples and labels from a file, a folder or arrays.

    Args:
        source: The path of an .npz file, of a folder of images or of sound with a folder for each
            class, or of a CSV file; or a mapping from names to arrays. See ``Dataset`` for the
            names. Samples are int8 as the model takes them, or float in the model's real units;
            labels are integers.
        reading: How a folder or a CSV file is read: ``label``, ``group``, ``window``, ``hop``,
            ``pixels``, ``sample_rate`` and ``split_seed``, as the options of ``mcutrain train``.

    Returns:
        The data. Whether they fit a model is looked at where they meet one.

    Raises:
        Error: There is no such file, the arrays are no plain numbers, or there is no such option.

    >>> load_data({"x_train": np.zeros((6, 4)), "y_train": np.zeros(6, int)})
    Dataset(x_train (6, 4), y_train (6,))
    """
    options = _reading(reading)
    if isinstance(source, Dataset | Mapping):
        if reading:
            raise DataError(f"{', '.join(reading)}: only a folder or a CSV file is read this way")
        return source if isinstance(source, Dataset) else _of_arrays(source)
    if not isinstance(source, str | os.PathLike):
        raise DataError(
            f"data are {type(source).__name__}: give the path of a file, or a dict of arrays with "
            "the names x_train, y_train, x_test and y_test"
        )
    path = Path(source)
    if not path.exists():
        raise DataError(f"there is no file {path}: give the path of your data")
    found = Dataset(path, options)
    found._headers()
    return found


def _reading(given: Mapping[str, Any]) -> DataOptions:
    known = [each.name for each in fields(DataOptions)]
    if unknown := [name for name in given if name not in known]:
        raise DataError(f"load_data has no option {unknown[0]}: it has {', '.join(known)}")
    return DataOptions(**given)


def _of_arrays(arrays: Mapping[str, Any]) -> Dataset:
    """The arrays in a file of their own, so that all that reads data reads these, too."""
    given = {}
    for name, values in arrays.items():
        try:
            array = given[str(name)] = np.asarray(values)
        except ValueError as err:  # rows of different lengths
            raise DataError(f"{name} is no array of numbers: {err}") from err
        if array.dtype.kind not in "iufb":
            raise DataError(f"{name} holds values of type {array.dtype}: give an array of numbers")
    keeps = ExitStack()
    folder = keeps.enter_context(tempfile.TemporaryDirectory(prefix=GIVEN_ARRAYS))
    path = Path(folder) / "data.npz"
    with path.open("wb") as file:
        np.savez(file, **given)  # type: ignore[arg-type]
    return Dataset(path, keeps=keeps)
