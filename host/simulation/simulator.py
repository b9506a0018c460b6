# SPDX-License-Identifier: Apache-2.0
"""Runs a firmware on this computer: the native port, or a simulated board.

firmware/platform/boards/*.json say how each board is run.
"""

from __future__ import annotations

import re
import select
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mcutrain.host.boards import board_description
from mcutrain.host.errors import TransportError
from mcutrain.host.processes import ending_with_parent
from mcutrain.host.waiting import LONGEST_TICK_S, Waiting

START_TIMEOUT_S = 60.0  # on a busy computer too


@contextmanager
def simulate(board: str, elf: Path, plugin_args: Sequence[str] = ()) -> Iterator[str]:
    """Run `elf` as `board` says; gives the path of its port, and stops it at the end.

    The firmware may take a second until it answers; Device.open repeats its hello. `plugin_args`
    are appended to the command. The process also ends when this one dies. A TransportError that
    comes up in the context is replaced by what the process said, if it has ended by itself.
    """
    process = _start(board, elf, plugin_args)
    try:
        port = _await_port(board, process)
        try:
            yield port
        except TransportError as error:
            words = _last_words(process)
            if words is None:
                raise
            raise TransportError(f"{board} stopped: {words}") from error
    finally:
        process.terminate()  # QEMU and its plugins finish in order on SIGTERM
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _last_words(process: subprocess.Popen[bytes]) -> str | None:
    """The first line a process has printed since, or its exit status; None if it is running."""
    try:
        status = process.wait(0.5)
    except subprocess.TimeoutExpired:
        return None
    output = process.stdout.read() if process.stdout is not None else b""
    return _first_line(output) or f"exit status {status}"


def _first_line(output: bytes) -> str:
    """The first line with a word in it; sanitizers begin with a row of signs."""
    lines = output.decode(errors="replace").splitlines()
    return next((line.strip() for line in lines if any(map(str.isalpha, line))), "")


def _start(board: str, elf: Path, plugin_args: Sequence[str]) -> subprocess.Popen[bytes]:
    simulation = board_description(board)["simulation"]
    command = [part.replace("$ELF", str(elf.resolve())) for part in simulation["command"]]
    if not elf.is_file():
        raise TransportError(f"{elf}: there is no such firmware; build it first")
    if shutil.which(command[0]) is None:
        hint = f"run: sudo apt-get install {simulation['apt']}" if simulation["apt"] else "build it"
        raise TransportError(f"{command[0]} cannot be run; {hint}")
    return subprocess.Popen(
        [*command, *plugin_args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        start_new_session=True,  # Ctrl-C is for this program, which still talks to the device
        preexec_fn=ending_with_parent(),
    )


def _await_port(board: str, process: subprocess.Popen[bytes]) -> str:
    """The path that the process announces; TransportError with its words if it does not."""
    pattern = re.compile(board_description(board)["simulation"]["port_pattern"], re.M)
    assert process.stdout is not None
    waiting = Waiting(START_TIMEOUT_S)
    output = b""
    while waiting.left_s() > 0:
        if not select.select([process.stdout], [], [], LONGEST_TICK_S)[0]:
            continue
        data = process.stdout.read(4096)
        output += data
        announced = pattern.search(output.decode(errors="replace"))
        if announced:
            return announced.group(1)
        if not data:
            break
    raise TransportError(f"{board} did not start: {_first_line(output) or 'no output'}")
