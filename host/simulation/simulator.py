# SPDX-License-Identifier: Apache-2.0
"""Runs a firmware on this computer: the native port, or a simulated board.

firmware/platform/boards/*.json name the emulator of each board.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from mcutrain.host.errors import TransportError
from mcutrain.host.processes import Said
from mcutrain.host.simulation.emulators.emulator import Emulator
from mcutrain.host.simulation.emulators.known import emulator_of
from mcutrain.host.simulation.flash_image import held_image
from mcutrain.host.system.here import start
from mcutrain.host.waiting import LONGEST_TICK_S, Waiting

START_TIMEOUT_S = 60.0  # on a busy computer too


@contextmanager
def simulate(
    board: str, elf: Path, arguments: Sequence[str] = (), image: Path | None = None
) -> Iterator[str]:
    """Run `elf` as `board` says; gives the path of its port, and stops it at the end.

    `image` is a file that is the board's flash (host.simulation.flash_image). The firmware may take
    a second until it answers; Device.open repeats its hello. `arguments` are appended to the
    command. The process also ends when this one dies. A TransportError that comes up in the context
    is replaced by what the process said, if it has ended by itself.
    """
    emulator = emulator_of(board)
    with _flash(emulator, image):
        yield from _running(board, emulator, _start(emulator, elf, arguments, image))


def _flash(emulator: Emulator, image: Path | None) -> AbstractContextManager[None]:
    """The image is there, and this process's, unless the firmware sees to that itself."""
    flash = emulator.flash
    return nullcontext() if flash is None or image is None else held_image(image, flash)


def _running(board: str, emulator: Emulator, process: subprocess.Popen[bytes]) -> Iterator[str]:
    said = Said(process)
    try:
        port, behind = _await_port(board, emulator, process, said)
        try:
            yield port
        except TransportError as error:
            words = _last_words(process, said, behind)
            if words is None:
                raise
            raise TransportError(f"{board} stopped: {words}") from error
    finally:
        process.terminate()  # emulators finish in order on SIGTERM
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        said.close()


def _last_words(process: subprocess.Popen[bytes], said: Said, behind: bytes) -> str | None:
    """The first line a process has printed behind that of its port, of which ``behind`` has been
    taken, or its exit status; None if it is running."""
    try:
        status = process.wait(0.5)
    except subprocess.TimeoutExpired:
        return None
    return _first_line(behind + said.rest()) or f"exit status {status}"


def _first_line(output: bytes) -> str:
    """The first line with a word in it; sanitizers begin with a row of signs."""
    lines = output.decode(errors="replace").splitlines()
    return next((line.strip() for line in lines if any(map(str.isalpha, line))), "")


def _start(
    emulator: Emulator, elf: Path, arguments: Sequence[str], image: Path | None
) -> subprocess.Popen[bytes]:
    if not elf.is_file():
        raise TransportError(f"{elf}: there is no such firmware; build it first")
    for missing in emulator.missing():
        raise TransportError(f"{missing.name} cannot be run; run: {missing.remedy}")
    command = [*emulator.command(elf.resolve()), *arguments]
    environment = None
    if image is not None:
        command += emulator.flash_args(image.absolute())
        environment = os.environ | emulator.flash_environment(image.absolute())
    try:
        # Ctrl-C is for this program, which still talks to the device.
        return start(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            env=environment,
        )
    except OSError as error:
        raise TransportError(f"{command[0]} cannot be run ({error.strerror}); build it") from error


def _await_port(
    board: str, emulator: Emulator, process: subprocess.Popen[bytes], said: Said
) -> tuple[str, bytes]:
    """The path that the process announces, and what has been taken behind that line;
    TransportError with its words if it does not."""
    pattern = re.compile(emulator.port_pattern, re.M)
    waiting = Waiting(START_TIMEOUT_S)
    output, has_ended = b"", False
    while waiting.left_s() > 0 and not has_ended:
        data = said.piece(LONGEST_TICK_S)
        if data is None:
            continue
        output, has_ended = output + data, not data
        announced = pattern.search(output.decode(errors="replace"))
        if announced:
            behind = output.decode(errors="replace")[announced.end() :].partition("\n")[2]
            return announced.group(1), behind.encode()
    words = _first_line(output)
    if has_ended:
        raise TransportError(f"{board} did not start: {words or _exit_status(process)}")
    raise TransportError(
        f"{board} did not start: {emulator.title} has named no port in {START_TIMEOUT_S:g} s"
        + (f"; it said: {words}" if words else "; see that the computer is not overloaded")
    )


def _exit_status(process: subprocess.Popen[bytes]) -> str:
    """How a process without words has ended."""
    try:
        return f"exit status {process.wait(1)}"
    except subprocess.TimeoutExpired:
        return "no output"
