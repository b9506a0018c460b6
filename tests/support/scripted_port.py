# SPDX-License-Identifier: Apache-2.0
"""A pseudo-terminal with something at its other end, and lists of ports as pyserial gives them."""

from __future__ import annotations

import os
import pty
import select
import threading
import tty
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo


@contextmanager
def scripted(
    answers: Mapping[bytes, bytes] | None = None, prints: bytes = b""
) -> Iterator[tuple[str, bytearray]]:
    """Its path, and what it was sent. It prints something when it is first written to, as a board
    does after a reset, and answers to what holds a key."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    received, ends = bytearray(), os.pipe()

    def serve() -> None:
        is_new, seen = True, 0
        while ends[0] not in (ready := select.select([master, ends[0]], [], [])[0]):
            assert ready
            received.extend(os.read(master, 4096))
            if is_new and prints:
                os.write(master, prints)
            is_new = False
            for asked, answer in (answers or {}).items():
                if asked in received[seen:]:
                    os.write(master, answer)
                    seen = len(received)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield os.ttyname(slave), received
    finally:
        os.write(ends[1], b".")
        thread.join()
        for fd in (master, slave, *ends):
            os.close(fd)


def listed(
    monkeypatch: pytest.MonkeyPatch, *ports: tuple[str, int | None, int | None, str]
) -> None:
    """Let pyserial list these ports: device, vendor, product and description of each."""
    found = []
    for device, vendor, product, description in ports:
        info = ListPortInfo(device)
        info.vid, info.pid, info.description, info.product = vendor, product, description, ""
        found.append(info)
    monkeypatch.setattr(list_ports, "comports", lambda: found)
