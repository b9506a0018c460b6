# SPDX-License-Identifier: Apache-2.0
"""Reads .npz files of others: judged by their headers first, then piece by piece.

Nothing is inflated that its header, and what is known of the file, do not vouch for; no pickle is
ever read; and an array takes its own memory once, or less.
"""

from __future__ import annotations

import lzma
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.lib import format as npy

from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array

# What NumPy and zipfile raise for files that are no .npz, or a damaged or encrypted one.
DAMAGED = (
    ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, AttributeError, TypeError,
    RuntimeError, KeyError, MemoryError, SyntaxError, tokenize.TokenError, NotImplementedError,
)  # fmt: skip
BLOCK_BYTES = 1 << 20
# Samples shrink to a hundredth at most; what shrinks to less, and is large, was made to do harm.
MOST_SHRUNK, HARMLESS_BYTES = 200, 64 << 20
ENDING = ".npy"
CLASS_NAMES = "class_names"  # of a data set: (classes,) str, in the order of their labels


@dataclass(frozen=True)
class NpzArray:
    """An array in an open file, of which nothing but the header was read yet."""

    file: NpzFile
    member: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    is_fortran: bool
    header_bytes: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self) -> Iterator[Array]:
        """The array in pieces of some rows, in their order."""
        if self.is_fortran or not self.shape:
            yield self.read()
            return
        row = math.prod(self.shape[1:])
        rows = max(1, BLOCK_BYTES // max(1, row * self.dtype.itemsize))
        with self._data() as stream:
            for first in range(0, len(self), rows):
                count = min(rows, len(self) - first)
                flat = self._taken(stream, count * row)
                yield flat.reshape(count, *self.shape[1:])

    def read(self) -> Array:
        """The whole array."""
        values = np.empty(math.prod(self.shape), self.dtype)
        step = max(1, BLOCK_BYTES // max(1, self.dtype.itemsize))
        with self._data() as stream:
            for first in range(0, len(values), step):
                count = min(step, len(values) - first)
                values[first : first + count] = self._taken(stream, count)
        return values.reshape(self.shape, order="F" if self.is_fortran else "C")

    @contextmanager
    def _data(self) -> Iterator[IO[bytes]]:
        """What follows the header."""
        with self.file.zip.open(self.member) as stream:
            stream.read(self.header_bytes)
            yield stream
            if stream.read(1):  # its checksum is compared at its end
                raise ValueError("more bytes than the header says")

    def _taken(self, stream: IO[bytes], count: int) -> Array:
        raw = stream.read(count * self.dtype.itemsize)
        return np.frombuffer(raw, self.dtype, count)  # ValueError if there are fewer


class NpzFile:
    """An open .npz. Raises OSError, or one of DAMAGED, where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path, self.zip = path, zipfile.ZipFile(path)
        self.members = {m.filename.removesuffix(ENDING): m for m in self.zip.infolist()}

    def __enter__(self) -> NpzFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.zip.close()

    @property
    def names(self) -> list[str]:
        return [*self.members]

    def __contains__(self, name: str) -> bool:
        return name in self.members

    def get(self, name: str) -> NpzArray | None:
        return self[name] if name in self.members else None

    def __getitem__(self, name: str) -> NpzArray:
        """By its header alone. Raises DataError for what was made to do harm."""
        member = self.members[name]
        if not member.filename.endswith(ENDING):
            raise DataError(f"{self.path} holds members that are no NumPy arrays")
        with self.zip.open(member) as stream:
            version = npy.read_magic(stream)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"version {version} is for structured arrays")
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, is_fortran, dtype = read(stream)
            header_bytes = stream.tell()
        found = NpzArray(self, member, shape, dtype, is_fortran, header_bytes)
        if dtype.hasobject or any(n < 0 for n in shape):
            raise ValueError("no plain array")
        if member.file_size != header_bytes + found.nbytes:
            raise ValueError(f"{member.file_size} bytes are not those of its header")
        if found.nbytes > max(HARMLESS_BYTES, MOST_SHRUNK * member.compress_size):
            raise DataError(
                f"{self.path}: {member.filename} would become {found.nbytes:,} bytes of "
                f"{member.compress_size:,}: no samples can be packed so small; write it again with "
                "numpy.savez"
            )
        return found


def class_names_in(path: Path) -> tuple[str, ...]:
    """The names that a data set gives its classes; () where it gives none, or is no .npz."""
    try:
        with NpzFile(path) as file:
            names = file.get(CLASS_NAMES)
            return tuple(map(str, names.read())) if names is not None else ()
    except (OSError, *DAMAGED):
        return ()  # whoever reads the samples says so
