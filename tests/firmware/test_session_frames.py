# SPDX-License-Identifier: Apache-2.0
"""Frames as a bad link or a hostile host sends them: repeated, out of order, damaged."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from mcutrain.host.link import protocol
from mcutrain.host.link.frame import Frame, encode
from mcutrain.host.link.protocol import Message, RamRegion, Status
from mcutrain.host.link.transport import SerialTransport
from tests.support.sessions import (
    INPUT_BYTES,
    Wire,
    sample,
)


def pieces_of(data: bytes, seq: int) -> list[Frame]:
    """The frames that hand over a sample; the first has the number ``seq``."""
    return [
        Frame(Message.SAMPLE, seq + k, protocol.request(Message.SAMPLE, at, data=data[at:][:100]))
        for k, at in enumerate(range(0, INPUT_BYTES, 100))
    ]


@pytest.fixture
def wire(port: str) -> Iterator[Wire]:
    with SerialTransport(port) as transport:
        yield Wire(transport)


def test_a_repeated_request_is_answered_again_and_not_executed(wire: Wire) -> None:
    step = Frame(Message.STEP, 0, protocol.request(Message.STEP, 1, 0))
    pieces = pieces_of(sample(1), 0xFFFD)
    first, *_, second, third = wire.replies(Frame(Message.HELLO, 0xFFFC), *pieces, step, step)

    assert first[:2] == (Message.HELLO | protocol.REPLY, 0xFFFC)
    assert second == third
    _, fields = protocol.split_reply(third[2])
    assert protocol.unpack(Message.STEP, fields)[3] == 1


def test_requests_out_of_order_are_refused_and_the_kept_reply_survives(wire: Wire) -> None:
    refused = bytes([Status.SESSION & 0xFF])
    infer = Frame(Message.INFER, 11)

    assert wire.replies(infer)[0][2] == refused  # no HELLO yet
    _, kept = wire.replies(Frame(Message.HELLO, 10), infer)
    for seq in (9, 13, 0x8000):
        assert wire.replies(Frame(Message.RESET, seq, bytes(4)))[0][1:] == (seq, refused)
    assert wire.replies(infer)[0] == kept


def test_hostile_frames_are_all_answered(wire: Wire) -> None:
    rng = random.Random(3)
    wire.replies(Frame(Message.HELLO, 0))
    for seq in range(1, 400):
        size = rng.choice([0, 1, 2, 4, 5, 6, 7, 8, 60, 127, 128])
        kind = rng.choice([*Message, 0, 99, 127])
        payload = bytes(rng.choices([0, 1, 2, 255, rng.randrange(256)], k=size))
        ((reply_type, reply_seq, reply),) = wire.replies(Frame(kind, seq, payload))

        assert (reply_type, reply_seq) == (kind | protocol.REPLY, seq)
        assert protocol.split_reply(reply)[0] in Status


def test_a_read_that_no_reply_can_hold_is_refused(wire: Wire) -> None:
    read = Frame(Message.READ, 1, protocol.request(Message.READ, RamRegion.STATE, 0, 128))

    assert wire.replies(Frame(Message.HELLO, 0), read)[1][2] == bytes([Status.RANGE & 0xFF])


def test_a_damaged_frame_is_answered_once_and_the_session_goes_on(wire: Wire) -> None:
    wire.replies(Frame(Message.HELLO, 4), *pieces_of(sample(1), 5))
    step = Frame(Message.STEP, 8, protocol.request(Message.STEP, 1, 0))
    lost = (protocol.REPLY, 7, bytes([Status.DAMAGED & 0xFF]))
    bad = bytearray(encode(step))
    for at in range(1, len(bad) - 2):
        for value in (0, bad[at] ^ 0x10):  # two blocks, or one
            damaged = bad[:at] + bytes([value or 0x33]) + bad[at + 1 :]
            assert wire.replies(raw=bytes(damaged)) == [lost]
    (first,) = wire.replies(step)
    assert protocol.unpack(Message.STEP, first[2][1:])[3] == 1
    # What is no frame is not answered: nothing comes before the next reply.
    for noise in (b"log line\r\n", b"\0\0\0\0", bytes(3) + b"x\0y"):
        assert wire.replies(step, raw=noise) == [first]


def test_an_echo_of_the_device_is_passed_over(wire: Wire) -> None:
    """Answered, it would come back again, for ever."""
    hello, infer = Frame(Message.HELLO, 10), Frame(Message.INFER, 11)
    _, answer = wire.replies(hello, infer)
    echo = encode(Frame(*answer))

    assert wire.replies(infer, raw=echo + echo) == [answer]
