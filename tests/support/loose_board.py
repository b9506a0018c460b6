# SPDX-License-Identifier: Apache-2.0
"""A native firmware behind a cable that comes loose: it is unplugged, reset or without power when
so many bytes have passed."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import threading
import time
import tty
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mcutrain.host.system.here import start
from tests.support.noisy_line import DELAY_S, Way

CUT, RESET, POWER = "cut", "reset", "power"  # the cable; the board; both
TROUBLES = (CUT, RESET, POWER)
AWAY_S = 0.02  # for which a port is not there

Trouble = tuple[int, str]  # bytes, of both ways, after which it happens, and what


class LooseBoard:
    """Serves the firmware at ``port``, a link that leads to another terminal each time that it is
    plugged in. ``happened`` counts the troubles by kind, ``faults`` those of single bytes, each of
    which is befallen ``per_byte``."""

    def __init__(
        self, elf: Path, folder: Path, troubles: Iterator[Trouble], per_byte: float = 0.0
    ) -> None:
        self.port = folder / "board"
        self.happened: Counter[str] = Counter()
        self._elf, self._troubles = elf, troubles
        self._next = next(troubles, None)
        self._passed = 0
        self.returns = True  # it is plugged in again
        self.faults: Counter[str] = Counter()
        self._ways = [Way(seed, per_byte, 0.0, self.faults) for seed in range(2)]
        self._ends = os.pipe()
        self._power_on()
        self._plug_in()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _power_on(self) -> None:
        self._process = start(
            [str(self._elf)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0
        )
        assert self._process.stdout is not None
        path = self._process.stdout.readline().decode().strip()
        self._device = os.open(path, os.O_RDWR | os.O_NOCTTY)

    def _power_off(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        os.close(self._device)

    def _plug_in(self) -> None:
        self._host, self._slave = pty.openpty()
        tty.setraw(self._slave)
        new = self.port.with_name("board.new")
        new.symlink_to(os.ttyname(self._slave))
        new.replace(self.port)

    def _unplug(self) -> None:
        self.port.unlink(missing_ok=True)
        os.close(self._host)
        os.close(self._slave)

    def _serve(self) -> None:
        while True:
            ends = {self._host: self._device, self._device: self._host}
            is_late = any(way.is_waiting for way in self._ways)
            watched = [*ends, self._ends[0]]
            ready = select.select(watched, [], [], DELAY_S if is_late else None)[0]
            if self._ends[0] in ready:
                return
            for end, way in zip(ends, self._ways, strict=True):
                data = b""
                with suppress(OSError):
                    data = os.read(end, 4096) if end in ready else b""
                way.put(data)
                if self._pass_on(way.take(), ends[end]):
                    break

    def _pass_on(self, data: bytes, to: int) -> bool:
        """Pass bytes on up to the next trouble; whether it has happened."""
        left = len(data) if self._next is None else self._next[0] - self._passed
        with suppress(OSError):
            os.write(to, data[:left])
        if self._next is None or len(data) < left:
            self._passed += len(data)
            return False
        what, self._passed = self._next[1], 0
        self._next = next(self._troubles, None)
        self.happened[what] += 1
        self._befall(what)
        return True

    def _befall(self, what: str) -> None:
        if what != RESET:
            self._unplug()
        if what != CUT:
            self._power_off()
        time.sleep(AWAY_S)
        if what != CUT:
            self._power_on()
        if what != RESET:
            self._plug_in()
            if not self.returns:
                self.port.rename(self.port.with_name("elsewhere"))

    def close(self) -> None:
        os.write(self._ends[1], b".")
        self._thread.join()
        self._power_off()
        self._unplug()
        for end in self._ends:
            os.close(end)


@contextmanager
def loose_board(
    elf: Path, folder: Path, troubles: Iterable[Trouble] = (), per_byte: float = 0.0
) -> Iterator[LooseBoard]:
    board = LooseBoard(elf, folder, iter(troubles), per_byte)
    try:
        yield board
    finally:
        board.close()
