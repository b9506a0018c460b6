# SPDX-License-Identifier: Apache-2.0
"""What is attached by USB: boards, the adapters on them, and bootloaders that wait for a firmware.

Ids are those of the makers' own lists: raspberrypi/usb-pid, espressif/usb-pids, the ``boards.txt``
of Arduino's cores, adafruit/tinyuf2, ST's AN2606 and TN1235.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mcutrain.host.real_boards import real_boards

SYSTEM_DEVICES = Path("/sys/bus/usb/devices")  # of Linux; elsewhere only serial ports are seen
DOUBLE_TAP = "press its reset button twice to enter the bootloader, and once to leave it"
ADAFRUIT = 0x239A
APPLICATION = 0x8000  # this bit of a product is 0 in a bootloader of Adafruit's, and of Arduino's


@dataclass(frozen=True)
class UsbDevice:
    """Vendor and product of a USB device, and what it says of itself."""

    vendor: int
    product: int
    name: str = ""

    @property
    def id(self) -> str:
        """As lists of USB devices have it.

        >>> UsbDevice(0x2E8A, 3).id
        '2e8a:0003'
        """
        return f"{self.vendor:04x}:{self.product:04x}"


@dataclass(frozen=True)
class Known:
    """What a USB id stands for: ``boards`` of mcutrain that have it, by their names. A bootloader
    runs no firmware, and ``advice`` says what to do with it."""

    name: str
    boards: tuple[str, ...] = ()
    is_bootloader: bool = False
    advice: str = ""


# Bootloaders beside those that the boards' own descriptions name.
BOOTLOADERS = {
    (0x0483, 0xDF11): Known(
        "STM32 in its DFU bootloader",
        is_bootloader=True,
        advice="flash it with `mcutrain flash --tool dfu-util`, or put BOOT0 to 0 and reset it",
    ),
    (0x2E8A, 0x0003): Known(
        "RP2040 in its bootloader (BOOTSEL)",
        is_bootloader=True,
        advice="flash it with `mcutrain flash`, or plug it in again without the button",
    ),
    (0x2E8A, 0x000F): Known(
        "RP2350 in its bootloader (BOOTSEL)",
        is_bootloader=True,
        advice="plug it in again without the button",
    ),
    (0x303A, 0x0002): Known(
        "ESP32-S2 in its ROM bootloader",
        is_bootloader=True,
        advice="press reset without the BOOT button",
    ),
    (0x03EB, 0x6124): Known(
        "SAM-BA bootloader of a Microchip SAM",
        is_bootloader=True,
        advice="flash it with bossac, or press reset",
    ),
    (0x2341, 0x005A): Known(
        "Arduino Nano 33 BLE in its bootloader",
        is_bootloader=True,
        advice=f"flash it with `mcutrain flash`; {DOUBLE_TAP}",
    ),
    (0x2341, 0x004D): Known(
        "Arduino Zero in its SAM-BA bootloader", is_bootloader=True, advice=DOUBLE_TAP
    ),
    (0x2341, 0x0057): Known(
        "Arduino Nano 33 IoT in its SAM-BA bootloader", is_bootloader=True, advice=DOUBLE_TAP
    ),
    (0x16C0, 0x0478): Known(
        "Teensy in its bootloader (HalfKay)",
        is_bootloader=True,
        advice="flash it with `mcutrain flash`, or plug it in again",
    ),
}
# What several boards have in common, and what is no board of mcutrain's.
OTHERS = {
    (0x0483, 0x374B): "ST-LINK/V2-1",
    (0x0483, 0x374E): "ST-LINK/V3",
    (0x0483, 0x374F): "ST-LINK/V3",
    (0x0483, 0x3753): "ST-LINK/V3",
    (0x0D28, 0x0204): "DAPLink, as of a micro:bit",
    (0x10C4, 0xEA60): "CP210x adapter",
    (0x1A86, 0x7523): "CH340 adapter",
    (0x1A86, 0x55D4): "CH9102 adapter",
    (0x0403, 0x6001): "FT232R adapter",
    (0x0403, 0x6010): "FT2232 adapter",
    (0x067B, 0x2303): "PL2303 adapter",
    (0x303A, 0x1001): "ESP32 with USB Serial/JTAG",
    (0x2E8A, 0x000A): "RP2040",
    (0x2E8A, 0x000C): "Raspberry Pi Debug Probe",
    (0x2341, 0x0043): "Arduino Uno",
    (0x2341, 0x0001): "Arduino Uno",
    (0x2A03, 0x0043): "Arduino Uno",
}


@cache
def described() -> dict[tuple[int, int], Known]:
    """What the descriptions of boards say: an id that several boards have names them all."""
    found: dict[tuple[int, int], Known] = {}
    for board in real_boards():
        for each, is_bootloader in (
            *((usb, False) for usb in board.ports),
            *((usb, True) for usb in board.bootloaders),
        ):
            key = each.vendor, each.product
            before = found.get(key, Known(each.name))
            found[key] = Known(each.name, (*before.boards, board.name), is_bootloader)
    return found


def known(device: UsbDevice) -> Known | None:
    """What a device is; None if nothing here knows it.

    >>> known(UsbDevice(0x2E8A, 0x0003)).name
    'RP2040 in its bootloader (BOOTSEL)'
    >>> known(UsbDevice(0x1D6B, 0x0002)) is None
    True
    """
    key = device.vendor, device.product
    boards = described()[key].boards if key in described() else ()
    if key in BOOTLOADERS:
        found = BOOTLOADERS[key]
        return Known(found.name, boards, True, found.advice)
    if key in OTHERS:
        return Known(OTHERS[key], boards)
    if key in described():
        return described()[key]
    if device.vendor == ADAFRUIT and not device.product & APPLICATION:
        return Known("a UF2 bootloader of Adafruit's", (), True, DOUBLE_TAP)
    return None


def usb_devices(folder: Path | None = None) -> Iterator[UsbDevice]:
    """All USB devices that the system tells of: on Linux; none elsewhere."""
    folder = SYSTEM_DEVICES if folder is None else folder
    for each in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            vendor, product = (
                int((each / f"id{n}").read_text(encoding="ascii"), 16)
                for n in ("Vendor", "Product")
            )
        except (OSError, ValueError):  # an interface, or unplugged meanwhile
            continue
        yield UsbDevice(vendor, product, read_name(each / "product"))


def read_name(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
    return "".join(c for c in text if c.isprintable())
