# SPDX-License-Identifier: Apache-2.0
"""`mcutrain flash`: builds a firmware or takes one, puts it onto a board, and waits until it
answers."""

from __future__ import annotations

import shlex
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import serial

from mcutrain.host.attached.asking import Answer, ask
from mcutrain.host.attached.survey import SerialPort, serial_ports
from mcutrain.host.boards import board_description, chip_of
from mcutrain.host.building.firmware import Build, build, gen_folder, upload
from mcutrain.host.building.fitting import check_before_build
from mcutrain.host.building.pio import upload_command
from mcutrain.host.building.target import BOARD, NATIVE, SIM, Target
from mcutrain.host.defaults import AUTO, BAUD
from mcutrain.host.errors import MismatchError, TransportError
from mcutrain.host.extras import require_extra
from mcutrain.host.flashing import drives
from mcutrain.host.flashing.failures import explained
from mcutrain.host.flashing.image import Image, read_image
from mcutrain.host.flashing.tools import (
    DRIVE,
    PLATFORMIO,
    Flashing,
    Form,
    Tool,
    chosen_tool,
    contents,
    drive_form,
    program_of,
)
from mcutrain.host.keys import Keys
from mcutrain.host.link.transport import why_not_open
from mcutrain.host.processes import run_group
from mcutrain.host.real_boards import RealBoard, real_board
from mcutrain.host.request import Request
from mcutrain.trainer.errors import BudgetError, Error, ModelError

ANSWER_S = 20.0  # after the flash, for the restart and the first HELLO
TOUCH_BAUD = 1200
REAPPEAR_S = 10.0
LOOK_S = 0.2
MACHINES = {"cortex": "EM_ARM", "rv32": "EM_RISCV", "avr": "EM_AVR", "xtensa": "EM_XTENSA"}


@dataclass(frozen=True)
class FlashJob:
    """What `mcutrain flash` is asked to do: build and flash ``request``, or flash ``elf``.

    ``answer_s``: how long it waits for the firmware to answer, 0 for not at all.
    """

    board: str
    request: Request | None = None
    elf: Path | None = None
    port: str | None = None
    baud: int = BAUD
    tool: str | None = None
    answer_s: float = ANSWER_S
    verbose: bool = False
    keys: Keys | None = None


@dataclass(frozen=True)
class Flashed:
    """What was done, or would be: the tool, its commands as a shell takes them, the firmware's
    file; ``port`` and ``answer`` of the firmware that answers, None if it was not waited for."""

    board: RealBoard
    tool: str
    commands: tuple[str, ...]
    elf: Path | None
    port: str | None = None
    answer: Answer | None = None

    def lines(self) -> list[str]:
        """For people."""
        said = [f"{self.board.name}, by {self.tool}:", *(f"  {each}" for each in self.commands)]
        if self.answer is not None:
            said.append(f"{self.port}: {self.answer.told}")
        return said

    def to_json(self) -> dict[str, Any]:
        answer = None if self.answer is None else self.answer.to_json()
        return {
            "board": self.board.name,
            "tool": self.tool,
            "commands": list(self.commands),
            "elf": None if self.elf is None else str(self.elf),
            "port": self.port,
            "firmware": None if answer is None else answer["firmware"],
            "told": None if answer is None else answer["told"],
        }


def checked(job: FlashJob, *, is_used: bool = True) -> tuple[RealBoard, str | Tool, Image | None]:
    """The board, what flashes it, and the firmware of ``--elf``. Raises Error for all that can be
    seen before work; a tool that is not ``is_used`` now need not be there."""
    if (job.request is None) == (job.elf is None):
        raise Error(
            "give MODEL to build and flash its firmware, or --elf FILE to flash a built one"
        )
    require_extra("build", *(["elftools"] if job.request is None else []))
    board = board_named(job.board)
    image = None if job.elf is None else checked_image(job.elf, board)
    tool = chosen_tool(board, job.tool, can_build=job.request is not None, is_used=is_used)
    if isinstance(tool, Tool) and is_used:
        program_of(tool)
    has_drive = board.drive is not None and drives.drive_of(board.drive) is not None
    if tool == DRIVE and is_used and not has_drive:
        raise Error(
            f"the drive {board.drive} of {board.name} is not mounted: plug the board in, for an "
            "RP2040 with BOOTSEL held"
        )
    return board, tool, image


def board_named(name: str) -> RealBoard:
    """The board, by its name or as a target. Raises Error."""
    if name == NATIVE or name.startswith(SIM):
        raise Error(f"--board {name}: what runs on this computer is not flashed: `mcutrain train`")
    return real_board(name.removeprefix(BOARD))


