# SPDX-License-Identifier: Apache-2.0
"""Where a plan runs: the NumPy reference, this computer, a simulated board, or a core alone."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import Enum

from mcutrain.host.boards import UNICORN, board_description, board_names, chip_of
from mcutrain.host.building.cores import CORES, Core, core_named
from mcutrain.host.extras import require_extra
from mcutrain.trainer.chip import GENERIC, Chip
from mcutrain.trainer.errors import Error

REFERENCE = "reference"
NATIVE = "native"
SIM = "sim:"


class TargetKind(Enum):
    REFERENCE = "reference"
    NATIVE = "native"
    SIMULATED = "simulated"
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
        """``reference``, ``native``, ``sim:BOARD`` or ``unicorn:CORE``. Raises Error naming those
        there are."""
        boards = [board for board in board_names() if board != NATIVE]
        if name == REFERENCE:
            return cls(name, TargetKind.REFERENCE, "")
        if name == NATIVE:
            return cls(name, TargetKind.NATIVE, NATIVE)
        if name.startswith(SIM) and name.removeprefix(SIM) in boards:
            return cls(name, TargetKind.SIMULATED, name.removeprefix(SIM))
        if name.startswith(UNICORN):
            core = core_named(name.removeprefix(UNICORN)).name
            return cls(name, TargetKind.CORE, f"unicorn-{core}")
        others = [*(SIM + board for board in boards), *(UNICORN + core for core in CORES)]
        known = ", ".join([REFERENCE, NATIVE, *others])
        raise Error(f"unknown target '{name}': give {known}")

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
        return self.kind is TargetKind.SIMULATED

    def require(self) -> None:
        """Raises Error, with the command that helps, if a package that it needs is not there."""
        if self.kind is TargetKind.CORE:
            require_extra("unicorn")
        elif self.has_link:
            require_extra("build")

    @property
    def env(self) -> str:
        """The environment of platformio.ini that builds for it."""
        return NATIVE if self.kind is TargetKind.NATIVE else f"sim_{self.board}"

    @property
    def toolchain_prefix(self) -> str:
        return str(board_description(self.board)["build"]["toolchain"])
