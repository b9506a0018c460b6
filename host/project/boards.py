# SPDX-License-Identifier: Apache-2.0
"""What a new project has of its board: an environment of PlatformIO, and the files that port it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcutrain.host.boards import board_description, board_names
from mcutrain.host.building.target import NATIVE, SIM, Target, TargetKind
from mcutrain.host.places import FIRMWARE_DIR, PACKAGE
from mcutrain.trainer.errors import Error

PLATFORM_FILES = ("platform.json", "platform.py", "builder/*.py")
OWN_PLATFORM = "symlink://${PROJECT_DIR}/platform"
SCRIPT = "board_script.c"  # the board that has no buttons


@dataclass(frozen=True)
class ProjectBoard:
    """A board as a project has it. ``board_file`` is the file in src/ that drives it, ``install``
    the Debian packages that it needs, ``flash`` the lines that show its firmware at work, ``port``
    the serial port that a computer attaches to."""

    target: Target
    title: str
    env: str
    board_file: str
    install: str
    flash: str
    port: str

    @classmethod
    def of(cls, name: str) -> ProjectBoard:
        """A board by its name, or by that of a target. Raises Error naming those there are."""
        target = target_of(name)
        described = board_description(target.board)
        return cls(
            target,
            described["name"],
            NATIVE if target.kind is TargetKind.NATIVE else target.board,
            SCRIPT,
            described["build"]["apt"],
            run_commands(target, described),
            "PORT",
        )

    def environments(self, word: str = "") -> tuple[str, str]:
        """The sections of platformio.ini: of the board, and of this computer. One board has one."""
        own = section(self.env, OWN_PLATFORM, self.filter, [])
        return ("", native_section()) if self.env == NATIVE else (own, native_section())

    @property
    def filter(self) -> str:
        """Which sources of src/ the board's environment compiles."""
        return source_filter(self.board_file, families(self.target.env))

    def files(self) -> dict[str, bytes]:
        """The ports and the platform that the project needs, by their paths in it."""
        found: dict[str, bytes] = {}
        for family in {*families(self.target.env), *families(NATIVE)}:
            found |= copied(FIRMWARE_DIR / "ports", f"{family}/**/*", "src/ports")
        for pattern in PLATFORM_FILES:
            found |= copied(FIRMWARE_DIR / "platform", pattern, "platform")
        for board in {NATIVE, self.target.board}:
            found |= copied(FIRMWARE_DIR / "platform", f"boards/{board}.json", "platform")
        return found


def target_of(name: str) -> Target:
    """``native``, ``sim:BOARD``, or a board's name alone."""
    known = [board for board in board_names() if board != NATIVE]
    if name in known:
        name = SIM + name
    target = Target.parse(name)
    if target.kind is TargetKind.REFERENCE:
        raise Error("the reference is no board: give native, or one that mcutrain ports lists")
    return target


def families(env: str) -> list[str]:
    """The folders of firmware/ports that an environment of this package's platformio.ini has."""
    config = ConfigParser(interpolation=None)
    config.read(PACKAGE / "platformio.ini", encoding="utf-8")
    return re.findall(r"\+<ports/([\w/]+?)/>", config[f"env:{env}"]["build_src_filter"])


def source_filter(board_file: str, ports: list[str]) -> str:
    with_ports = " ".join(f"+<ports/{family}/>" for family in ports)
    return f"+<*> -<ports/> -<board_*> +<{board_file}> {with_ports}"


def section(env: str, platform: str, sources: str, others: list[str]) -> str:
    """An environment that no test runs on."""
    lines = [f"[env:{env}]", f"platform = {platform}", f"board = {env}", *others]
    return "\n".join([*lines, "build_flags = -std=c11 ${flags.common}", f"build_src_filter = {sources}",
                      "test_ignore = *", ""])  # fmt: skip


def native_section() -> str:
    """The environment of this computer, on which the tests run."""
    sources = source_filter(SCRIPT, families(NATIVE))
    return f"""[env:{NATIVE}]
platform = {OWN_PLATFORM}
board = {NATIVE}
; Kernels of the board's instruction set compute the same in C here.
build_flags = -std=c11 ${{flags.common}} -D MCT_INSTRUCTIONS_IN_C
build_src_filter = {sources}
test_framework = custom
test_testing_command = ${{platformio.build_dir}}/${{this.__env__}}/firmware.elf
"""


def copied(folder: Path, pattern: str, into: str) -> dict[str, bytes]:
    """The files of a folder of this package, by where they go in the project."""
    return {
        f"{into}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in sorted(folder.glob(pattern))
        if path.is_file() and "__pycache__" not in path.parts
    }


def run_commands(target: Target, described: dict[str, Any]) -> str:
    """What runs the firmware here and shows what it prints."""
    env = NATIVE if target.kind is TargetKind.NATIVE else target.board
    elf = f".pio/build/{env}/firmware.elf"
    return "\n".join(command_lines(described["simulation"]["command"], elf))


def command_lines(command: list[str], elf: str) -> Iterator[str]:
    """QEMU's serial port is a pseudo-terminal for the host; a reader wants it on the screen."""
    words = [elf if word == "$ELF" else word for word in command]
    yield shlex.join("stdio" if word == "pty" else word for word in words)
