# SPDX-License-Identifier: Apache-2.0
"""Writes files whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from mcutrain.trainer.errors import Error
from mcutrain.trainer.graph.tensor import Array


def write_whole(path: Path, content: bytes | str) -> None:
    """Put ``content`` at ``path`` at once; a file with the same content stays as it is.

    Raises Error if that cannot be; what was there before is then still there.
    """
    data = content.encode() if isinstance(content, str) else content
    path = path.resolve()  # through a link, to what it leads to
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and path.read_bytes() == data:
            return
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as err:
        raise Error(f"cannot write {path}: {err.strerror or err}") from err


def save_array(path: Path, array: Array) -> None:
    """Put the array at ``path`` as .npy, whole; other processes may do the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        np.save(file, array)
    temporary.replace(path)


def check_writable(path: Path | None) -> None:
    """Raises Error now if ``path`` could not be written later."""
    if path is None:
        return
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if (
        (path.exists() and not path.is_file())
        or not folder.is_dir()
        or not os.access(folder, os.W_OK)
    ):
        raise Error(f"cannot write {path}: give a file in a folder that can be written")
