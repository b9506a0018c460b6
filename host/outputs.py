# SPDX-License-Identifier: Apache-2.0
"""Which files a command reads and writes: checked before any work, so that none destroys another.

Imported for every command: nothing here may import NumPy.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from mcutrain.host.failure import reason
from mcutrain.trainer.errors import Error

# What `generate` and `build` leave in a folder.
GENERATED = (".c", ".h", ".json", ".elf", ".map")
SOURCES = "src"  # where those of `generate` lie in it
KEY_FILE = b"mcutrain key "  # what begins a file of keys (host/keys.py)
ANOTHER = "give another file, so that it is not lost"


class Role(Enum):
    """What a command does with a file."""

    READ = "read"
    WRITTEN = "written"  # as a whole: what was there is replaced
    KEPT = "kept"  # gone on with, or begun
    FOLDER = "folder"  # files of GENERATED go there


@dataclass(frozen=True)
class NamedFile:
    """A file of a command: ``option`` is what it was given by, as the user writes it."""

    option: str
    path: Path
    role: Role

    def __str__(self) -> str:
        return f"the {'model' if self.option == 'MODEL' else f'file of {self.option}'} itself"


def check_files(files: Sequence[NamedFile]) -> None:
    """Raises Error if an output would be lost, or be put over an input or another output."""
    known: dict[tuple[object, ...], NamedFile] = {}
    for file in sorted(files, key=lambda f: f.role is not Role.READ):
        try:
            if file.role is not Role.READ:
                check_place(file)
            found = list(identities(file))
        except OSError as err:
            if file.role is Role.READ:
                continue  # whoever reads it says so
            raise Error(f"cannot write {file.path}: {reason(err)}") from err
        for identity, path in found:
            if file.role is not Role.READ and (other := known.get(identity)) is not None:
                raise Error(f"{file.option}: {path} is {other}: {ANOTHER}")
        known.update((identity, file) for identity, _ in found)


def check_place(file: NamedFile) -> None:
    if file.role is Role.FOLDER:
        check_folder(file.path)
    else:
        check_writable(file.path)


def check_writable(path: Path) -> None:
    """Raises Error now if a file could not be put at ``path`` later, in a folder that is there, or
    a file of keys would be lost."""
    folder = path.resolve().parent  # through a link, to what it leads to
    if path.is_dir():
        raise Error(f"cannot write {path}: it is a folder; give a file")
    if path.exists() and not path.is_file():
        raise Error(f"cannot write {path}: it is no file that could be replaced; give another")
    if is_key_file(path):
        raise Error(f"cannot write {path}: it may hold the only copy of a key; give another name")
    if not folder.exists():
        raise Error(
            f"cannot write {path}: there is no folder {folder}; create it (mkdir -p), or give "
            "another"
        )
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise Error(f"cannot write {path}: give a file in a folder that can be written")


def is_key_file(path: Path) -> bool:
    """Whether a file says that it holds keys (host/keys.py)."""
    try:
        with path.open("rb") as file:
            return file.read(len(KEY_FILE)) == KEY_FILE
    except OSError:
        return False


def check_folder(folder: Path) -> None:
    """Raises Error now if files could not be put into ``folder`` later, which may be made."""
    there = folder.resolve()
    while not there.exists() and there != there.parent:
        there = there.parent
    code = errno.EACCES if there.is_dir() else errno.ENOTDIR
    if code == errno.ENOTDIR or not os.access(there, os.W_OK | os.X_OK):
        raise Error(f"cannot write {folder}: {reason(OSError(code, os.strerror(code)))}")


def identities(file: NamedFile) -> Iterator[tuple[tuple[object, ...], Path]]:
    """What tells the files of ``file`` from all others, by whatever name they go."""
    for path in written(file):
        real = path.resolve()
        if real.exists():
            there = real.stat()
            yield (there.st_dev, there.st_ino), path
        elif file.role is not Role.READ and real.parent.exists():
            there = real.parent.stat()
            yield (there.st_dev, there.st_ino, real.name), path


def written(file: NamedFile) -> Iterable[Path]:
    """The files themselves: of a folder those there are that may be written over."""
    if file.role is not Role.FOLDER:
        return [file.path]
    folders = (file.path, file.path / SOURCES)
    there = (path for folder in folders if folder.is_dir() for path in folder.iterdir())
    return [path for path in there if path.suffix in GENERATED]
