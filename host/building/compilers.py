# SPDX-License-Identifier: Apache-2.0
"""The C compilers that can be used: gcc or clang, or zig, which pip installs on every system."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mcutrain.host.building.cores import Core
from mcutrain.host.errors import BuildError
from mcutrain.host.extras import is_there
from mcutrain.host.places import FIRMWARE_DIR, cache_dir
from mcutrain.host.processes import run_group

ZIG = "ziglang"  # the package that pip installs
# zig has no C library for bare cores. Kernels ask it for string.h alone.
BARE_HEADERS = FIRMWARE_DIR / "ports" / "bare" / "include"


@dataclass(frozen=True)
class Compiler:
    """How C is compiled and put into archives, and with which flags always."""

    name: str
    command: tuple[str, ...]
    archiver: tuple[str, ...]
    link_flags: tuple[str, ...] = ()

    @property
    def environment(self) -> Mapping[str, str] | None:
        """Of its processes: zig keeps what it has compiled, here in the cache."""
        if ZIG not in self.command:
            return None
        kept = str(cache_dir() / "compilers" / "zig")
        return {**os.environ, "ZIG_GLOBAL_CACHE_DIR": kept, "ZIG_LOCAL_CACHE_DIR": kept}

    @property
    def version(self) -> str:
        """The first line that it says of itself; empty if it is not there."""
        return _said(self).partition("\n")[0]

    def accepts(self, flag: str) -> bool:
        """Whether it knows a flag."""
        return _accepts(self, flag)


def named(command: str) -> Compiler:
    """A compiler of the system's."""
    return Compiler(command, (command,), ("ar",))


GCC = named("gcc")


def native_compiler() -> Compiler | None:
    """What compiles for this computer; None if nothing does."""
    found = next((name for name in ("gcc", "clang", "cc") if shutil.which(name)), None)
    if found is not None and shutil.which("ar"):
        return named(found)
    return zig() if is_there(ZIG) else None


def cross_compiler(core: Core) -> Compiler:
    """What compiles for a core that has no system. Raises BuildError, with what helps."""
    gcc = f"{core.prefix}gcc"
    if shutil.which(gcc):
        return Compiler(gcc, (gcc, *core.flags), (f"{core.prefix}ar",), core.link_flags)
    if is_there(ZIG):
        return zig(
            "-target", core.zig_target, f"-mcpu={core.zig_cpu}", "-isystem", str(BARE_HEADERS)
        )
    raise BuildError(
        f"nothing here compiles for {core.name}: install {gcc}, or run: pip install 'mcutrain[zig]'"
    )


def zig(*flags: str) -> Compiler:
    """zig as a C compiler. It would check for undefined behaviour by itself, which costs time."""
    start = (sys.executable, "-m", ZIG)
    return Compiler("zig", (*start, "cc", "-fno-sanitize=undefined", *flags), (*start, "ar"))


def compile_c(
    flags: Sequence[str], sources: Sequence[Path], output: Path, compiler: Compiler = GCC
) -> None:
    """Run the compiler. Raises BuildError with what it said."""
    command = [*compiler.command, *flags, *map(str, sources), "-o", str(output)]
    try:
        done = run_group(command, env=compiler.environment)
    except OSError as err:
        raise BuildError(
            f"cannot run {compiler.name}: {err.strerror}; install a C compiler, or run: pip "
            "install 'mcutrain[zig]'"
        ) from err
    if done.returncode:
        raise BuildError(f"{compiler.name} failed for {output.name}:\n{done.stdout.strip()}")


def _said(compiler: Compiler) -> str:
    try:
        done = subprocess.run(
            [*compiler.command, "--version"],
            capture_output=True, check=False, encoding="utf-8", errors="replace",
            env=compiler.environment,
        )  # fmt: skip
    except OSError:
        return ""
    return done.stdout


@cache
def _accepts(compiler: Compiler, flag: str) -> bool:
    command = [*compiler.command, flag, "-E", "-x", "c", "-"]
    try:
        done = subprocess.run(
            command, input=b"", capture_output=True, check=False, env=compiler.environment
        )
    except OSError:
        return False
    return done.returncode == 0
