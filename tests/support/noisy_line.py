# SPDX-License-Identifier: Apache-2.0
"""A bad line between the host and a device, with faults that a seed gives."""

from __future__ import annotations

import math
import random
import time
from collections import Counter, deque
from collections.abc import Callable

from mcutrain.host.link.transport import Transport

DELAY_S = 0.002  # some time that a byte, and what follows it, comes late
FOREVER = math.inf

# What may happen to a byte: what arrives instead of it and the next, and how many are used up.
FAULTS: dict[str, Callable[[bytes, random.Random], tuple[bytes, int]]] = {
    "flip": lambda two, rng: (bytes([two[0] ^ 1 << rng.randrange(8)]), 1),
    "drop": lambda two, rng: (b"", 1),
    "double": lambda two, rng: (two[:1] * 2, 1),
    "insert": lambda two, rng: (bytes([rng.randrange(256)]) + two[:1], 1),
    "swap": lambda two, rng: (two[::-1], len(two)),
    "delay": lambda two, rng: (two[:1], 1),
}
# What may happen to all that is written, or read, at once.
BLOCK_FAULTS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "lost block": lambda data, rng: b"",
    "block twice": lambda data, rng: data + data,
    "cut block": lambda data, rng: data[: rng.randrange(len(data))],
    "dirty block": lambda data, rng: rng.randbytes(3) + data,
}


class Way:
    """One direction. Bytes keep their order; one that is late holds back those behind it."""

    def __init__(self, seed: int, per_byte: float, per_block: float, faults: Counter[str]) -> None:
        self._rng = random.Random(seed)
        self._per_byte, self._per_block, self._faults = per_byte, per_block, faults
        self._until_fault = self._gap()
        self._queue: deque[tuple[float, bytes]] = deque()

    def _gap(self) -> float:
        """Good bytes before the next fault."""
        if not self._per_byte:
            return FOREVER
        return int(math.log(1 - self._rng.random()) / math.log(1 - self._per_byte))

    def put(self, data: bytes) -> None:
        if data and self._rng.random() < self._per_block:
            name = self._rng.choice(list(BLOCK_FAULTS))
            self._faults[name] += 1
            data = BLOCK_FAULTS[name](data, self._rng)
        at, come_at, arrives = 0, 0.0, bytearray()
        while at + self._until_fault < len(data):
            bad = at + int(self._until_fault)
            name = self._rng.choice(list(FAULTS))
            self._faults[name] += 1
            arrives += data[at:bad]
            if name == "delay":
                self._queue.append((come_at, bytes(arrives)))
                come_at, arrives = time.monotonic() + DELAY_S, bytearray()
            instead, used = FAULTS[name](data[bad : bad + 2], self._rng)
            arrives += instead
            at = bad + used
            self._until_fault = self._gap()
        self._until_fault -= len(data) - at
        self._queue.append((come_at, bytes(arrives) + data[at:]))

    def take(self) -> bytes:
        """What has arrived by now."""
        come, now = [], time.monotonic()
        while self._queue and self._queue[0][0] <= now:
            come.append(self._queue.popleft()[1])
        return b"".join(come)

    @property
    def is_waiting(self) -> bool:
        return bool(self._queue)


class NoisyLine(Transport):
    """Passes bytes on, either way; ``per_byte`` and ``per_block`` are how often one of the FAULTS,
    or of the BLOCK_FAULTS, befalls one. ``faults`` counts them by kind, ``nbytes`` is what was sent
    both ways."""

    def __init__(
        self, inner: Transport, seed: int, per_byte: float = 0.0, per_block: float = 0.0
    ) -> None:
        self.name = f"noisy {inner.name}"
        self.faults: Counter[str] = Counter()
        self.nbytes = 0
        self._inner = inner
        self._out, self._in = (
            Way(2 * seed + way, per_byte, per_block, self.faults) for way in range(2)
        )

    def write(self, data: bytes) -> None:
        self.nbytes += len(data)
        self._out.put(data)
        self._pass_on()

    def read(self, timeout_s: float) -> bytes:
        self._pass_on()
        is_late = self._out.is_waiting or self._in.is_waiting
        data = self._inner.read(min(timeout_s, DELAY_S) if is_late else timeout_s)
        self.nbytes += len(data)
        self._in.put(data)
        return self._in.take()

    def discard(self) -> None:
        self._inner.discard()

    def close(self) -> None:
        self._inner.close()

    def _pass_on(self) -> None:
        data = self._out.take()
        if data:
            self._inner.write(data)
