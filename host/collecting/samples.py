# SPDX-License-Identifier: Apache-2.0
"""The data set that is recorded: an .npz as ``train --data`` takes it, with names of the classes.

``x_train``, ``x_test`` (N, bytes of a sample) int8 as the model takes them, ``y_train``, ``y_test``
(N,) int64, ``class_names`` (classes,) str. A fifth of each class is kept to test with.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mcutrain.host.data.raw import held_out
from mcutrain.host.files import write_whole
from mcutrain.host.npz import CLASS_NAMES, DAMAGED, NpzFile
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array

SPLITS = ("train", "test")
KEYS = ("x_train", "y_train", "x_test", "y_test")
SPLIT_SEED = 0


@dataclass
class CollectedSamples:
    """Samples of ``classes``, each of ``input_bytes``: those that the file had, by split, and those
    that were recorded since, in their order."""

    path: Path
    classes: tuple[str, ...]
    input_bytes: int
    before: dict[str, tuple[Array, Array]] = field(default_factory=dict)
    samples: list[bytes] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    written: int = 0

    @classmethod
    def begin(
        cls, path: Path, classes: tuple[str, ...], input_bytes: int, appends: bool
    ) -> CollectedSamples:
        """Of a new file, or of one that is gone on with. Raises DataError where that is another
        device's or of other classes, and where a file would be lost."""
        found = cls(path, classes, input_bytes)
        if not path.exists():
            return found
        if not appends:
            raise DataError(
                f"{path} is there already: --append adds samples to it, or give another --output"
            )
        found.before = read(path, classes, input_bytes)
        return found

    def add(self, sample: bytes, label: int) -> None:
        """Keep a sample, and have the file hold it where some have gathered."""
        self.samples.append(sample)
        self.labels.append(label)

    @property
    def counts(self) -> list[int]:
        """How many samples each class has that were recorded now."""
        return [self.labels.count(label) for label in range(len(self.classes))]

    def parts(self) -> dict[str, tuple[Array, Array]]:
        """x and y of each split, with those of before."""
        x = np.frombuffer(b"".join(self.samples), np.int8).reshape(-1, self.input_bytes)
        y = np.array(self.labels, np.int64)
        is_test = held_out(self.labels, range(len(y)), SPLIT_SEED) if len(y) else y > 0
        new = {"train": (x[~is_test], y[~is_test]), "test": (x[is_test], y[is_test])}
        if not self.before:
            return new
        both = {split: (self.before[split], new[split]) for split in SPLITS}
        return {
            split: (np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]]))
            for split, (a, b) in both.items()
        }

    def write(self) -> None:
        """Put what there is on the disk, whole; nothing where nothing is new. Raises Error, and
        then what the file held before is still there."""
        if len(self.labels) == self.written:
            return
        arrays = {CLASS_NAMES: np.array(self.classes)}
        for split, (x, y) in self.parts().items():
            arrays |= {f"x_{split}": x, f"y_{split}": y}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        write_whole(self.path, buffer.getvalue())
        self.written = len(self.labels)


def read(path: Path, classes: tuple[str, ...], input_bytes: int) -> dict[str, tuple[Array, Array]]:
    """x and y of each split of a file that was recorded before. Raises DataError."""
    try:
        with NpzFile(path) as file:
            missing = [key for key in (*KEYS, CLASS_NAMES) if key not in file]
            if missing:
                raise DataError(
                    f"{path} has no array {missing[0]}, and was not written by mcutrain collect: "
                    "give another --output"
                )
            names = tuple(map(str, file[CLASS_NAMES].read()))
            found = {key: file[key].read() for key in KEYS}
    except OSError as err:
        raise DataError(f"cannot read {path}: {err.strerror or err}") from err
    except DAMAGED as err:
        raise DataError(f"{path} is no .npz file of plain arrays: give another --output") from err
    if names != classes:
        raise DataError(
            f"{path} has the classes {','.join(names)}, not {','.join(classes)}: give --classes "
            f"{','.join(names)}, or another --output"
        )
    for split in SPLITS:
        x, y = found[f"x_{split}"], found[f"y_{split}"]
        if x.dtype != np.int8 or x.shape != (len(y), input_bytes):
            raise DataError(
                f"{path} has samples of shape {x.shape[1:]} {x.dtype}, the device gives "
                f"{input_bytes} bytes: give another --output"
            )
    return {split: (found[f"x_{split}"], found[f"y_{split}"]) for split in SPLITS}
