# SPDX-License-Identifier: Apache-2.0
"""Bytes of a line as people read them: the text that a firmware prints, and the frames of the
link, whole or damaged. No I/O."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from cobs import cobs

from mcutrain.host.link import protocol
from mcutrain.host.link.frame import DELIMITER, LONGEST_BYTES, Frame, decode
from mcutrain.host.link.protocol import Message, Status

_TEXT = frozenset({*range(32, 127), *b"\t\r\n\x1b"})
_CRC_BYTES, _HEADER_BYTES = 4, 3
_SHOWN = {  # the names of a reply's fields, of which each has its own in SPEC 2.3
    Message.HELLO: ("version", "payload", "build", "numerics", "input", "classes", "arena",
                    "state", "steps", "calls"),
    Message.STEP: ("sum", "distance", "predicted", "steps", "digest"),
    Message.INFER: ("predicted",),
    Message.RUN: ("done", "next"),
    Message.RECALL: ("label",),
    Message.CYCLES: ("cycles",),
}  # fmt: skip
_SHOWN |= dict.fromkeys((Message.DIGEST, Message.FINISH), _SHOWN[Message.STEP])
_SHOWN |= dict.fromkeys((Message.SAMPLE, Message.WRITE, Message.TARGET, Message.LATENT), ("end",))


class Kind(Enum):
    """TEXT is what can be printed; DAMAGED is a frame whose checksum or form is wrong; NOISE are
    other bytes."""

    TEXT = "text"
    REQUEST = "request"
    REPLY = "reply"
    DAMAGED = "damaged"
    NOISE = "noise"


@dataclass(frozen=True)
class Item:
    """A piece of what came over a line, which took ``nbytes`` there, from ``offset`` on.

    ``message`` is None for a type that the protocol has not; ``status`` is of a reply, and
    ``fields`` are what it says. Of the bytes of text and noise ``raw`` has all.
    """

    kind: Kind
    offset: int
    nbytes: int
    raw: bytes = b""
    type: int | None = None
    seq: int | None = None
    payload_bytes: int | None = None
    crc_ok: bool | None = None
    status: str | None = None
    fields: dict[str, int | str] = field(default_factory=dict)

    @property
    def message(self) -> str | None:
        """The name of the message, such as STEP; LOST is the reply to a damaged request."""
        if self.type is None:
            return None
        if self.type == protocol.REPLY:
            return "LOST"
        number = self.type & ~protocol.REPLY
        return Message(number).name if number in [*Message] else f"type {number}"

    def __str__(self) -> str:
        if self.kind is Kind.TEXT:
            return self.raw.decode("ascii").rstrip("\r\n")
        if self.kind is Kind.NOISE:
            return f"?  {self.nbytes} bytes that are neither text nor a frame: {excerpt(self.raw)}"
        if self.kind is Kind.DAMAGED:
            seems = "" if self.type is None else f", which began as {self.message}"
            return f"!  damaged frame of {self.nbytes} bytes{seems}: {excerpt(self.raw)}"
        arrow = "<-" if self.kind is Kind.REPLY else "->"
        told = [f"{arrow} {self.message} seq {self.seq}, {self.payload_bytes} bytes, crc ok"]
        told += [] if self.status is None else [self.status]
        return ", ".join([*told, *(f"{name} {value}" for name, value in self.fields.items())])

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"kind": self.kind.value, "offset": self.offset}
        found["bytes"] = self.nbytes
        if self.kind is Kind.TEXT:
            return found | {"text": self.raw.decode("ascii")}
        if self.kind in (Kind.NOISE, Kind.DAMAGED):
            return found | {"hex": self.raw.hex(), "message": self.message, "crc_ok": self.crc_ok}
        return found | {
            "direction": "from device" if self.kind is Kind.REPLY else "to device",
            "type": self.type,
            "message": self.message,
            "seq": self.seq,
            "payload_bytes": self.payload_bytes,
            "crc_ok": self.crc_ok,
            "status": self.status,
            **({"fields": self.fields} if self.fields else {}),
        }


class LineDecoder:
    """Cuts a stream of bytes into items. Text ends with its line, or where it has to."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._offset = 0  # of the first pending byte

    def feed(self, data: bytes) -> Iterator[Item]:
        """The items that these bytes complete."""
        self._pending += data
        while (end := self._pending.find(DELIMITER)) >= 0:
            block = bytes(self._pending[:end])
            yield from self._items(block, is_ended=True)
            self._drop(end + 1)
        yield from self._lines()
        if len(self._pending) > LONGEST_BYTES:
            yield from self.flush()

    def flush(self) -> Iterator[Item]:
        """What is left, at the end or when nothing comes any more."""
        block = bytes(self._pending)
        yield from self._items(block, is_ended=False)
        self._drop(len(block))

    def flush_text(self) -> Iterator[Item]:
        """What is left, if it is text: a line that goes on later, or has no end."""
        if is_text(bytes(self._pending)):
            yield from self.flush()

    def _lines(self) -> Iterator[Item]:
        """Whole lines of text at the front of what waits: a frame has no zero in front of it yet,
        and is hardly ever printable up to a line's end."""
        while (end := self._pending.find(b"\n")) >= 0:
            line = bytes(self._pending[: end + 1])
            if not is_text(line):
                return
            yield Item(Kind.TEXT, self._offset, len(line), line)
            self._drop(len(line))

    def _drop(self, count: int) -> None:
        del self._pending[:count]
        self._offset += count

    def _items(self, block: bytes, is_ended: bool) -> Iterator[Item]:
        if not block:
            return
        frame = decode(block) if is_ended else None
        if frame is not None:
            yield framed(frame, self._offset, len(block) + 1)
        elif is_text(block):
            yield from text_lines(block, self._offset)
        elif is_ended:
            yield damaged(block, self._offset)
        else:
            yield Item(Kind.NOISE, self._offset, len(block), block)


