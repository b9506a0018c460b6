# SPDX-License-Identifier: Apache-2.0
"""Requests that are sealed with the key of a right (SPEC 2.5). Twin of firmware/runtime/seal.c."""

from __future__ import annotations

import hmac
import os
import struct
from collections.abc import Sequence

from mcutrain.host.errors import RightError, TransportError
from mcutrain.host.keys import Keys, Right, code
from mcutrain.host.link.frame import Frame
from mcutrain.host.link.protocol import (
    NONCE_BYTES,
    REQUESTS,
    Message,
    RamRegion,
    Status,
    StoreAction,
    request,
)

MAC_BYTES = 16
OF_REQUEST, OF_REPLY = 1, 2  # what a code is of: its first byte
REQUEST_BYTES = REQUESTS[Message.SEALED].size + MAC_BYTES  # more than the request in it has
LAST_COUNTER = 2**32 - 1
_HEAD = struct.Struct("<B16s16sHIBB")

TRAINS = frozenset({
    Message.SAMPLE, Message.TARGET, Message.LATENT, Message.PREFIX, Message.KEEP, Message.RECALL,
    Message.STEP, Message.INFER, Message.BEGIN, Message.RUN, Message.START, Message.FINISH,
    Message.ENROL,
})  # fmt: skip


def right_to(message: Message, fields: Sequence[int]) -> Right | None:
    """What a request needs; None if no key gives the right to it.

    >>> right_to(Message.READ, (RamRegion.STATE, 0, 16)).word
    'read'
    """
    if message in (Message.READ, Message.WRITE) and fields[0] != RamRegion.STATE:
        return Right.TRAIN if message is Message.READ else None
    looks = message is Message.STORE and fields[0] == StoreAction.LOOK
    if looks or message in (Message.READ, Message.DIGEST, Message.CYCLES, Message.RECORD):
        return Right.READ
    return Right.TRAIN if message in TRAINS else Right.WRITE


class Seal:
    """What a session is sealed with: keys, both nonces, and the counter of its requests."""

    def __init__(self, keys: Keys, device_nonce: bytes) -> None:
        self._keys, self._device_nonce = keys, device_nonce
        self._host_nonce = os.urandom(NONCE_BYTES)
        self._message, self._counter = Message.HELLO, 0
        self._right = next(iter(keys.by_right))

    def begin(self, message: Message, fields: Sequence[int], name: str) -> None:
        """A new request, of which copies may differ in their data. ``name`` is the port's. Raises
        RightError if no key is here that it could be sealed with."""
        right = self._right if message is Message.HELLO else right_to(message, fields)
        if right is None:
            raise RightError(
                f"{name}: no key gives the right to {message.name} what is not the state"
            )
        if right not in self._keys.by_right:
            raise RightError(
                f"{name}: {message.name} needs the key to {right.word}, and the file given to "
                f"--key has one to {self._keys.words} only"
            )
        if self._counter == LAST_COUNTER:
            raise TransportError(f"{name}: this session has had all its requests: begin another")
        self._message, self._right = message, right
        self._counter += 1

    def sealed(self, seq: int, payload: bytes) -> Frame:
        """A copy of the request. HELLO carries this end's nonce."""
        if self._message is Message.HELLO:
            payload = self._host_nonce
        head = request(Message.SEALED, self._right, self._counter, self._message)
        return Frame(Message.SEALED, seq, head + payload + self._code(OF_REQUEST, seq, payload))

    def opened(self, reply: Frame) -> bytes | None:
        """What a reply says, with its status; None if somebody else than the device says it. A
        device without the key, or without the session, cannot seal that it refuses."""
        if reply.payload in _UNSEALED:
            return reply.payload
        said, given = reply.payload[:-MAC_BYTES], reply.payload[-MAC_BYTES:]
        is_right = hmac.compare_digest(given, self._code(OF_REPLY, reply.seq, said))
        return said if is_right and said else None

    def _code(self, what: int, seq: int, said: bytes) -> bytes:
        nonces = self._device_nonce, self._host_nonce
        head = _HEAD.pack(what, *nonces, seq, self._counter, self._right, self._message)
        return code(self._keys.by_right[self._right], head, said)[:MAC_BYTES]


_UNSEALED = tuple(bytes([status & 0xFF]) for status in (Status.KEY, Status.SESSION, Status.MESSAGE))
