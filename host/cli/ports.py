# SPDX-License-Identifier: Apache-2.0
"""Where a model can run: serial ports of this computer, and boards it can simulate."""

from __future__ import annotations

import shutil
from typing import Any

from mcutrain.host.attached.survey import asked, serial_ports, waiting_boards
from mcutrain.host.boards import board_description, board_names, real_board_names
from mcutrain.host.simulation.emulators.emulator import Missing
from mcutrain.host.simulation.emulators.known import emulator_of


def all_ports(baud: int, *, asks: bool) -> dict[str, list[dict[str, Any]]]:
    """``ports``: each serial port, with what answers there if it is to be asked; ``waiting``:
    boards in a bootloader without a port; ``simulated``: targets, and what they lack."""
    ports = serial_ports()
    return {
        "ports": [port.to_json() for port in (asked(ports, baud) if asks else ports)],
        "waiting": [board.to_json() for board in waiting_boards(ports)],
        "simulated": [simulated(board) for board in board_names()],
    }


def port_names() -> list[str]:
    """The devices of this computer's serial ports."""
    return [port.device for port in serial_ports()]


def target_names() -> list[str]:
    """All that --target takes."""
    here = sorted(target_name(board) for board in board_names())
    return ["reference", *here, *(f"board:{board}" for board in real_board_names())]


def target_name(board: str) -> str:
    return board if board == "native" else f"sim:{board}"


def simulated(board: str) -> dict[str, Any]:
    """A board, what its emulator counts, and what is not installed of what it needs."""
    description, absent = board_description(board), missing(board)
    counts = emulator_of(board).counts
    return {
        "target": target_name(board),
        "description": description["name"],
        "emulator": description["simulation"]["emulator"],
        "counts": None if counts is None else counts.value,
        "missing": [each.name for each in absent],
        "remedies": list(dict.fromkeys(each.remedy for each in absent)),
    }


def missing(board: str) -> list[Missing]:
    """What is not installed of compiler and emulator."""
    built = board_description(board)["build"]
    compiler = f"{built['toolchain']}gcc"
    has_compiler = shutil.which(compiler) is not None
    needed = [] if has_compiler else [Missing(compiler, f"sudo apt-get install {built['apt']}")]
    return [*needed, *emulator_of(board).missing()]