def is_text(data: bytes) -> bool:
    """Whether all of it can be printed.

    >>> is_text(b"temperature 21\\r\\n"), is_text(bytes([3, 1, 1]))
    (True, False)
    """
    return _TEXT.issuperset(data)


def text_lines(data: bytes, offset: int) -> Iterator[Item]:
    for line in data.splitlines(keepends=True):
        yield Item(Kind.TEXT, offset, len(line), line)
        offset += len(line)


def framed(frame: Frame, offset: int, nbytes: int) -> Item:
    """A whole frame, with the fields of a reply that says OK."""
    is_reply = bool(frame.type & protocol.REPLY)
    status, fields = (None, {}) if not is_reply else replied(frame)
    return Item(
        Kind.REPLY if is_reply else Kind.REQUEST, offset, nbytes, type=frame.type, seq=frame.seq,
        payload_bytes=len(frame.payload), crc_ok=True, status=status, fields=fields,
    )  # fmt: skip


def replied(frame: Frame) -> tuple[str, dict[str, int | str]]:
    """The name of a reply's status, and what follows it."""
    if not frame.payload:
        return "no status", {}
    code = int.from_bytes(frame.payload[:1], "little", signed=True)
    if code not in [*Status]:
        return f"status {code}", {}
    status, number, body = Status(code), frame.type & ~protocol.REPLY, frame.payload[1:]
    message = Message(number) if number in [*Message] else None
    if status is not Status.OK or message not in _SHOWN:
        return status.name, {}
    names, layout = _SHOWN[message], protocol.REPLIES[message]
    if len(body) != layout.size:
        return status.name, {}
    values = layout.unpack(body)
    told = (v.hex() if isinstance(v, bytes) else int(v) for v in values)
    return status.name, dict(zip(names, told, strict=True))


def damaged(block: bytes, offset: int) -> Item:
    """A frame that is none: its type, where the encoding is whole and the checksum is not."""
    try:
        raw = cobs.decode(block)
    except cobs.DecodeError:
        raw = b""
    if len(raw) < _HEADER_BYTES + _CRC_BYTES:
        return Item(Kind.DAMAGED, offset, len(block) + 1, block)
    is_right = zlib.crc32(raw[:-_CRC_BYTES]) == int.from_bytes(raw[-_CRC_BYTES:], "little")
    return Item(
        Kind.DAMAGED, offset, len(block) + 1, block, type=raw[0], crc_ok=is_right,
        payload_bytes=len(raw) - _HEADER_BYTES - _CRC_BYTES,
    )  # fmt: skip


def excerpt(raw: bytes, most: int = 16) -> str:
    return raw[:most].hex(" ") + (" ..." if len(raw) > most else "")
