# SPDX-License-Identifier: Apache-2.0
"""Where a model can run: serial ports of this computer, and boards it can simulate."""

from __future__ import annotations

import shutil
from typing import Any

from serial.tools import list_ports

from mcutrain.host.boards import board_description, board_names, real_board_names


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
    here = sorted(target_name(board) for board in board_names())
    return ["reference", *here, *(f"board:{board}" for board in real_board_names())]


def target_name(board: str) -> str:
    return board if board == "native" else f"sim:{board}"


def simulated(board: str) -> dict[str, Any]:
    description = board_description(board)
    needs = [f"{description['build']['toolchain']}gcc", description["simulation"]["command"][0]]
    missing = [n for n in needs if not n.startswith("$") and shutil.which(n) is None]
    return {
        "target": target_name(board),
        "description": description["name"],
        "missing": missing,
    }