def checked_image(elf: Path, board: RealBoard) -> Image:
    """What an ELF file loads. Raises Error if that is not for the board."""
    image = read_image(elf)
    core = str(board_description(board.id)["build"]["mcu"])
    machine = next((m for begin, m in MACHINES.items() if core.startswith(begin)), image.machine)
    if image.machine != machine:
        raise ModelError(
            f"{elf} is code for {image.machine.removeprefix('EM_')}, and {board.name} is "
            f"{machine.removeprefix('EM_')} ({core}): build it for the board"
        )
    available = chip_of(board.id).flash_bytes
    if available and image.nbytes > available:
        raise BudgetError(
            f"{elf} loads {image.nbytes:,} bytes, and {board.name} has {available:,} bytes of "
            "flash: build it for the board",
            image.nbytes,
            available,
        )
    return image


def dry_run(job: FlashJob) -> Flashed:
    """What would be done; nothing is built, written or opened."""
    board, tool, image = checked(job, is_used=False)
    port = None if job.port == AUTO else job.port
    if tool == PLATFORMIO:
        assert job.request is not None
        target = Target.parse(BOARD + board.name)
        plan = job.request.resolved().on(target.chip).plan()
        check_before_build(plan, target)
        return Flashed(
            board,
            tool,
            (told_upload(gen_folder(plan, target, is_keyed=job.keys is not None), target, port),),
            None,
        )
    elf = Path("firmware.elf") if job.elf is None else job.elf
    first = [] if job.elf else [f"mcutrain build ... --target {BOARD}{board.name} (makes {elf})"]
    if not isinstance(tool, Tool):
        drive = drives.drive_of(board.drive or "") or f"the drive {board.drive}, not mounted now"
        name = f"{elf.stem}.{drive_form(board).value}"
        return Flashed(board, tool, (*first, f"copy {name}, made of {elf}, to {drive}"), elf)
    form, address = tool.form, "ADDRESS" if image is None else hex(image.address)
    file = elf if form is Form.ELF else Path(f"{elf.stem}.{form.value}")
    if file != elf:
        first.append(f"make {file} of {elf}")
    if tool.needs_port and port is None:
        port = "PORT" if job.port is None else board_port(board)
    asked = Flashing(board, file, address, port, Path())
    program = tool.program()
    if program is None:
        first.insert(0, f"{tool.install} (installs {tool.name}, which is not there)")
    commands = map(shlex.join, tool.commands(program or tool.programs[0], asked))
    return Flashed(board, tool.name, (*first, *commands), elf)


def flash(job: FlashJob) -> Flashed:
    """Build if asked, flash, and wait for the firmware. Raises Error."""
    board, tool, image = checked(job)
    built = None
    if job.request is not None:
        target = Target.parse(BOARD + board.name)
        built = build(job.request.resolved().on(target.chip).plan(), target, job.verbose, job.keys)
    port = job.port
    if port == AUTO or (port is None and isinstance(tool, Tool) and tool.needs_port):
        port = board_port(board)
    if tool == PLATFORMIO:
        assert built is not None
        commands = by_platformio(built, port, job.verbose)
    else:
        image = checked_image(built.elf, board) if built is not None else image
        assert image is not None
        commands = by_tool(tool, board, image, port, job.verbose)
    elf = built.elf if built is not None else job.elf
    name = tool.name if isinstance(tool, Tool) else tool
    if job.answer_s <= 0:
        return Flashed(board, name, commands, elf)
    expected = built.build_hash if built is not None else image.build_hash if image else None
    found, answer = awaited(board, port, job.baud, expected, job.answer_s)
    return Flashed(board, name, commands, elf, found, answer)


def by_platformio(built: Build, port: str | None, verbose: bool) -> tuple[str, ...]:
    status, output = upload(built, port, verbose)
    if status != 0:
        raise Error(explained(PLATFORMIO, output, status))
    return (told_upload(built.folder / "gen", built.target, port),)


def told_upload(gen: Path, target: Target, port: str | None) -> str:
    """PlatformIO's command as a shell takes it; ``gen`` holds the C that it builds."""
    command = shlex.join(["platformio", *upload_command(target.env, port)[3:]])
    return f"MCUTRAIN_GEN={shlex.quote(str(gen))} {command}"


