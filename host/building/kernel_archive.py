# SPDX-License-Identifier: Apache-2.0
"""The kernels as a static library: compiled once for each compiler, its flags and the sources."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mcutrain.host.building.cache import filling
from mcutrain.host.building.compilers import GCC, Compiler, compile_c
from mcutrain.host.places import FIRMWARE_DIR
from mcutrain.trainer.variants import beyond

KERNEL_FLAGS = ("-std=c11", "-O3", "-march=native", "-fPIC", "-fvisibility=hidden")
HERE = ("-march=native", "-mcpu=native")  # one of which a compiler knows, or none


def native_flags(compiler: Compiler) -> tuple[str, ...]:
    """KERNEL_FLAGS as a compiler knows them: clang for Apple's processors has another flag."""
    here = next((flag for flag in HERE if compiler.accepts(flag)), None)
    known = (here if flag in HERE else flag for flag in KERNEL_FLAGS)
    return tuple(flag for flag in known if flag is not None)


def kernel_sources(firmware: Path, features: frozenset[str] = frozenset()) -> list[Path]:
    """What a model calls on a chip with these features: the kernels, the digest, the chain, and
    what some cores call for their products."""
    left_out = {firmware / source for source in beyond(features)}
    kernels = [path for path in sorted(firmware.glob("kernels/*.c")) if path not in left_out]
    shared = ("alive.c", "digest.c", "crc32.c", "fixedpoint.c", "record_chain.c", "sha256.c")
    return [*kernels, *(firmware / "mct" / name for name in shared)]


def compiler_target(flags: Sequence[str], compiler: Compiler = GCC) -> bytes:
    """What the compiler says of itself and of the processor that it compiles for: with
    ``-march=native`` a cache that several computers share holds code for each of them. The same at
    each call, so it must not be what ``-v`` prints: that names temporary files."""
    machine = [flag for flag in flags if flag.startswith("-m")]
    said = b""
    # The second gives the macros that say which instructions there are.
    for asked in (["--version"], [*machine, "-dM", "-E", "-x", "c", "-"]):
        try:
            said += subprocess.run(
                [*compiler.command, *asked],
                input=b"", capture_output=True, check=False, env=compiler.environment,
            ).stdout  # fmt: skip
        except OSError:
            return b""  # compiling says why
    return said


def kernel_archive(
    folder: Path,
    flags: Sequence[str] = KERNEL_FLAGS,
    firmware: Path = FIRMWARE_DIR,
    features: frozenset[str] = frozenset(),
    compiler: Compiler = GCC,
) -> Path:
    """The kernels as a static library in ``folder``, compiled once for these sources and flags."""
    digest = hashlib.sha256(" ".join([*compiler.command, *flags, *sorted(features)]).encode())
    digest.update(compiler_target(flags, compiler))
    sources = kernel_sources(firmware, features)
    digest.update(" ".join(source.name for source in sources).encode())
    for path in sorted([*firmware.glob("kernels/*.[ch]"), *firmware.glob("mct/*.[ch]")]):
        digest.update(path.read_bytes())
    archive = folder / f"kernels-{digest.hexdigest()[:16]}.a"
    if archive.is_file():
        return archive
    folder.mkdir(parents=True, exist_ok=True)
    with filling(folder):
        if not archive.is_file():  # another process may have made it meanwhile
            make_archive(archive, [*flags, f"-I{firmware}"], sources, compiler)
    return archive


def make_archive(
    archive: Path, flags: Sequence[str], sources: Sequence[Path], compiler: Compiler
) -> None:
    """Compile the sources into a static library, which is there when it is whole."""
    with tempfile.TemporaryDirectory(dir=archive.parent) as name:
        scratch = Path(name)
        for source in sources:
            compile_c([*flags, "-c"], [source], scratch / f"{source.stem}.o", compiler)
        made = scratch / archive.name
        objects = sorted(scratch.glob("*.o"))
        subprocess.run(
            [*compiler.archiver, "rcs", made, *objects], check=True, env=compiler.environment
        )
        os.replace(made, archive)
