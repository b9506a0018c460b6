# SPDX-License-Identifier: Apache-2.0
"""A session counts what its link carries."""

from __future__ import annotations

from mcutrain.host.link.exchange import Exchange, Timing
from mcutrain.host.link.frame import Frame, encode
from mcutrain.host.link.protocol import REPLY, Message
from mcutrain.host.link.transport import Transport


class Deaf(Transport):
    """Loses the first copy of each request, and answers the next."""

    name = "deaf"

    def __init__(self) -> None:
        self.seq = 0  # of the request that it answers
        self.sent: list[bytes] = []
        self.answer = b""

    def write(self, data: bytes) -> None:
        self.sent.append(data)
        if len(self.sent) % 2 == 0:
            self.answer = encode(Frame(Message.DIGEST | REPLY, self.seq, b"\x00"))

    def read(self, timeout_s: float) -> bytes:
        data, self.answer = self.answer, b""
        return data

    def discard(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_requests_copies_and_bytes_are_counted() -> None:
    line = Deaf()
    exchange = Exchange(line, Timing(0.01, 0.01, False))
    line.seq = (exchange._seq + 1) & 0xFFFF
    exchange.request(Message.DIGEST, (), b"", False, 5.0)
    found = exchange.traffic

    assert (found.requests, found.resent, found.damaged) == (1, 1, 0)
    assert found.sent_bytes == sum(map(len, line.sent))
    assert found.received_bytes == len(encode(Frame(Message.DIGEST | REPLY, line.seq, b"\x00")))