def by_tool(
    tool: str | Tool, board: RealBoard, image: Image, port: str | None, verbose: bool
) -> tuple[str, ...]:
    """Flash by a program, or by a copy to the board's drive; the commands that ran."""
    with tempfile.TemporaryDirectory(prefix="mct-") as folder:
        if not isinstance(tool, Tool):
            form, drive = drive_form(board), drives.drive_of(board.drive or "")
            assert drive is not None
            name = f"{image.path.stem}.{form.value}"
            drives.copy_to(drive, name, contents(form, board, image))
            return (f"copy {name}, made of {image.path}, to {drive}",)
        file = image.path
        if tool.form is not Form.ELF:
            file = Path(folder) / f"{image.path.stem}.{tool.form.value}"
            file.write_bytes(contents(tool.form, board, image))
        if tool.is_touched:
            port = touched(board, port)
        asked = Flashing(board, file, hex(image.address), port, Path(folder))
        commands = tool.commands(program_of(tool), asked)
        for command in commands:
            run_tool(tool.name, command, verbose)
        return tuple(map(shlex.join, commands))


def run_tool(name: str, command: list[str], verbose: bool) -> None:
    """Raises Error, in one line, if the command fails."""
    try:
        ran = run_group(command)
    except OSError as error:
        raise Error(f"{name}: {command[0]} cannot be started: {error.strerror}") from error
    if verbose:
        sys.stderr.write(ran.stdout)
    if ran.returncode != 0:
        raise Error(explained(name, ran.stdout, ran.returncode))


def ports_of(board: RealBoard, *, in_bootloader: bool = False) -> list[SerialPort]:
    """The serial ports that may be the board's, by their USB ids."""
    ids = {(u.vendor, u.product) for u in board.bootloaders}
    if not in_bootloader:
        ids |= {(u.vendor, u.product) for u in board.ports}
    return [p for p in serial_ports() if p.usb and (p.usb.vendor, p.usb.product) in ids]


def board_port(board: RealBoard) -> str:
    """The one port that may be the board's. Raises TransportError."""
    found = ports_of(board)
    if len(found) == 1:
        return found[0].device
    if found:
        named = " or ".join(f"--port {port.device}" for port in found)
        raise TransportError(f"{len(found)} ports may be {board.name}: give {named}")
    others = ", ".join(f"{port.device} ({port.title})" for port in serial_ports())
    raise TransportError(
        f"no serial port is a {board.name} by its USB id; found: {others or 'no port at all'}: "
        "plug it in, or give --port"
    )


def touched(board: RealBoard, port: str | None) -> str:
    """The port of the board's bootloader, which it enters when its own port is opened at 1200 baud.
    Raises TransportError if it does not come."""
    if waiting := ports_of(board, in_bootloader=True):
        return waiting[0].device
    own = port or board_port(board)
    try:
        serial.Serial(own, TOUCH_BAUD).close()
    except (OSError, ValueError) as error:
        raise TransportError(why_not_open(own, error)) from error
    end = time.monotonic() + REAPPEAR_S
    while time.monotonic() < end:
        if waiting := ports_of(board, in_bootloader=True):
            return waiting[0].device
        time.sleep(LOOK_S)
    raise TransportError(
        f"{own}: the board did not enter its bootloader within {REAPPEAR_S:g} s: press its reset "
        "button twice, and flash again"
    )


def awaited(
    board: RealBoard, port: str | None, baud: int, expected: bytes | None, seconds: float
) -> tuple[str, Answer]:
    """The port and the answer of the firmware, once it answers. Raises TransportError if none does,
    MismatchError if it is another build than ``expected``."""
    end, last = time.monotonic() + seconds, dict[str, Answer]()
    while time.monotonic() < end:
        for device in candidates(board, port):
            with suppress(OSError):
                last[device] = answer = ask(device, baud, min(1.0, seconds), greets=False)
                hello = answer.hello
                if hello is not None and expected in (None, hello.build_hash):
                    return device, answer
        time.sleep(LOOK_S)
    for device, answer in last.items():
        if answer.hello is not None and expected is not None:
            raise MismatchError(
                f"{device}: flashed, but the board still runs the build "
                f"{answer.hello.build_hash.hex()}, not {expected.hex()}: reset it, or flash again"
            )
    found = "; ".join(f"{device}: {answer.told}" for device, answer in last.items())
    raise TransportError(
        f"{board.name} was flashed, but its firmware does not answer within {seconds:g} s; "
        f"{found or 'no port of the board was found: give --port'}"
    )


def candidates(board: RealBoard, port: str | None) -> list[str]:
    """Where the firmware may answer: a port can have another name after the restart."""
    found = [each.device for each in ports_of(board)]
    if port is None:
        return found
    return [port, *(each for each in found if each != port)] if Path(port).exists() else found
