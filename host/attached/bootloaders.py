# SPDX-License-Identifier: Apache-2.0
"""Bootloaders at a serial port, by what they print and by their answer to a greeting."""

from __future__ import annotations

import re
import time

from mcutrain.host.errors import TransportError
from mcutrain.host.link.transport import SerialTransport, Transport

BAUD = 115200  # of the ROM of an ESP32, and of Optiboot on most boards
PRINTS_S = 0.3  # after the reset that opening a port makes
ANSWER_S = 0.15
HEARD_BYTES = 4096
ESP32 = (
    "an ESP32 in its ROM bootloader: press reset without the BOOT button, or flash it with "
    "`mcutrain flash`"
)
OPTIBOOT = "an AVR in its bootloader (Optiboot): flash it with `mcutrain flash`"
# What bootloaders print, and what is to be said of it.
_PRINTED = (
    (re.compile(rb"DOWNLOAD_BOOT|waiting for download|DOWNLOAD\(U"), ESP32),
    (
        re.compile(rb"invalid header: 0x|flash read err|No bootable app partitions"),
        "an ESP32 without a firmware: flash it with `mcutrain flash`",
    ),
)
# What they are greeted with, how their answer begins, and what is to be said. STK_GET_SYNC and
# CRC_EOP, STK_INSYNC and STK_OK: Atmel's AVR061. SYNC: Espressif's "Serial Protocol" of the ROM.
_GREETINGS = (
    (b"0 ", b"\x14\x10", OPTIBOOT),
    (b"0 ", b"\x14\x10", OPTIBOOT),
    (
        b"\xc0\x00\x08\x24" + bytes(5) + b"\x07\x07\x12\x20" + 32 * b"U" + b"\xc0",
        b"\xc0\x01\x08",
        ESP32,
    ),
)


class Listening(Transport):
    """A transport that keeps the first bytes that arrive."""

    def __init__(self, inner: Transport) -> None:
        self.name, self.inner, self.heard = inner.name, inner, bytearray()

    def write(self, data: bytes) -> None:
        self.inner.write(data)

    def read(self, timeout_s: float) -> bytes:
        data = self.inner.read(timeout_s)
        self.heard += data[: HEARD_BYTES - len(self.heard)]
        return data

    def discard(self) -> None:
        """Nothing: what a board prints as it starts is to be heard."""

    def close(self) -> None:
        self.inner.close()


def bootloader_told(heard: bytes) -> str | None:
    """What is said of a bootloader that prints this.

    >>> bootloader_told(b"rst:0x1 (POWERON_RESET),boot:0x3 (DOWNLOAD_BOOT(UART0))").split(":")[0]
    'an ESP32 in its ROM bootloader'
    >>> bootloader_told(b"login: ") is None
    True
    """
    return next((told for pattern, told in _PRINTED if pattern.search(heard)), None)


def bootloader_at(port: str) -> str | None:
    """What is said of the bootloader at a port, which is greeted; None if there is none."""
    try:
        with Listening(SerialTransport(port, BAUD)) as line:
            listen(line, PRINTS_S)
            for greeting, answer, told in _GREETINGS:
                begin = len(line.heard)
                line.write(greeting)
                listen(line, ANSWER_S)
                if line.heard[begin:].startswith(answer):
                    return told
            return bootloader_told(bytes(line.heard))
    except TransportError:
        return None


def listen(line: Transport, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        line.read(left)
