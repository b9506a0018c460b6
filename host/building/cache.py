# SPDX-License-Identifier: Apache-2.0
"""What was built and may be needed again: folders in the user's cache, each with locks beside it.

Several processes may use the cache at once. Whoever fills a folder or uses what lies there shares
its lock, so that it stays; who removes it holds the lock alone, and does not wait for it. Who
fills it holds a second lock alone, for that time only: nobody waits for those who use it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mcutrain.host.errors import BuildError
from mcutrain.host.places import CACHE_VARIABLE, cache_dir
from mcutrain.host.system import here as system

LIMIT_BYTES = 512 << 20  # of all folders; those that were used longest ago go first
LOCK = ".lock"  # of those who use a folder
FILLING = ".filling"  # of the one who fills it
KINDS = (
    "firmware",
    "generated",
    "objects",
    "pio-core",
    "kernels",
    "emulators",
)  # folders below the cache's own


class Lease:
    """A lock that is held until ``release``, or until nobody has the lease any more."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def release(self) -> None:
        self._file.close()

    def remove(self, lock: Path) -> None:
        """Release it, and remove its file."""
        system.remove_locked(lock, self._file)


def lease(folder: Path, *, shared: bool = False, waits: bool = True) -> Lease:
    """The lock of ``folder``, which need not exist. Raises BlockingIOError if another process has
    it and this one does not wait, BuildError if the cache cannot be written."""
    lock = folder.with_name(folder.name + LOCK)
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = lock.open("ab")
        except OSError as err:
            if isinstance(err, FileNotFoundError) and err.filename == str(lock):
                continue  # whoever emptied the cache removed the folder that was just made
            raise BuildError(
                f"cannot write the cache {lock.parent}: {err.strerror}; let {CACHE_VARIABLE} name "
                "a folder that can be written"
            ) from err
        try:
            system.lock(file, shared=shared, waits=waits)
            if is_at(file, lock):
                return Lease(file)
        except BaseException:
            file.close()
            raise
        file.close()  # whoever had it removed the folder and its lock


def is_at(file: IO[bytes], path: Path) -> bool:
    """Whether ``path`` still names the open ``file``."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def filling(folder: Path) -> Iterator[None]:
    """One process at a time in here; it must have a lease of the folder."""
    with folder.with_name(folder.name + FILLING).open("ab") as file:
        system.lock(file)
        yield


def touch(folder: Path) -> None:
    """Say that ``folder`` was used now."""
    with suppress(OSError):
        os.utime(folder)


@dataclass(frozen=True)
class CacheEntry:
    """A folder of the cache that has a lock. ``used_at`` is in seconds since 1970."""

    folder: Path
    nbytes: int
    used_at: float


def entries() -> list[CacheEntry]:
    """All folders, those that were used longest ago first."""
    found = []
    for lock in locks():
        folder = lock.with_name(lock.name.removesuffix(LOCK))
        with suppress(FileNotFoundError):
            used_at = (folder if folder.is_dir() else lock).stat().st_mtime
            found.append(CacheEntry(folder, bytes_in(folder), used_at))
    return sorted(found, key=lambda entry: entry.used_at)


def locks() -> Iterator[Path]:
    """Those of all folders. Other processes remove some meanwhile, which rglob does not bear."""
    for kind in KINDS:
        for place, _, names in os.walk(cache_dir() / kind):
            yield from (Path(place, name) for name in names if name.endswith(LOCK))


def bytes_in(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def remove(folder: Path) -> bool:
    """Remove the folder with its locks; False if a process uses it."""
    try:
        held = lease(folder, waits=False)
    except BlockingIOError:
        return False
    try:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(PermissionError):  # on Windows, where an open file cannot be removed
            folder.with_name(folder.name + FILLING).unlink(missing_ok=True)
    finally:
        held.remove(folder.with_name(folder.name + LOCK))
    return True


def prune(limit_bytes: int = LIMIT_BYTES) -> None:
    """Remove what was used longest ago, until the folders take ``limit_bytes`` at most."""
    found = entries()
    total = sum(entry.nbytes for entry in found)
    for entry in found:
        if total <= limit_bytes:
            return
        if remove(entry.folder):
            total -= entry.nbytes


@dataclass(frozen=True)
class Cleaned:
    """What ``clean`` did: bytes that are free again, and the folders that are in use."""

    folder: Path
    freed_bytes: int
    kept: tuple[Path, ...]

    def to_json(self) -> dict[str, Any]:
        kept = [str(folder) for folder in self.kept]
        return {"folder": str(self.folder), "freed_bytes": self.freed_bytes, "kept": kept}


def clean() -> Cleaned:
    """Empty the cache, but for what other processes use now. Raises BuildError if it is none."""
    root, found = cache_dir(), entries()
    if root.exists() and not root.is_dir():
        raise BuildError(f"the cache {root} is a file; let {CACHE_VARIABLE} name a folder")
    kept = {entry.folder for entry in found if not remove(entry.folder)}
    # Those above the entries; what lies in one that is kept, or was made since, is in use.
    above = {p for entry in found for p in entry.folder.parents if p.is_relative_to(root)}
    for folder in sorted({*above, root}, key=lambda p: len(p.parts), reverse=True):
        with suppress(OSError):  # it is not empty, or not there
            folder.rmdir()
    freed = sum(entry.nbytes for entry in found if entry.folder not in kept)
    return Cleaned(root, freed, tuple(sorted(kept)))
