# SPDX-License-Identifier: Apache-2.0
"""A line on which some of a device's replies are replaced by lies."""

from __future__ import annotations

from collections.abc import Callable

from mcutrain.host.link import protocol
from mcutrain.host.link.frame import Frame, FrameReader, encode
from mcutrain.host.link.protocol import Message
from mcutrain.host.link.transport import Transport

Lie = Callable[[bytes], bytes]  # what a reply says after its status -> what it is to say


class LyingLine(Transport):
    """Passes frames on; to a message in ``lies`` the device seems to say something else."""

    def __init__(self, inner: Transport, lies: dict[Message, Lie]) -> None:
        self.name, self.lies = inner.name, lies
        self._inner, self._reader = inner, FrameReader()

    def write(self, data: bytes) -> None:
        self._inner.write(data)

    def read(self, timeout_s: float) -> bytes:
        frames = self._reader.feed(self._inner.read(timeout_s))
        return b"".join(encode(self._told(frame)) for frame in frames)

    def discard(self) -> None:
        self._inner.discard()

    def close(self) -> None:
        self._inner.close()

    def _told(self, frame: Frame) -> Frame:
        kind = frame.type ^ protocol.REPLY
        if frame.payload[:1] != b"\0" or kind not in [*self.lies]:
            return frame
        said = self.lies[Message(kind)](frame.payload[1:])
        return Frame(frame.type, frame.seq, b"\0" + said)
