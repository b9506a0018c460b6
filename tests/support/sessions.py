# SPDX-License-Identifier: Apache-2.0
"""What the tests of sessions say to the fake model."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from mcutrain.host.errors import DeviceError
from mcutrain.host.link.frame import Frame, FrameReader, encode
from mcutrain.host.link.protocol import Status
from mcutrain.host.link.transport import Transport

# What tests/support/fake_model/model.c is made of.
INPUT_BYTES, TARGET_BYTES, CLASSES, CALLS = 300, 200, 3, 5
LATENT_BYTES, SLOTS = 300, 2


def sample(index: int) -> bytes:
    return random.Random(index).randbytes(INPUT_BYTES)


def latent(index: int) -> bytes:
    return bytes(byte ^ 0x55 for byte in sample(index))


def refused(request: Callable[[], object]) -> Status:
    """The status by which the device refuses a request."""
    with pytest.raises(DeviceError) as refusal:
        request()
    return refusal.value.status


class Wire:
    """Raw frames to a port."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._reader = FrameReader()

    def replies(self, *frames: Frame, raw: bytes = b"") -> list[tuple[int, int, bytes]]:
        """Type, number and payload of each reply, one for each frame; at least one. Bytes that are
        no frame may go first."""
        self._transport.write(raw + b"".join(map(encode, frames)))
        found: list[Frame] = []
        while len(found) < max(1, len(frames)):
            data = self._transport.read(5.0)
            assert data, f"{len(found)} replies to {len(frames)} frames"
            found += self._reader.feed(data)
        return [(reply.type, reply.seq, reply.payload) for reply in found]
