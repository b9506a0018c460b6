# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and other signals to end, which take effect between two steps: the device is left in a
known state, and what was learned is kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mcutrain.host.system.here import stop_signals


class Interrupted(Exception):
    """The user, or the system, has asked to stop."""


class StopTraining(Exception):
    """Raised by whoever is told of a run's progress, to end it: what was learned so far is kept and
    measured, as at the end of a run."""


class Interrupt:
    """Whether somebody has asked to stop, by which signal; ``number`` is 0 if not."""

    number = 0
    is_keeping = False  # what was learned: nothing interrupts that

    def check(self) -> None:
        """Raises Interrupted if so."""
        if self.number:
            raise Interrupted

    def ask(self, number: int, frame: FrameType | None) -> None:
        """The signals' handler; a second Ctrl-C interrupts at once. A terminal that is closed may
        send its signal twice."""
        if self.number and number == signal.SIGINT and not self.is_keeping:
            raise KeyboardInterrupt
        self.number = self.number or number

    @contextmanager
    def keeping(self) -> Iterator[None]:
        self.is_keeping = True
        try:
            yield
        finally:
            self.is_keeping = False


@contextmanager
def deferred(wanted: bool) -> Iterator[Interrupt]:
    """Signals to stop only ask, if ``wanted``; outside the main thread they stay as they are, and
    so does a hang-up that is ignored, as behind nohup."""
    interrupt = Interrupt()
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    former = {number: signal.signal(number, interrupt.ask) for number in stop_signals()}
    try:
        yield interrupt
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
