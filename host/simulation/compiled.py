# SPDX-License-Identifier: Apache-2.0
"""Programs of the project's own that belong to an emulator: C, compiled when it is needed."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from mcutrain.host.building.cache import filling, lease
from mcutrain.host.errors import BuildError
from mcutrain.host.places import cache_dir
from mcutrain.host.processes import run_group


def compiled(
    folder: Path, source: str, name: str, options: Sequence[str] = (), libraries: Sequence[str] = ()
) -> Path:
    """The file ``name``, made by gcc of ``source`` in a folder, now unless the C and the headers
    there, with these options, have been compiled before. ``libraries`` are options that come
    behind the source. Raises BuildError, with the compiler's first error."""
    sources = sorted(folder.glob("*.[ch]"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources))
    digest.update("\0".join([source, *options, *libraries]).encode())
    place = cache_dir() / "emulators" / f"{folder.name}-{digest.hexdigest()[:12]}"
    made = place / name
    held = lease(place, shared=True)
    try:
        with filling(place):
            if not made.is_file():
                _compile_into(made, folder / source, options, libraries)
    finally:
        held.release()
    return made


def _compile_into(
    made: Path, source: Path, options: Sequence[str], libraries: Sequence[str]
) -> None:
    if shutil.which("gcc") is None:
        raise BuildError("gcc is not installed; run: sudo apt-get install gcc libc6-dev")
    made.parent.mkdir(parents=True, exist_ok=True)
    unfinished = made.with_suffix(".unfinished")
    command = ["gcc", "-std=c11", "-O2", *options, "-o", str(unfinished), str(source), *libraries]
    result = run_group(command)
    if result.returncode != 0:
        raise BuildError(f"{source.name} does not compile: {_first_error(result.stdout)}")
    unfinished.replace(made)


def _first_error(output: str) -> str:
    """The line that says what is wrong; the first one, if none says so."""
    lines = output.strip().splitlines()
    return next((line for line in lines if "error:" in line), lines[0] if lines else "no output")
