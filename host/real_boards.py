# SPDX-License-Identifier: Apache-2.0
"""Boards on a desk: what PlatformIO calls them, how they are flashed, and how USB names them.

firmware/platform/real_boards/NAME.json describe them, with the keys of the boards that run here
(``build``, ``upload``), no ``simulation``, and two more: ``platformio`` and ``usb``. Each is an
environment of platformio.ini by the same name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mcutrain.host.boards import REAL, board_description, real_board_names


@dataclass(frozen=True)
class UsbId:
    """A USB device as its descriptor says, and what it is in words."""

    vendor: int
    product: int
    name: str


@dataclass(frozen=True)
class RealBoard:
    """A board that a firmware can be made for.

    ``name`` is that of its environment in platformio.ini; ``platform``, ``board`` and ``framework``
    are PlatformIO's. ``ports`` are the USB devices by which it, or the adapter on it, is a serial
    port; several boards can share one. ``bootloaders`` are those that it is while it waits for a
    firmware. ``protocol`` is PlatformIO's upload protocol. Of the other ways to flash it, those
    that it has: OpenOCD's file for it, the name of its chip for esptool or AVRDUDE, the label of
    the drive that takes a firmware as a file, and the family of such a file in UF2.
    """

    name: str
    title: str
    url: str
    platform: str
    board: str
    framework: str
    ports: tuple[UsbId, ...]
    bootloaders: tuple[UsbId, ...]
    protocol: str
    openocd: str | None
    esptool: str | None
    avrdude: str | None
    drive: str | None
    uf2_family: int | None

    @property
    def id(self) -> str:
        """Its id for the functions of host/boards.py, such as ``chip_of``."""
        return REAL + self.name


def real_board(name: str) -> RealBoard:
    """The real board of this name; TransportError naming those that are like it, if there is
    none."""
    described = board_description(REAL + name)
    found, upload, usb = described["platformio"], described["upload"], described["usb"]
    family = upload.get("uf2_family")
    return RealBoard(
        name=name,
        title=described["name"],
        url=described["url"],
        platform=found["platform"],
        board=found["board"],
        framework=found["framework"],
        ports=usb_ids(usb["port"]),
        bootloaders=usb_ids(usb["bootloader"]),
        protocol=upload["protocol"],
        openocd=upload.get("openocd"),
        esptool=upload.get("esptool"),
        avrdude=upload.get("avrdude"),
        drive=upload.get("drive"),
        uf2_family=None if family is None else int(family, 16),
    )


def real_boards() -> list[RealBoard]:
    """All of them, by name."""
    return [real_board(name) for name in real_board_names()]


def usb_ids(described: list[dict[str, Any]]) -> tuple[UsbId, ...]:
    return tuple(UsbId(int(d["vendor"], 16), int(d["product"], 16), d["name"]) for d in described)
