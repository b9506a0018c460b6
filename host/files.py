# SPDX-License-Identifier: Apache-2.0
"""Writes files whole or not at all."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from mcutrain.host.failure import reason
from mcutrain.trainer.errors import Error

if TYPE_CHECKING:
    from mcutrain.trainer.graph.tensor import Array


def unused(path: Path) -> Path:
    """A name like ``path`` that no file has."""
    names = (path.with_stem(f"{path.stem}-{k}") for k in count(2))
    return next(name for name in names if not name.exists())


def write_whole(path: Path, content: bytes | str) -> None:
    """Put ``content`` at ``path`` at once; a file with the same content stays as it is.

    Raises Error if that cannot be; what was there before is then still there.
    """
    write_all({path: content})


def write_all(contents: Mapping[Path, bytes | str]) -> list[Path]:
    """Put several files in place, those that hold something else, when all of them are on the disk;
    returns all paths.

    Raises Error if one of them cannot be written; what was there before is then still there.
    """
    waiting: dict[Path, Path] = {}
    made: list[Path] = []
    at = Path()
    try:
        for given, content in contents.items():
            data = content.encode() if isinstance(content, str) else content
            at = given.resolve()  # through a link, to what it leads to
            made += make_folder(at.parent)
            if at.is_file() and at.read_bytes() == data:
                continue
            waiting[at] = at.with_name(f"{at.name}.{os.getpid()}")
            write_synced(waiting[at], data)
        for at in list(waiting):
            waiting.pop(at).replace(at)
            sync_folder(at.parent)
        made = []
    except OSError as err:
        raise Error(f"cannot write {at}: {reason(err)}") from err
    finally:
        for temporary in waiting.values():
            with suppress(OSError):
                temporary.unlink()
        for folder in reversed(made):
            with suppress(OSError):  # somebody else has put something there
                folder.rmdir()
    return [*contents]


def write_synced(path: Path, data: bytes) -> None:
    """Write a file, and return when it is on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the system can do that."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def make_folder(folder: Path) -> list[Path]:
    """Make the folder with all above it; returns those that were not there, from the top down."""
    missing = []
    while not folder.exists() and folder != folder.parent:
        missing.append(folder)
        folder = folder.parent
    missing.reverse()
    for each in missing or [folder]:
        each.mkdir(exist_ok=True)
    return missing


def cut_unfinished_line(path: Path) -> None:
    """Cut off what is behind the last whole line of a file: the rest of one that a killed process
    or a full disk left. Raises OSError; the lines before are then still there."""
    content = path.read_bytes()
    if (end := content.rfind(b"\n") + 1) < len(content):
        os.truncate(path, end)


def digest_of_arrays(*arrays: Array | None) -> str:
    """16 hex digits that stand for these arrays with their types and shapes; None for no array."""
    import numpy as np

    found = hashlib.sha256()
    for array in arrays:
        part = np.zeros(0) if array is None else np.ascontiguousarray(array)
        found.update(f"{part.dtype}{part.shape}".encode() + part.tobytes())
    return found.hexdigest()[:16]


def save_array(path: Path, array: Array) -> None:
    """Put the array at ``path`` as .npy, whole; other processes may do the same. Raises Error."""
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, array)
    write_whole(path, buffer.getvalue())
