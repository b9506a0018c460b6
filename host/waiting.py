# SPDX-License-Identifier: Apache-2.0
"""Patience that is used up by waiting, and not by being stopped."""

from __future__ import annotations

import time
from collections.abc import Callable

LONGEST_TICK_S = 0.1


class Waiting:
    """What is left of some seconds. Whoever waits asks at least every ``LONGEST_TICK_S``: more than
    that between two questions is a pause of this process (Ctrl-Z, a computer's sleep), in which
    nobody waited."""

    def __init__(self, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._left_s, self._clock = patience_s, clock
        self._asked_at = clock()

    def left_s(self) -> float:
        """Seconds left, 0 or less at the end.

        >>> waiting = Waiting(1.0, iter([0.0, 0.05, 60.05]).__next__)
        >>> round(waiting.left_s(), 3), round(waiting.left_s(), 3)
        (0.95, 0.85)
        """
        now = self._clock()
        self._left_s -= min(now - self._asked_at, LONGEST_TICK_S)
        self._asked_at = now
        return self._left_s
