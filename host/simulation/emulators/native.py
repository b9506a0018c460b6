# SPDX-License-Identifier: Apache-2.0
"""The native port: the firmware is a program of this computer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mcutrain.host.simulation.emulators.emulator import Emulator, Missing


class Native(Emulator):
    """It prints the path of its pseudo-terminal and nothing else."""

    title = "this computer"
    port_pattern = r"^(/dev/\S+)$"

    def command(self, elf: Path) -> list[str]:
        return [str(elf)]

    def flash_args(self, image: Path) -> list[str]:
        return []

    def flash_environment(self, image: Path) -> dict[str, str]:
        return {"MCT_FLASH_IMAGE": str(image)}

    def missing(self) -> Iterator[Missing]:
        yield from ()
