# SPDX-License-Identifier: Apache-2.0
"""What is attached to this computer: its serial ports, with what answers there, and boards that
wait for a firmware without a port."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from serial.tools import list_ports

from mcutrain.host.attached.asking import Answer, State, ask
from mcutrain.host.attached.usb import Known, UsbDevice, known, usb_devices
from mcutrain.host.defaults import BAUD

NOT_ASKED = Answer(State.NOT_ASKED, "not asked")


@dataclass(frozen=True)
class SerialPort:
    """A serial port of this computer: ``usb`` is what it belongs to, if that is a USB device, and
    ``known`` what that is."""

    device: str
    description: str
    usb: UsbDevice | None
    known: Known | None
    answer: Answer = NOT_ASKED

    @property
    def title(self) -> str:
        """What it is in words."""
        return self.known.name if self.known is not None else self.description

    def __str__(self) -> str:
        return f"{self.device} ({self.title}): {self.answer.told}"

    def to_json(self) -> dict[str, Any]:
        return {
            "port": self.device,
            "description": self.description,
            "usb": None if self.usb is None else self.usb.id,
            "what": None if self.known is None else self.known.name,
            "boards": [] if self.known is None else list(self.known.boards),
            **self.answer.to_json(),
        }


@dataclass(frozen=True)
class Waiting:
    """A board in a bootloader that is no serial port."""

    usb: UsbDevice
    known: Known

    def __str__(self) -> str:
        return f"{self.known.name} ({self.usb.id}): {self.known.advice}"

    def to_json(self) -> dict[str, Any]:
        boards = list(self.known.boards)
        told = {"what": self.known.name, "boards": boards, "told": self.known.advice}
        return {"usb": self.usb.id, **told}


def serial_ports() -> list[SerialPort]:
    """This computer's serial ports by name; nothing is opened."""
    found = []
    for port in sorted(list_ports.comports(), key=lambda each: each.device):
        has_usb = port.vid is not None and port.pid is not None
        usb = UsbDevice(port.vid, port.pid, port.product or "") if has_usb else None
        about = None if usb is None else known(usb)
        found.append(SerialPort(port.device, port.description, usb, about))
    return found


def asked(ports: list[SerialPort], baud: int = BAUD) -> list[SerialPort]:
    """The ports with what answers at each; all are asked at once. A bootloader is not asked."""
    if not ports:
        return []
    with ThreadPoolExecutor(len(ports), "ask") as pool:
        answers = pool.map(lambda port: answer_of(port, baud), ports)
        return [
            SerialPort(p.device, p.description, p.usb, p.known, answer)
            for p, answer in zip(ports, answers, strict=True)
        ]


def answer_of(port: SerialPort, baud: int) -> Answer:
    if port.known is not None and port.known.is_bootloader:
        return Answer(State.BOOTLOADER, port.known.advice or "flash it with `mcutrain flash`")
    return ask(port.device, baud)


def waiting_boards(ports: list[SerialPort]) -> list[Waiting]:
    """Boards in a bootloader that is none of the ``ports``."""
    seen = {port.usb.id for port in ports if port.usb is not None}
    return [
        Waiting(device, about)
        for device in usb_devices()
        if (about := known(device)) is not None and about.is_bootloader and device.id not in seen
    ]
