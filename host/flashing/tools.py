# SPDX-License-Identifier: Apache-2.0
"""The programs that put a firmware onto a board: their commands, by the boards' upload protocols.

Sources: the manuals of OpenOCD, stlink, dfu-util, esptool, picotool, AVRDUDE, BOSSA and
teensy_loader_cli.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from mcutrain.host.flashing.drives import drive_of
from mcutrain.host.flashing.image import Image
from mcutrain.host.flashing.uf2 import uf2
from mcutrain.host.real_boards import RealBoard
from mcutrain.trainer.errors import Error, ModelError

PLATFORMIO, DRIVE = "platformio", "drive"
ESP32_APPLICATION = "0x10000"  # where the default table of partitions has it


class Form(Enum):
    """The file that a tool takes: the value ends its name."""

    ELF = "elf"
    BIN = "bin"
    HEX = "hex"
    UF2 = "uf2"


@dataclass(frozen=True)
class Flashing:
    """What a tool is to flash: the ``file`` that was made of a board's firmware, which begins at an
    ``address``, at a port that may not be needed."""

    board: RealBoard
    file: Path
    address: str
    port: str | None
    made: Path  # a folder for what a tool makes

    def need_port(self) -> str:
        if self.port is None:
            raise Error(f"{self.board.name} is flashed at its port: give --port")
        return self.port


@dataclass(frozen=True)
class Tool:
    """A program: the names that it has, how it is installed, what it takes, whether at a port."""

    name: str
    programs: tuple[str, ...]
    install: str
    form: Form
    commands: Callable[[str, Flashing], list[list[str]]]
    needs_port: bool = False
    is_touched: bool = False  # a port opened at 1200 baud lets the board enter its bootloader

    def program(self) -> str | None:
        """The first of its names that is on PATH."""
        return next((name for name in self.programs if shutil.which(name)), None)


def openocd(program: str, asked: Flashing) -> list[list[str]]:
    script = asked.board.openocd or ""
    return [[program, "-f", script, "-c", f"program {{{asked.file}}} verify reset exit"]]


def st_flash(program: str, asked: Flashing) -> list[list[str]]:
    return [[program, "--reset", "write", str(asked.file), asked.address]]


def dfu_util(program: str, asked: Flashing) -> list[list[str]]:
    at = f"{asked.address}:leave"
    return [[program, "-d", "0483:df11", "-a", "0", "-s", at, "-D", str(asked.file)]]


def picotool(program: str, asked: Flashing) -> list[list[str]]:
    return [[program, "load", "-v", "-x", str(asked.file)]]


def esptool(program: str, asked: Flashing) -> list[list[str]]:
    """The application alone: bootloader and partitions are there since PlatformIO's first flash."""
    chip = ["--chip", asked.board.esptool or ""]
    made = str(asked.made / f"{asked.file.stem}.bin")
    return [
        [program, *chip, "elf2image", "--output", made, str(asked.file)],
        [program, *chip, "--port", asked.need_port(), "write_flash", ESP32_APPLICATION, made],
    ]


def avrdude(program: str, asked: Flashing) -> list[list[str]]:
    part = ["-p", asked.board.avrdude or "", "-c", asked.board.protocol, "-b", "115200", "-D"]
    return [[program, *part, "-P", asked.need_port(), "-U", f"flash:w:{asked.file}:i"]]


def bossac(program: str, asked: Flashing) -> list[list[str]]:
    at = [f"--port={Path(asked.need_port()).name}", f"--offset={asked.address}"]
    return [[program, *at, "-i", "-e", "-w", str(asked.file), "-R"]]


def teensy_loader(program: str, asked: Flashing) -> list[list[str]]:
    return [[program, f"--mcu={asked.board.board.upper()}", "-w", "-v", str(asked.file)]]


