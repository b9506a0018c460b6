# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C that takes effect between two steps, so that the device is left in a known state."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """The user has asked to stop."""


class Interrupt:
    """Whether the user has asked to stop."""

    asked = False

    def check(self) -> None:
        """Raises Interrupted if so."""
        if self.asked:
            raise Interrupted

    def ask(self, number: int, frame: FrameType | None) -> None:
        """The signal's handler; a second one interrupts at once."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def deferred(wanted: bool) -> Iterator[Interrupt]:
    """Ctrl-C only asks, if ``wanted``; outside the main thread it stays as it is."""
    interrupt = Interrupt()
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    former = signal.signal(signal.SIGINT, interrupt.ask)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, former)
