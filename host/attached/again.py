# SPDX-License-Identifier: Apache-2.0
"""The port of a device that was unplugged and is back: by its path, or, where the system gave it
another one, by what its USB adapter says of itself."""

from __future__ import annotations

from pathlib import Path

from serial.tools import list_ports

Identity = tuple[int, int, str]  # vendor, product, serial number


def usb_identity(port: str) -> Identity | None:
    """What tells the adapter of a port from others; None for other ports, and adapters without a
    serial number."""
    real = str(Path(port).resolve())
    for each in list_ports.comports():
        if each.device in (port, real) and each.vid is not None and each.serial_number:
            return each.vid, each.pid or 0, each.serial_number
    return None


def port_again(port: str, identity: Identity | None) -> str:
    """Where the device is now: ``port``, unless that is gone and its adapter is elsewhere."""
    if identity is None or Path(port).exists():
        return port
    for each in list_ports.comports():
        if (each.vid, each.pid or 0, each.serial_number) == identity:
            return str(each.device)
    return port
