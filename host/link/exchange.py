# SPDX-License-Identifier: Apache-2.0
"""Stop and wait: one request is in the air, and is repeated until its reply arrives (SPEC 2.2)."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from mcutrain.host.errors import TransportError
from mcutrain.host.link import protocol
from mcutrain.host.link.frame import Frame, FrameReader, encode
from mcutrain.host.link.heard import Heard
from mcutrain.host.link.pace import PayloadSize, RoundTrips
from mcutrain.host.link.protocol import Message, Status
from mcutrain.host.link.seal import REQUEST_BYTES, Seal
from mcutrain.host.link.traffic import Traffic
from mcutrain.host.link.transport import Transport
from mcutrain.host.waiting import Waiting

READ_SLICE_S = 0.01  # always: to change it costs system calls
# Repeats without a time-out of one request: more are a line that damages all, or babbles.
MOST_REPEATS_AT_ONCE = 16
_LOST = bytes([Status.DAMAGED & 0xFF])
HELLO_TIMEOUT_S = 0.25


@dataclass(frozen=True)
class Timing:
    """``reply_s`` and ``slow_s`` pass before the first repeat of a request, the latter for what
    waits for kernels. Once such a request was answered, the measured time counts instead, if it
    ``adapts``."""

    reply_s: float
    slow_s: float
    adapts: bool

    def first_s(self, message: Message, is_slow: bool) -> float:
        """Before the first repeat. A device that is about to start may lose what says hello, and
        nothing is disturbed by a repeat of it."""
        if message is Message.HELLO:
            return min(self.reply_s, HELLO_TIMEOUT_S)
        return self.slow_s if is_slow else self.reply_s


class Exchange:
    """Numbers requests, sends each until its reply comes, and learns from the line how long to wait
    and how much to send at once."""

    def __init__(self, transport: Transport, timing: Timing) -> None:
        self.transport, self.timing = transport, timing
        self.size = PayloadSize()
        self.traffic = Traffic()
        self.seal: Seal | None = None  # of a device with a key, once it has told its nonce
        self._reader = FrameReader()
        self._trips = RoundTrips()
        self._seq = int.from_bytes(os.urandom(2), "little")

    def request(
        self,
        message: Message,
        fields: Sequence[int],
        data: bytes,
        is_slow: bool,
        patience_s: float,
    ) -> bytes:
        """Payload of the reply; of ``data``, or of what a READ asks for, as much as the line takes.

        Each copy has the size that is right when it is sent. Which copy was executed, the reply
        tells.
        """
        if self.seal is not None:
            self.seal.begin(message, fields, self.transport.name)
        self._seq = (self._seq + 1) & 0xFFFF
        waiting, heard = Waiting(patience_s), Heard()
        first_s = timeout_s = self.timing.first_s(message, is_slow)
        is_cut = bool(data) or message in protocol.ASKS_FOR_BYTES
        copies = at_once = timeouts = 0
        self.traffic.requests += 1
        while waiting.left_s() > 0:
            frame, nbytes = self._frame(message, fields, data)
            kind = message, is_slow, nbytes.bit_length()
            if copies == 0 and self.timing.adapts:
                timeout_s = self._trips.timeout_s(kind, first_s)
            sent_at = time.monotonic()
            encoded = encode(frame)
            self.transport.write(encoded)
            self.traffic.sent_bytes += len(encoded)
            self.traffic.resent += copies > 0
            copies += 1
            heeds_damage = at_once < MOST_REPEATS_AT_ONCE
            reply, is_damaged = self._await(frame, timeout_s, waiting, heard, heeds_damage)
            if reply is not None:
                if copies == 1:
                    self._trips.add(kind, time.monotonic() - sent_at)
                    if is_cut:
                        self.size.came(nbytes)
                return reply
            if is_damaged:
                at_once += 1
            else:
                timeouts += 1
                timeout_s *= 2
            # The first time-out may be a device that computes; the next is a line that loses all.
            if is_cut and (is_damaged or timeouts > 1):
                self.size.lost(nbytes)
        raise TransportError(
            f"{self.transport.name}: no answer to {message.name} in {patience_s:g} s; {heard}"
        )

    def _frame(self, message: Message, fields: Sequence[int], data: bytes) -> tuple[Frame, int]:
        """A copy of the request, and the size that it or its reply has in a frame."""
        more = 0 if self.seal is None else REQUEST_BYTES
        payload, nbytes = protocol.portion(message, fields, data, self.size.limit - more)
        if self.seal is None:
            return Frame(message, self._seq, payload), nbytes
        return self.seal.sealed(self._seq, payload), nbytes + more

    def _await(
        self, frame: Frame, timeout_s: float, waiting: Waiting, heard: Heard, heeds_damage: bool
    ) -> tuple[bytes | None, bool]:
        """Payload of the reply to ``frame`` if it came, and else whether something came damaged
        before the time was over. Replies to earlier copies are passed over."""
        until = Waiting(timeout_s)
        while min(until.left_s(), waiting.left_s()) > 0:
            data = self.transport.read(READ_SLICE_S)
            heard.add(data)
            self.traffic.received_bytes += len(data)
            damaged, refused = self._reader.damaged, heard.refused
            for reply in self._reader.feed(data):
                said = self._said(frame, reply)
                if said is not None:
                    return said, False
                self._note(reply, frame, heard)
            heard.damaged += self._reader.damaged - damaged
            self.traffic.damaged += self._reader.damaged - damaged
            is_damaged = self._reader.damaged > damaged or heard.refused > refused
            if is_damaged and heeds_damage:
                return None, True
        return None, False

    def _said(self, frame: Frame, reply: Frame) -> bytes | None:
        """Payload of the reply to ``frame``, out of its seal; None if it is none."""
        if reply.type != frame.type | protocol.REPLY or reply.seq != frame.seq:
            return None
        if self.seal is None:
            return reply.payload
        return self.seal.opened(reply)

    def _note(self, reply: Frame, frame: Frame, heard: Heard) -> None:
        """Count a frame that is not the reply."""
        # The device has executed the request before, or this one and its reply was lost; what is
        # older was said before this request was sent. A HELLO may meet any number.
        is_recent = (frame.seq - reply.seq) & 0xFFFF <= 1 or frame.type == Message.HELLO
        if reply.type == protocol.REPLY and reply.payload == _LOST:
            heard.refused += is_recent
        elif not reply.type & protocol.REPLY:
            heard.echoes += 1
        else:
            heard.others += 1
