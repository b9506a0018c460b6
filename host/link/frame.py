# SPDX-License-Identifier: Apache-2.0
"""Frames of the link. Twin of firmware/runtime/frame.h; both read tests/golden/frames.txt."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from cobs import cobs

_HEADER = struct.Struct("<BH")
_CRC = struct.Struct("<I")
DELIMITER = b"\0"
LONGEST_BYTES = 1 << 17  # more than a frame with the largest payload, 65,535 bytes


@dataclass(frozen=True)
class Frame:
    """Message type (u8), sequence number (u16) and payload."""

    type: int
    seq: int
    payload: bytes = b""


def encode(frame: Frame) -> bytes:
    """The bytes on the wire, closing zero included.

    >>> encode(Frame(type=1, seq=0x0203)).hex(" ")
    '08 01 03 02 ca 81 a0 3b 00'
    """
    raw = _HEADER.pack(frame.type, frame.seq) + frame.payload
    wire: bytes = cobs.encode(raw + _CRC.pack(zlib.crc32(raw)))
    return wire + DELIMITER


def decode(block: bytes) -> Frame | None:
    """The frame in the bytes between two zeros; None if they are damaged.

    >>> decode(bytes.fromhex("08 01 03 02 ca 81 a0 3b"))
    Frame(type=1, seq=515, payload=b'')
    >>> decode(bytes.fromhex("08 01 03 02 ca 81 a0 3a")) is None
    True
    """
    try:
        raw = cobs.decode(block)
    except cobs.DecodeError:
        return None
    body, crc = raw[: -_CRC.size], raw[-_CRC.size :]
    if len(body) < _HEADER.size or zlib.crc32(body) != _CRC.unpack(crc)[0]:
        return None
    message_type, seq = _HEADER.unpack_from(body)
    return Frame(message_type, seq, body[_HEADER.size :])


class FrameReader:
    """Cuts a byte stream into frames; drops the damaged ones."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that these bytes complete."""
        *blocks, self._pending = (self._pending + data).split(DELIMITER)
        self._pending = self._pending[-LONGEST_BYTES:]  # a babbling device must not fill memory
        for block in blocks:
            frame = decode(block)
            if frame is not None:
                yield frame
