# SPDX-License-Identifier: Apache-2.0
"""How long a request waits for its reply, and how much it carries, by what the line has shown."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

LEAST_TIMEOUT_S = 0.01
LEAST_PAYLOAD_BYTES = 32
GROWTH = 12  # of a payload that came through, a twelfth: then about one frame in eight is lost


@dataclass
class _RoundTrip:
    """SRTT and RTTVAR of RFC 6298."""

    mean_s: float
    deviation_s: float

    def add(self, seconds: float) -> None:
        self.deviation_s += (abs(seconds - self.mean_s) - self.deviation_s) / 4
        self.mean_s += (seconds - self.mean_s) / 8

    @property
    def timeout_s(self) -> float:
        return max(LEAST_TIMEOUT_S, self.mean_s + 4 * self.deviation_s)


class RoundTrips:
    """Measured round trips by kind of request, and the time-outs that follow (RFC 6298)."""

    def __init__(self) -> None:
        self._found: dict[Hashable, _RoundTrip] = {}

    def add(self, kind: Hashable, seconds: float) -> None:
        """A request that was sent once got its reply after so long. What was repeated does not
        count: nobody knows which copy was answered."""
        if kind in self._found:
            self._found[kind].add(seconds)
        else:
            self._found[kind] = _RoundTrip(seconds, seconds / 2)

    def timeout_s(self, kind: Hashable, first_s: float) -> float:
        """How long to wait before a repeat; ``first_s`` if none of this kind was measured.

        >>> trips = RoundTrips()
        >>> trips.timeout_s("STEP", 2.0)
        2.0
        >>> trips.add("STEP", 0.1)
        >>> round(trips.timeout_s("STEP", 2.0), 3)
        0.3
        """
        return self._found[kind].timeout_s if kind in self._found else first_s


class PayloadSize:
    """The largest payload to send or ask for where it can be cut: half of what was lost, and slowly
    more again. A line that damages one byte in n settles at about n / 8; a good one stays at the
    device's own limit."""

    def __init__(self) -> None:
        self.device_limit = self.limit = LEAST_PAYLOAD_BYTES

    def begin(self, device_limit: int) -> None:
        """A session has begun, with a device that takes so much."""
        self.device_limit = self.limit = device_limit

    def lost(self, nbytes: int) -> None:
        """A payload of this size was damaged.

        >>> size = PayloadSize()
        >>> size.begin(4096)
        >>> size.lost(3000); size.limit
        1500
        >>> size.came(1500); size.came(20); size.limit
        1626
        """
        self.limit = min(self.limit, max(LEAST_PAYLOAD_BYTES, nbytes // 2))

    def came(self, nbytes: int) -> None:
        """Such a payload came through at once; one far below the limit says nothing of it."""
        if 2 * nbytes > self.limit:
            self.limit = min(self.device_limit, self.limit + self.limit // GROWTH + 1)
