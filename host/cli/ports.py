# SPDX-License-Identifier: Apache-2.0
"""Where a model can run: serial ports of this computer, and boards it can simulate."""

from __future__ import annotations

import shutil
from typing import Any

from serial.tools import list_ports

from mcutrain.host.boards import board_description, board_names
from mcutrain.host.simulation.emulators.emulator import Missing
from mcutrain.host.simulation.emulators.known import emulator_of


def serial_ports() -> dict[str, list[dict[str, Any]]]:
    """``ports``: device and description of each; ``simulated``: target and whether it can run."""
    return {
        "ports": [
            {"port": p.device, "description": p.description} for p in sorted(list_ports.comports())
        ],
        "simulated": [simulated(board) for board in board_names()],
    }


def port_names() -> list[str]:
    """The devices of this computer's serial ports."""
    return sorted(port.device for port in list_ports.comports())


def target_names() -> list[str]:
    """All that --target takes."""
    return ["reference", *sorted(target_name(board) for board in board_names())]


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