OPENOCD = Tool("openocd", ("openocd",), "sudo apt-get install openocd", Form.ELF, openocd)
ST_FLASH = Tool("st-flash", ("st-flash",), "sudo apt-get install stlink-tools", Form.BIN, st_flash)
DFU_UTIL = Tool("dfu-util", ("dfu-util",), "sudo apt-get install dfu-util", Form.BIN, dfu_util)
PICOTOOL = Tool("picotool", ("picotool",), "sudo apt-get install picotool", Form.UF2, picotool)
ESPTOOL = Tool(
    "esptool", ("esptool", "esptool.py"), "pip install esptool", Form.ELF, esptool, needs_port=True
)
AVRDUDE = Tool(
    "avrdude", ("avrdude",), "sudo apt-get install avrdude", Form.HEX, avrdude, needs_port=True
)
BOSSAC = Tool(
    "bossac", ("bossac",), "sudo apt-get install bossa-cli", Form.BIN, bossac, needs_port=True,
    is_touched=True,
)  # fmt: skip
TEENSY = Tool(
    "teensy_loader_cli", ("teensy_loader_cli",), "sudo apt-get install teensy-loader-cli", Form.HEX,
    teensy_loader,
)  # fmt: skip
# By preference, behind PlatformIO (which builds) and the board's drive (which needs no program).
BY_PROTOCOL = {
    "stlink": (OPENOCD, ST_FLASH, DFU_UTIL),
    "picotool": (PICOTOOL,),
    "esptool": (ESPTOOL,),
    "wiring": (AVRDUDE,),
    "sam-ba": (BOSSAC,),
    "teensy-cli": (TEENSY,),
}


def tools_of(board: RealBoard) -> tuple[Tool, ...]:
    """The tools that can flash a board, the one that is preferred first."""
    found: tuple[Tool, ...] = BY_PROTOCOL.get(board.protocol, ())
    return found


def drive_form(board: RealBoard) -> Form:
    """The file that a board's drive takes."""
    return Form.BIN if board.uf2_family is None else Form.UF2


def contents(form: Form, board: RealBoard, image: Image) -> bytes:
    """The file of a form. Raises ModelError if the image cannot be in it."""
    if form is Form.ELF:
        return image.path.read_bytes()
    if form is Form.HEX:
        return image.intel_hex().encode()
    if form is Form.BIN:
        return image.binary()
    if board.uf2_family is None:
        raise ModelError(f"{board.name} takes no UF2 file: its description names no family")
    return uf2(image.segments, board.uf2_family)


def chosen_tool(
    board: RealBoard, asked: str | None, can_build: bool, *, is_used: bool = True
) -> str | Tool:
    """PLATFORMIO, DRIVE or a tool: the one that is asked for, else the first that is there.

    Raises Error, with the line that installs what is missing, if there is none; if the tool is not
    ``is_used`` now, it is then the board's first.
    """
    tools = {tool.name: tool for tool in tools_of(board)}
    known = [*([PLATFORMIO] if can_build else []), *([DRIVE] if board.drive else []), *tools]
    if asked == PLATFORMIO and not can_build:
        raise Error("--tool platformio builds what it flashes: give MODEL in place of --elf")
    if asked is not None and asked not in known:
        raise Error(f"--tool {asked}: {board.name} is flashed by {', '.join(known)}")
    if asked == PLATFORMIO or (asked is None and can_build):
        return PLATFORMIO
    if asked == DRIVE or (asked is None and board.drive and drive_of(board.drive)):
        return DRIVE
    if asked is not None:
        return tools[asked]
    for tool in tools.values():
        if tool.program():
            return tool
    if tools and not is_used:
        return next(iter(tools.values()))
    raise Error(f"{board.name}: {missing_all(board, list(tools.values()))}")


def missing_all(board: RealBoard, tools: list[Tool]) -> str:
    """What is said where nothing that flashes a board is there."""
    ways = " or ".join(f"{tool.name} ({tool.install})" for tool in tools)
    drive = f"mount its drive {board.drive}, or " if board.drive else ""
    return f"nothing that flashes it is there: {drive}install {ways}"


def program_of(tool: Tool) -> str:
    """The tool's program. Raises Error, with the line that installs it, if it is not there."""
    found = tool.program()
    if found is None:
        raise Error(f"{tool.name} is not installed; run: {tool.install}")
    return found
