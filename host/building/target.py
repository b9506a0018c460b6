# SPDX-License-Identifier: Apache-2.0
"""Where a plan runs: the NumPy reference, the native port, or a simulated board."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mcutrain.host.boards import board_description, board_names, chip_of
from mcutrain.trainer.chip import GENERIC, Chip
from mcutrain.trainer.errors import Error

REFERENCE = "reference"
NATIVE = "native"
SIM = "sim:"


class TargetKind(Enum):
    REFERENCE = "reference"
    NATIVE = "native"
    SIMULATED = "simulated"


@dataclass(frozen=True)
class Target:
    """A place to run, by its name on the command line."""

    name: str
    kind: TargetKind
    board: str

    @classmethod
    def parse(cls, name: str) -> Target:
        """``reference``, ``native`` or ``sim:BOARD``. Raises Error naming the boards there are."""
        boards = [board for board in board_names() if board != NATIVE]
        if name == REFERENCE:
            return cls(name, TargetKind.REFERENCE, "")
        if name == NATIVE:
            return cls(name, TargetKind.NATIVE, NATIVE)
        if name.startswith(SIM) and name.removeprefix(SIM) in boards:
            return cls(name, TargetKind.SIMULATED, name.removeprefix(SIM))
        known = ", ".join([REFERENCE, NATIVE, *(SIM + board for board in boards)])
        raise Error(f"unknown target '{name}': give {known}")

    @property
    def chip(self) -> Chip:
        """What a plan must know of it: the reference runs plans for any chip."""
        return GENERIC if self.kind is TargetKind.REFERENCE else chip_of(self.board)

    @property
    def env(self) -> str:
        """The environment of platformio.ini that builds for it."""
        return NATIVE if self.kind is TargetKind.NATIVE else f"sim_{self.board}"

    @property
    def toolchain_prefix(self) -> str:
        return str(board_description(self.board)["build"]["toolchain"])
