# SPDX-License-Identifier: Apache-2.0
"""Frames of the link. Twin of firmware/runtime/frame.h; both read tests/golden/frames.txt."""

from __future__ import annotations

import struct
import zlib
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
    """The bytes on the wire. The zero in front ends whatever came before the frame; the two behind
    it tell a damaged frame from other bytes.

    >>> encode(Frame(type=1, seq=0x0203)).hex(" ")
    '00 08 01 03 02 ca 81 a0 3b 00 00'
    """
    raw = _HEADER.pack(frame.type, frame.seq) + frame.payload
    wire: bytes = cobs.encode(raw + _CRC.pack(zlib.crc32(raw)))
    return DELIMITER + wire + 2 * DELIMITER


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
    """Cuts a byte stream into frames; drops the damaged ones, and counts in ``damaged`` those that
    have come to their two zeros."""

    def __init__(self) -> None:
        self.damaged = 0
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._is_damaged = False  # a block between zeros was no frame, since the last that was

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete."""
        frames = []
        *blocks, rest = data.split(DELIMITER)
        for block in blocks:
            frame = self._end(b"".join((*self._pending, block)))
            self._pending, self._pending_bytes = [], 0
            if frame is not None:
                frames.append(frame)
        # A babbling device must not fill memory: a block this long is none of ours.
        if rest and self._pending_bytes < LONGEST_BYTES:
            self._pending.append(rest)
            self._pending_bytes += len(rest)
        return frames

    def _end(self, block: bytes) -> Frame | None:
        if not block:
            self.damaged += self._is_damaged
            self._is_damaged = False
            return None
        frame = decode(block)
        self._is_damaged = frame is None
        return frame
