# SPDX-License-Identifier: Apache-2.0
"""Where a model can run: serial ports of this computer, and boards it can simulate."""

from __future__ import annotations

import shutil
from typing import Any

from mcutrain.host.attached.survey import asked, serial_ports, waiting_boards
from mcutrain.host.boards import UNICORN, board_description, board_names, real_board_names
from mcutrain.host.building.compilers import cross_compiler, native_compiler
from mcutrain.host.building.cores import CORES
from mcutrain.host.building.target import Target, TargetKind
from mcutrain.host.errors import BuildError
from mcutrain.host.extras import is_there
from mcutrain.host.simulation.counts import Unit
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
        "cores": [core_target(name) for name in CORES],
    }


def port_names() -> list[str]:
    """The devices of this computer's serial ports."""
    return [port.device for port in serial_ports()]


def target_names() -> list[str]:
    """All that --target takes."""
    here = sorted(target_name(board) for board in board_names())
    cores = [f"{UNICORN}{name}" for name in CORES]
    return ["reference", *here, *cores, *(f"board:{board}" for board in real_board_names())]


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


def core_target(name: str) -> dict[str, Any]:
    """A core, and what is not installed of what it needs."""
    absent = missing_for(Target.parse(f"{UNICORN}{name}"))
    return {
        "target": f"{UNICORN}{name}",
        "description": f"the {name} alone, in this process",
        "emulator": "unicorn",
        "counts": Unit.INSTRUCTIONS.value,
        "missing": [each.name for each in absent],
        "remedies": list(dict.fromkeys(each.remedy for each in absent)),
    }


def missing_for(target: Target) -> list[Missing]:
    """What is not installed of what a target needs."""
    if target.kind in (TargetKind.REFERENCE, TargetKind.REAL):
        return []  # PlatformIO fetches what a real board needs
    if target.has_link:
        return missing(target.board)
    pip = "pip install 'mcutrain[{}]'"
    if target.kind is not TargetKind.CORE:
        has_compiler = native_compiler() is not None
        return [] if has_compiler else [Missing("a C compiler", pip.format("zig"))]
    found = [] if is_there("unicorn") else [Missing("unicorn", pip.format("unicorn"))]
    try:
        cross_compiler(target.core)
    except BuildError:
        found.append(Missing(f"{target.core.prefix}gcc", pip.format("zig")))
    return found


def missing(board: str) -> list[Missing]:
    """What is not installed of compiler and emulator."""
    built = board_description(board)["build"]
    compiler = f"{built['toolchain']}gcc"
    has_compiler = shutil.which(compiler) is not None
    needed = [] if has_compiler else [Missing(compiler, f"sudo apt-get install {built['apt']}")]
    return [*needed, *emulator_of(board).missing()]
