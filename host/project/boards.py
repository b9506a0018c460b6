# SPDX-License-Identifier: Apache-2.0
"""What a new project has of its board: an environment of PlatformIO, and the files that port it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from mcutrain.host.boards import board_description, board_names, real_board_names
from mcutrain.host.building.target import BOARD, NATIVE, SIM, Target, TargetKind
from mcutrain.host.defaults import BAUD
from mcutrain.host.places import FIRMWARE_DIR
from mcutrain.host.project.environments import board_settings, families, ports_filter
from mcutrain.host.project.environments import settings as environment
from mcutrain.host.real_boards import real_board
from mcutrain.host.simulation.emulators.known import emulator_of
from mcutrain.trainer.errors import Error

ARDUINO = "arduino"
C11 = "-std=c11 -O2 -g -ffunction-sections -fdata-sections -Wl,--gc-sections -Wall -Wextra"
WITH_STORE = "-D MCT_WITH_STORE"  # which mct_selected_model.h says in a project
FLASH = "-D MCT_HAS_FLASH -D MCT_FLASH_UNIT_MAX=8"  # of all boards that run here
PLATFORM_FILES = ("platform.json", "platform.py", "builder/*.py")
OWN_PLATFORM = "symlink://${PROJECT_DIR}/platform"
SCRIPT = "board_script.c"  # the board that has no buttons


@dataclass(frozen=True)
class ProjectBoard:
    """A board as a project has it. ``board_file`` is the file in src/ that drives it, ``install``
    the Debian packages that it needs, ``run`` the lines that show its firmware at work."""

    target: Target
    title: str
    env: str
    board_file: str
    install: str
    run: str
    settings: tuple[str, ...]

    @classmethod
    def of(cls, name: str) -> ProjectBoard:
        """A board by its name, or by that of a target. Raises Error naming those there are."""
        target = target_of(name)
        described = board_description(target.board)
        if target.kind is TargetKind.REAL:
            return on_a_desk(target)
        env = NATIVE if target.kind is TargetKind.NATIVE else target.board
        flags = " ".join(["build_flags =", C11, FLASH, *port_flags(target.env)])
        settings = (f"platform = {OWN_PLATFORM}", f"board = {target.board}", flags)
        return cls(
            target,
            described["name"],
            env,
            SCRIPT,
            described["build"]["apt"],
            run_here(target.board, env),
            settings,
        )

    @property
    def has_buttons(self) -> bool:
        """Whether somebody teaches it, and no script."""
        return self.board_file.endswith(".cpp")

    @property
    def sections(self) -> str:
        """The environments of platformio.ini: of the board, and of this computer for the tests."""
        own = [
            f"[env:{self.env}]",
            *self.settings,
            f"build_src_filter = {source_filter(self.board_file, self.target.env)}",
            "test_ignore = *",
        ]
        return native_section() if self.env == NATIVE else "\n".join([*own, "", native_section()])

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
    """``native``, ``sim:BOARD``, ``board:BOARD``, or a board's name alone: the one on a desk, if
    there are two. Raises Error for what no firmware is built for."""
    if name in real_board_names():
        return Target.parse(BOARD + name)
    if name in board_names() and name != NATIVE:
        return Target.parse(SIM + name)
    target = Target.parse(name)
    if target.kind in (TargetKind.REFERENCE, TargetKind.CORE):
        raise Error(f"{name} is no board: give native, or one that mcutrain ports lists")
    return target


def port_flags(env: str) -> list[str]:
    """What an environment of this package defines for the board's port, beside its flash."""
    defined = re.findall(r"-D MCT_\S+", environment(env).get("build_flags", ""))
    return [each for each in defined if each not in FLASH and each != WITH_STORE]


def on_a_desk(target: Target) -> ProjectBoard:
    """A real board, with PlatformIO's own platform for it."""
    board = real_board(target.env)
    language = "cpp" if board.framework == ARDUINO else "c"
    return ProjectBoard(
        target,
        board.title,
        board.name,
        f"board_{board.framework}.{language}",
        "",
        f"pio run -t upload       # flashes it\npio device monitor -b {BAUD}",
        (*board_settings(board.name), f"monitor_speed = {BAUD}"),
    )


def source_filter(board_file: str, env: str) -> str:
    return f"+<*> -<ports/> -<board_*> +<{board_file}> {ports_filter(env)}"


def native_section() -> str:
    """The environment of this computer, on which the tests run."""
    return f"""[env:{NATIVE}]
platform = {OWN_PLATFORM}
board = {NATIVE}
; Kernels of the board's instruction set compute the same in C here.
build_flags = {C11} {FLASH} -D MCT_INSTRUCTIONS_IN_C
build_src_filter = {source_filter(SCRIPT, NATIVE)}
test_testing_command = ${{platformio.build_dir}}/${{this.__env__}}/firmware.elf
"""


def copied(folder: Path, pattern: str, into: str) -> dict[str, bytes]:
    """The files of a folder of this package, by where they go in the project."""
    return {
        f"{into}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in sorted(folder.glob(pattern))
        if path.is_file() and "__pycache__" not in path.parts
    }


def run_here(board: str, env: str) -> str:
    """What runs the firmware on this computer and shows what it prints."""
    elf = Path(f".pio/build/{env}/firmware.elf")
    simulation = board_description(board)["simulation"]
    if simulation["emulator"] == "simavr":
        return f"simavr -m {simulation['mcu']} -f {simulation['hz']} {elf}"
    words = emulator_of(board).command(elf)
    if simulation["emulator"] == "native":
        return f"{shlex.join(words)}    # names its serial port: pio device monitor -p PORT"
    # QEMU's serial port is a pseudo-terminal for the host; a reader wants it on the screen.
    return shlex.join("stdio" if word == "pty" else word for word in words)
