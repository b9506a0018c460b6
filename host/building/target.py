# SPDX-License-Identifier: Apache-2.0
"""Where a plan runs: the NumPy reference, this computer, a simulated board, a real one, or a core
alone."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import Enum

from mcutrain.host.boards import (
    REAL,
    UNICORN,
    board_description,
    board_names,
    chip_of,
    like,
    near,
    real_board_names,
)
from mcutrain.host.building.cores import CORES, Core, core_named
from mcutrain.host.extras import require_extra
from mcutrain.trainer.chip import GENERIC, Chip
from mcutrain.trainer.errors import Error

REFERENCE = "reference"
NATIVE = "native"
SIM = "sim:"
BOARD = "board:"


class TargetKind(Enum):
    REFERENCE = "reference"
    NATIVE = "native"
    SIMULATED = "simulated"
    REAL = "real"
    CORE = "core"  # executed by Unicorn, in this process


@dataclass(frozen=True)
class Target:
    """A place to run, by its name on the command line. ``board`` is the name of its folders in the
    cache too."""

    name: str
    kind: TargetKind
    board: str

    @classmethod
    def parse(cls, name: str) -> Target:
        """``reference``, ``native``, ``sim:BOARD``, ``board:BOARD`` or ``unicorn:CORE``. Raises
        Error naming the targets there are, first those that are like the name."""
        if name == REFERENCE:
            return cls(name, TargetKind.REFERENCE, "")
        if name == NATIVE:
            return cls(name, TargetKind.NATIVE, NATIVE)
        simulated = [board for board in board_names() if board != NATIVE]
        if name.startswith(SIM) and name.removeprefix(SIM) in simulated:
            return cls(name, TargetKind.SIMULATED, name.removeprefix(SIM))
        real = real_board_names()
        if name.startswith(BOARD) and name.removeprefix(BOARD) in real:
            return cls(name, TargetKind.REAL, REAL + name.removeprefix(BOARD))
        if name.startswith(UNICORN):
            core = core_named(name.removeprefix(UNICORN)).name
            return cls(name, TargetKind.CORE, f"unicorn-{core}")
        boards = [*(SIM + board for board in simulated), *(BOARD + board for board in real)]
        if name in simulated or name in real:
            raise Error(f"unknown target '{name}'{meant(name, boards)}")
        every = [REFERENCE, NATIVE, *boards, *(UNICORN + core for core in CORES)]
        asked = near(name, every) or near_board(name, [*simulated, *real], boards)
        raise Error(f"unknown target '{name}': {asked}give {', '.join(every)}")

    @classmethod
    def of_board(cls, board: str) -> Target:
        """The target whose board has this id (host/boards.py)."""
        if board.startswith(REAL):
            return cls.parse(BOARD + board.removeprefix(REAL))
        return cls.parse(board if board == NATIVE else SIM + board)

    @property
    def chip(self) -> Chip:
        """What a plan must know of it: the reference runs plans for any chip."""
        if self.kind is TargetKind.REFERENCE:
            return GENERIC
        return self.core.chip if self.kind is TargetKind.CORE else chip_of(self.board)

    @property
    def core(self) -> Core:
        """Of a target that is a core."""
        return core_named(self.name.removeprefix(UNICORN))

    @property
    def has_link(self) -> bool:
        """Whether the firmware is a process with a port. The native port has a pseudo-terminal,
        and its bytes are counted in the map of a linker as Linux has it: on other systems the
        model's functions alone run, in this process."""
        if self.kind is TargetKind.NATIVE:
            return sys.platform == "linux"
        return self.kind in (TargetKind.SIMULATED, TargetKind.REAL)

    def require(self) -> None:
        """Raises Error, with the command that helps, if a package is not there that it needs to run
        here."""
        if self.kind is TargetKind.CORE:
            require_extra("unicorn")
        elif self.runs_here and self.has_link:
            require_extra("build")

    @property
    def runs_here(self) -> bool:
        """Whether what is built for it is run on this computer: as a process, or simulated."""
        return self.kind not in (TargetKind.REFERENCE, TargetKind.REAL)

    @property
    def env(self) -> str:
        """The environment of platformio.ini that builds for it."""
        if self.kind is TargetKind.REAL:
            return self.board.removeprefix(REAL)
        return NATIVE if self.kind is TargetKind.NATIVE else f"sim_{self.board}"

    @property
    def toolchain_prefix(self) -> str:
        """Of the system's compiler for it; a real board's is PlatformIO's own."""
        return str(board_description(self.board)["build"]["toolchain"])


def check_runs_here(target: Target) -> None:
    """Raises Error for a real board, which is not run on this computer."""
    if target.kind is TargetKind.REAL:
        raise Error(
            f"{target.name} is not run on this computer: flash it with `mcutrain flash --board "
            f"{target.env}`, then give --port in place of --target"
        )


def meant(board: str, targets: list[str]) -> str:
    """What is said behind a board's name that lacks what makes it a target."""
    return f": give {' or '.join(of_board(board, targets))}"


def of_board(board: str, targets: list[str]) -> list[str]:
    return [each for each in targets if each.endswith(f":{board}")]


def near_board(name: str, boards: list[str], targets: list[str]) -> str:
    """The question behind a name that is like those of boards, without what makes it a target."""
    found = [each for board in like(name, boards) for each in of_board(board, targets)]
    return f"did you mean {' or '.join(dict.fromkeys(found))}? " if found else ""
