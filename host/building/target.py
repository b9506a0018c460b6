# SPDX-License-Identifier: Apache-2.0
"""Where a plan runs: the NumPy reference, the native port, a simulated board, or a real one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mcutrain.host.boards import (
    REAL,
    board_description,
    board_names,
    chip_of,
    near,
    real_board_names,
)
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


@dataclass(frozen=True)
class Target:
    """A place to run, by its name on the command line."""

    name: str
    kind: TargetKind
    board: str

    @classmethod
    def parse(cls, name: str) -> Target:
        """``reference``, ``native``, ``sim:BOARD`` or ``board:BOARD``. Raises Error naming the
        targets there are, first those that are like the name."""
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
        known = [*(SIM + board for board in simulated), *(BOARD + board for board in real)]
        if name in simulated or name in real:
            raise Error(f"unknown target '{name}'{meant(name, known)}")
        every = [REFERENCE, NATIVE, *known]
        raise Error(f"unknown target '{name}': {near(name, every)}give {', '.join(every)}")

    @classmethod
    def of_board(cls, board: str) -> Target:
        """The target whose board has this id (host/boards.py)."""
        if board.startswith(REAL):
            return cls.parse(BOARD + board.removeprefix(REAL))
        return cls.parse(board if board == NATIVE else SIM + board)

    @property
    def chip(self) -> Chip:
        """What a plan must know of it: the reference runs plans for any chip."""
        return GENERIC if self.kind is TargetKind.REFERENCE else chip_of(self.board)

    @property
    def runs_here(self) -> bool:
        """Whether a firmware built for it is run on this computer: in a process or simulated."""
        return self.kind in (TargetKind.NATIVE, TargetKind.SIMULATED)

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
    return f": give {' or '.join(each for each in targets if each.endswith(':' + board))}"
