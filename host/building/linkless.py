# SPDX-License-Identifier: Apache-2.0
"""Generated C without the firmware around it: only the model's functions, and no link.

They become a shared library of this computer, or a program for a core on its own.
"""

from __future__ import annotations

from pathlib import Path

from mcutrain.host.building.cache import lease
from mcutrain.host.building.compilers import Compiler, compile_c, cross_compiler, native_compiler
from mcutrain.host.building.cores import Core
from mcutrain.host.building.kernel_archive import kernel_archive, native_flags
from mcutrain.host.errors import BuildError
from mcutrain.host.places import FIRMWARE_DIR, cache_dir

MODEL_FLAGS = ("-std=c11", "-O1", "-fPIC")  # calls and constants: nothing to optimise
CORE_FLAGS = ("-std=c11", "-O2", "-g0")


def shared_library(name: str, folder: Path, output: Path) -> None:
    """The generated C of the model ``name`` in ``folder``, for this process. BuildError."""
    compiler = native_compiler()
    if compiler is None:
        raise BuildError(
            "nothing here compiles C: install gcc or clang, or run: pip install 'mcutrain[zig]'"
        )
    flags = [*MODEL_FLAGS, "-shared"]
    _link(name, folder, output, flags, compiler, "native", native_flags(compiler), frozenset())


def core_program(name: str, folder: Path, output: Path, core: Core) -> None:
    """The same as a program for a core, which nothing starts: it has no vectors and no main.
    Raises BuildError."""
    compiler = cross_compiler(core)
    # Nobody calls the functions that are to be kept.
    flags = [*CORE_FLAGS, f"-Wl,--entry={name}_step", "-Wl,--no-gc-sections"]
    kept = core.name
    _link(name, folder, output, flags, compiler, kept, CORE_FLAGS, core.features)


def _link(
    name: str,
    folder: Path,
    output: Path,
    flags: list[str],
    compiler: Compiler,
    kept: str,
    kernel_flags: tuple[str, ...],
    features: frozenset[str],
) -> None:
    """Link a model with the kernels, which stay compiled in the cache under ``kept``."""
    includes = ["-I", str(FIRMWARE_DIR), "-iquote", str(folder)]  # the model may be called stdint
    archives = cache_dir() / "kernels" / kept
    held = lease(archives, shared=True)
    try:
        archive = kernel_archive(archives, kernel_flags, features=features, compiler=compiler)
        flags = [*flags, *includes, *compiler.link_flags]
        sources = [folder / f"{name}.c", archive]
        compile_c(flags, sources, output, compiler)
    finally:
        held.release()
