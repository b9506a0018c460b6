# SPDX-License-Identifier: Apache-2.0
"""Compiles the firmware's C for tests, with the sanitizers, and without PlatformIO."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mcutrain.host.boards import board_description
from mcutrain.trainer.variants import beyond
from tests.support.paths import ROOT

GEN_DIR = ROOT / "tests" / "support" / "fake_model"
MASTER_KEY = bytes([0x5A]) * 32  # of mct_keys.h, for builds with KEYED
KEYED = "-DFAKE_KEYED"
NUMERICS_HASH = bytes(range(0xA0, 0xA8))
BUILD_HASH = bytes(range(0xB0, 0xB8))

_FIRMWARE = ROOT / "firmware"
_WARNINGS = (
    *("-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wno-sign-conversion"),
    *("-Wmissing-prototypes", "-Wdouble-promotion", "-Werror"),
)
_FLAGS = ("-std=c11", "-O1", "-g", "-fno-sanitize-recover=all", *_WARNINGS)


NATIVE_PORT = _FIRMWARE / "ports" / "native" / "port.c"
BURSTS_PORT = (
    ROOT / "tests" / "support" / "bursts_port.c"
)  # the same, but what it has no room for is lost
COUNTING_PORT = ROOT / "tests" / "support" / "counting_port.c"  # the same, with a cycle counter


def build_native(folder: Path, *defines: str, port: Path = NATIVE_PORT) -> Path:
    """The native firmware with the fake model, under both sanitizers."""
    sources = [
        *sorted((_FIRMWARE / "runtime").glob("*.c")),
        *(_FIRMWARE / "mct" / f"{name}.c" for name in ("crc32", "alive", "sha256", "hmac")),
        NATIVE_PORT.with_name("nonce.c"),
        port,
        GEN_DIR / "fake.c",
    ]
    elf = folder / "firmware.elf"
    _compile(sources, elf, "-fsanitize=undefined,address", "-DMCT_LINK_PAYLOAD=128", *defines)
    return elf


def build_mps2(folder: Path, *flags: str) -> Path:
    """The firmware of sim:mps2_an386 with the fake model, by the compiler alone."""
    return build_simulated("mps2_an386", ("cortex_m", "mps2"), folder, *flags)


def build_simulated(board: str, families: Sequence[str], folder: Path, *flags: str) -> Path:
    """The same of another board, whose ports lie in ``families``."""
    ports = _FIRMWARE / "ports"
    folders = (_FIRMWARE / "runtime", *(ports / family for family in families))
    sources = [source for where in folders for source in sorted(where.glob("*.c"))]
    sources += [_FIRMWARE / "mct" / "crc32.c", _FIRMWARE / "mct" / "alive.c", GEN_DIR / "fake.c"]
    elf = folder / "firmware.elf"
    build = board_description(board)["build"]
    link = [*build.get("link_flags", ["-nostdlib"]), f"-L{ports}"]
    link += [f"-T{ports / build['linker_script']}"]
    link += [f"-Wl,--defsym=MCT_STACK_BYTES={build['stack_bytes']}", "-Wl,--gc-sections"]
    subprocess.run(
        [
            f"{build['toolchain']}gcc", "-std=c11", "-O2", *_WARNINGS, *build["cpu_flags"], *flags,
            "-DMCT_LINK_PAYLOAD=128", f"-I{_FIRMWARE}", f"-I{GEN_DIR}", *link, "-o", str(elf),
            *map(str, sources), "-lc", "-lgcc",
        ],
        check=True,
    )  # fmt: skip
    return elf


def build_patched(gen_dir: Path, folder: Path, file: str, right: str, wrong: str) -> Path:
    """The native firmware with the model in ``gen_dir``, and one fault put into ``file``."""
    tree = folder / "firmware"
    shutil.copytree(_FIRMWARE, tree)
    text = (tree / file).read_text()
    assert text.count(right) == 1, f"{file} holds {text.count(right)} times: {right}"
    (tree / file).write_text(text.replace(right, wrong))
    portable = set(tree.glob("kernels/*.c")) - {tree / path for path in beyond(frozenset())}
    sources = [*tree.glob("runtime/*.c"), *tree.glob("mct/*.c"), *sorted(portable)]
    sources += [tree / "ports" / "native" / "port.c", *gen_dir.glob("*.c")]
    elf = folder / "firmware.elf"
    includes = (f"-I{tree}", f"-I{gen_dir}")
    command = ["gcc", "-std=c11", "-O1", "-DMCT_LINK_PAYLOAD=1024", *includes, "-o", str(elf)]
    subprocess.run([*command, *map(str, sources)], check=True)
    return elf


def build_frame_library(folder: Path) -> Path:
    """runtime/frame.c for ctypes, where only the sanitizer for undefined behaviour works."""
    library = folder / "frame.so"
    sources = [_FIRMWARE / "runtime" / "frame.c", _FIRMWARE / "mct" / "crc32.c"]
    _compile(sources, library, "-fsanitize=undefined", "-fPIC", "-shared")
    return library


def _compile(sources: list[Path], output: Path, *flags: str) -> None:
    command = ["gcc", *_FLAGS, *flags, f"-I{_FIRMWARE}", f"-I{GEN_DIR}", "-o", str(output)]
    subprocess.run([*command, *map(str, sources)], check=True)
