# SPDX-License-Identifier: Apache-2.0
"""`mcutrain monitor`: what comes over a line, or came into a file. Nothing is ever sent."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcutrain.host.attached.holders import holder_of
from mcutrain.host.errors import TransportError
from mcutrain.host.link.decode import Item, LineDecoder
from mcutrain.host.link.transport import SerialTransport
from mcutrain.trainer.errors import DataError

QUIET_S = 0.2  # after which a line of text is shown without its end
PART_BYTES = 1 << 16


@dataclass(frozen=True)
class Seen:
    """An item, and when it was whole: seconds since the beginning, None in a file."""

    item: Item
    at_s: float | None

    def __str__(self) -> str:
        return str(self.item) if self.at_s is None else f"{self.at_s:9.3f}  {self.item}"

    def to_json(self) -> dict[str, Any]:
        at = {} if self.at_s is None else {"at_s": round(self.at_s, 4)}
        return at | self.item.to_json()


def watched_port(
    port: str, baud: int, seconds: float | None = None, save: Path | None = None
) -> Generator[Seen, None, None]:
    """What arrives at a port, for so many ``seconds``, or without end; ``save`` gets the bytes.

    Raises TransportError if another program has the port, or it goes.
    """
    if (holder := holder_of(port)) is not None:
        raise TransportError(f"{port}: {holder} has it open: end that program first")
    decoder = LineDecoder()
    with ExitStack() as stack:
        line = stack.enter_context(SerialTransport(port, baud))
        kept = None if save is None else stack.enter_context(save.open("wb"))
        begun = time.monotonic()
        while (at_s := time.monotonic() - begun) < (seconds or float("inf")):
            data = line.read(QUIET_S if seconds is None else min(QUIET_S, seconds - at_s))
            if kept is not None and data:
                kept.write(data)
                kept.flush()
            at_s = time.monotonic() - begun
            for item in decoder.feed(data) if data else decoder.flush_text():
                yield Seen(item, at_s)
        for item in decoder.flush():
            yield Seen(item, time.monotonic() - begun)


def watched_file(path: Path) -> Generator[Seen, None, None]:
    """What a file of recorded bytes holds. Raises DataError if it cannot be read."""
    decoder = LineDecoder()
    try:
        with path.open("rb") as file:
            while data := file.read(PART_BYTES):
                for item in decoder.feed(data):
                    yield Seen(item, None)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    for item in decoder.flush():
        yield Seen(item, None)
