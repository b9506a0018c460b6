# SPDX-License-Identifier: Apache-2.0
"""What the host asks of an emulator: how it is started, what it counts, and what it can show."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mcutrain.host.simulation.counts import Counting, Unit
from mcutrain.host.simulation.flash_image import FlashGeometry


@dataclass(frozen=True)
class Missing:
    """Something that an emulator needs and that is not installed; ``remedy`` installs it."""

    name: str
    remedy: str


class Emulator(ABC):
    """Runs the firmware of a board as a process on this computer, until SIGTERM.

    The process prints a line with the path of its port, which ``port_pattern`` finds. What a board
    tells its emulator stands under ``simulation`` in the board's description.
    """

    title: ClassVar[str]  # how sentences name it
    port_pattern: ClassVar[str]  # of a line; its first group is the path
    counts: ClassVar[Unit | None] = None  # what ``counting_args`` counts; None for nothing
    counts_by_owner: ClassVar[bool] = False
    counts_kinds: ClassVar[bool] = False  # of instructions (host.simulation.cycles)
    caveat: ClassVar[str] = ""  # what the counts leave out, as the end of a sentence
    reads_memory: ClassVar[bool] = False  # of the running firmware, so that paint can be read

    def __init__(self, simulation: Mapping[str, Any]) -> None:
        self.simulation = simulation

    @abstractmethod
    def command(self, elf: Path) -> list[str]:
        """What runs a firmware. Raises BuildError if a program of the project's own, which it
        needs, does not compile, TransportError if what is installed cannot run this firmware."""

    @abstractmethod
    def missing(self) -> Iterator[Missing]:
        """What is not installed here."""

    @property
    def flash(self) -> FlashGeometry | None:
        """The flash of a board that has a store; None where the process makes its images itself, or
        there is none."""
        found = self.simulation.get("flash")
        return None if found is None else FlashGeometry(**found)

    def flash_args(self, image: Path) -> list[str]:
        """What is added to the command so that the board's flash is an image; only asked for boards
        that have ``flash``."""
        raise NotImplementedError

    def flash_environment(self, image: Path) -> dict[str, str]:
        """What is added to the environment for the same."""
        return {}

    def counting_args(self, counting: Counting) -> list[str]:
        """What is added to the command so that it counts; only asked for what it can count.
        Raises BuildError as ``command`` does."""
        raise NotImplementedError

    def memory_args(self, folder: Path) -> list[str]:
        """What is added to the command so that ``read_memory`` can ask it, by files in a folder
        that is empty; only if it ``reads_memory``."""
        raise NotImplementedError

    def read_memory(self, folder: Path, address: int, nbytes: int) -> bytes:
        """Bytes of the running firmware, as its core sees them. Raises TransportError."""
        raise NotImplementedError
