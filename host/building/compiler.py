# SPDX-License-Identifier: Apache-2.0
"""What compilers say of themselves and of the processor that they compile for."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence

from mcutrain.host.boards import board_description
from mcutrain.host.building.target import Target, TargetKind

COMPILER = "gcc"  # of code for this computer


def compiler_version(target: Target) -> str:
    """The first line the target's compiler says of itself; empty if it is not there."""
    try:
        command = [f"{target.toolchain_prefix}gcc", "--version"]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""
    return said.partition("\n")[0]


def processor_of(target: Target) -> str:
    """A name for the processor that the native target is compiled for: several computers may share
    a cache. It is empty for a board, which says the same of itself everywhere."""
    if target.kind is not TargetKind.NATIVE:
        return ""
    flags = board_description(target.board)["build"]["cpu_flags"]
    return hashlib.sha256(compiler_target(flags)).hexdigest()[:12]


def compiler_target(flags: Sequence[str], compiler: str = COMPILER) -> bytes:
    """What the compiler says of itself and of the processor that it compiles for: with
    ``-march=native`` a cache that several computers share holds code for each of them. The same at
    each call, so it must not be what ``-v`` prints: that names temporary files."""
    machine = [flag for flag in flags if flag.startswith("-m")]
    said = b""
    for asked in (["--version"], [*machine, "-Q", "--help=target"]):
        try:
            said += subprocess.run([compiler, *asked], capture_output=True, check=False).stdout
        except OSError:
            return b""  # compiling says why
    return said
