# SPDX-License-Identifier: Apache-2.0
"""A device with keys does what is sealed with the right one, now and once, and nothing else."""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mcutrain.host.errors import RightError
from mcutrain.host.keys import Keys, Right
from mcutrain.host.link import protocol
from mcutrain.host.link.device import Device
from mcutrain.host.link.frame import Frame
from mcutrain.host.link.protocol import Feature, Message, RamRegion, Status, request
from mcutrain.host.link.seal import Seal
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.simulation.simulator import simulate
from tests.support.fake_model.build import (
    BUILD_HASH,
    KEYED,
    MASTER_KEY,
    NUMERICS_HASH,
    build_native,
)
from tests.support.marks import exhaustive
from tests.support.noisy_line import NoisyLine
from tests.support.sessions import INPUT_BYTES, TARGET_BYTES, Wire, sample

KEYS = Keys.of_master(MASTER_KEY)
SEED = request(Message.RESET, 5)
REFUSED = bytes([Status.KEY & 0xFF])
OUT_OF_SESSION = bytes([Status.SESSION & 0xFF])


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_native(tmp_path_factory.mktemp("keyed"), KEYED)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without a key."""
    return build_native(tmp_path_factory.mktemp("bare"))


@pytest.fixture
def port(elf: Path) -> Iterator[str]:
    with simulate("native", elf) as path:
        yield path


@pytest.fixture
def wire(port: str) -> Iterator[Wire]:
    with SerialTransport(port) as transport:
        yield Wire(transport)


def opened(
    transport: SerialTransport | NoisyLine, keys: Keys | None = KEYS, **more: float
) -> Device:
    return Device.open(transport, BUILD_HASH, NUMERICS_HASH, keys=keys, **more)  # type: ignore[arg-type]


class Session:
    """What a host says and hears, frame by frame; HELLO has the number ``seq``."""

    def __init__(self, wire: Wire, seq: int = 100, keys: Keys = KEYS) -> None:
        self.wire, self.seq = wire, seq
        ((_, _, hello),) = wire.replies(Frame(Message.HELLO, seq))
        self.nonce = hello[-protocol.NONCE_BYTES :]
        self.seal = Seal(keys, self.nonce)

    def frame(self, message: Message, *fields: int, data: bytes = b"") -> Frame:
        """The next request."""
        self.seq += 1
        self.seal.begin(message, fields, "here")
        payload = b"" if message is Message.HELLO else request(message, *fields, data=data)
        return self.seal.sealed(self.seq, payload)

    def answered(self, frame: Frame) -> tuple[Status, bytes]:
        """The status in a reply that is sealed, and the rest."""
        ((kind, seq, payload),) = self.wire.replies(frame)
        assert (kind, seq) == (Message.SEALED | protocol.REPLY, frame.seq)
        said = self.seal.opened(Frame(kind, seq, payload))
        assert said is not None and len(payload) == len(said) + 16, "it is not sealed"
        return protocol.split_reply(said)

    def begun(self) -> Session:
        assert self.answered(self.frame(Message.HELLO))[0] is Status.OK
        return self


@pytest.fixture
def session(wire: Wire) -> Session:
    return Session(wire).begun()


def trained(device: Device) -> bytes:
    device.reset(7)
    device.set_learning_rate(200, 5)
    for index in range(12):
        device.write_sample(sample(index))
        device.step(index % 3, wants_digest=index % 2 == 0)
    return device.read(RamRegion.STATE)


def test_training_under_seal_is_training(elf: Path, bare: Path) -> None:
    with simulate("native", elf) as path, SerialTransport(path) as transport:
        device = opened(transport)
        sealed = trained(device)

        assert Feature.KEY in Feature(device.info.features) and any(device.info.nonce)
        assert device.info.steps == 0 and device.digest().steps == 12
    with simulate("native", bare) as path, SerialTransport(path) as transport:
        device = Device.open(transport, BUILD_HASH, NUMERICS_HASH)

        assert Feature.KEY not in Feature(device.info.features) and not any(device.info.nonce)
        assert trained(device) == sealed


@pytest.mark.parametrize("seed", [1, exhaustive(2, [2])])
def test_a_bad_line_never_changes_what_is_learned_under_seal(elf: Path, seed: int) -> None:
    with simulate("native", elf) as path, SerialTransport(path) as transport:
        clean = trained(opened(transport))
    with simulate("native", elf) as path, SerialTransport(path) as transport:
        faulty = NoisyLine(transport, seed, per_block=0.15)

        assert trained(opened(faulty, reply_timeout_s=0.01, step_timeout_s=0.01)) == clean
        assert faulty.faults.total() > 20


@pytest.mark.parametrize(
    "message", [m for m in Message if m not in (Message.HELLO, Message.SEALED)]
)
def test_what_is_not_sealed_is_refused(message: Message, session: Session) -> None:
    """Before a session and in it, whatever the request."""
    bare = request(message, *(0 for _ in protocol.REQUESTS[message].format.lstrip("<")))
    before = session.answered(session.frame(Message.DIGEST))
    for seq in (session.seq, session.seq + 1):
        ((kind, _, payload),) = session.wire.replies(Frame(message, seq, bare))

        assert (kind, payload) == (message | protocol.REPLY, REFUSED)
    assert session.answered(session.frame(Message.DIGEST)) == before


def test_the_first_request_is_a_sealed_hello_and_no_other_is(wire: Wire) -> None:
    session = Session(wire)
    frame = session.frame(Message.DIGEST)
    assert wire.replies(frame)[0][2] == REFUSED  # the host's nonce is not known yet
    session = Session(wire, 200).begun()
    frame = session.frame(Message.HELLO)
    assert wire.replies(frame)[0][2] == OUT_OF_SESSION


def test_hello_says_under_seal_what_it_said_without(wire: Wire) -> None:
    session = Session(wire)
    ((_, _, bare),) = wire.replies(Frame(Message.HELLO, session.seq))  # a repeat: the same nonce

    assert session.answered(session.frame(Message.HELLO)) == (Status.OK, bare[1:])


def test_a_repeat_has_the_kept_reply_and_a_read_is_done_again(session: Session) -> None:
    session.answered(session.frame(Message.RESET, 5))
    session.answered(session.frame(Message.SAMPLE, 0, data=sample(1)[:80]))
    session.answered(session.frame(Message.SAMPLE, 80, data=sample(1)[80:160]))
    last = session.frame(Message.SAMPLE, 160, data=sample(1)[160:240])
    assert session.wire.replies(last) == session.wire.replies(last)
    shorter = session.seal.sealed(
        session.seq, request(Message.SAMPLE, 160, data=sample(1)[160:170])
    )
    assert session.answered(shorter) == (Status.OK, (240).to_bytes(4, "little"))
    read = session.frame(Message.READ, RamRegion.STATE, 0, 40)
    assert len(session.answered(read)[1]) == 40
    less = session.seal.sealed(session.seq, request(Message.READ, RamRegion.STATE, 8, 4))
    assert session.answered(less)[1] == session.answered(read)[1][8:12]


def test_no_byte_of_a_request_can_be_changed(session: Session) -> None:
    state = session.answered(session.frame(Message.READ, RamRegion.STATE, 0, 60))
    frame = session.frame(Message.WRITE, RamRegion.STATE, 0, data=b"\x11\x22\x33")
    for at in range(len(frame.payload)):
        for bit in range(8):
            changed = bytearray(frame.payload)
            changed[at] ^= 1 << bit
            ((_, _, payload),) = session.wire.replies(replace(frame, payload=bytes(changed)))
            assert payload == REFUSED, (at, bit)
    moved = replace(frame, seq=frame.seq - 1)  # as if it were a repeat
    assert session.wire.replies(moved)[0][2] == REFUSED
    for nbytes in range(len(frame.payload)):
        cut = replace(frame, payload=frame.payload[:nbytes])
        assert session.wire.replies(cut)[0][2] == REFUSED, nbytes
    longer = replace(frame, payload=frame.payload + b"\0")
    assert session.wire.replies(longer)[0][2] == REFUSED
    assert session.answered(frame)[0] is Status.OK
    assert session.answered(session.frame(Message.READ, RamRegion.STATE, 0, 60)) != state


def test_requests_come_in_their_order(session: Session) -> None:
    first, second = session.frame(Message.RESET, 5), session.frame(Message.RESET, 6)
    assert session.wire.replies(second)[0][2] == OUT_OF_SESSION
    assert session.wire.replies(replace(second, seq=first.seq))[0][2] == REFUSED
    assert len(session.wire.replies(first)[0][2]) > 1
    assert session.answered(second)[0] is Status.OK


def test_no_byte_of_a_reply_can_be_changed(session: Session) -> None:
    frame = session.frame(Message.DIGEST)
    ((kind, seq, payload),) = session.wire.replies(frame)
    reply = Frame(kind, seq, payload)
    assert session.seal.opened(reply) is not None
    for at in range(len(payload)):
        changed = bytearray(payload)
        changed[at] ^= 1
        assert session.seal.opened(replace(reply, payload=bytes(changed))) is None, at
        if at != 1:
            assert session.seal.opened(replace(reply, payload=payload[:at])) is None, at
    assert session.seal.opened(replace(reply, seq=seq + 1)) is None
    session.frame(Message.DIGEST)
    assert session.seal.opened(reply) is None  # it was the reply to the one before


def test_what_was_said_once_is_not_done_again(wire: Wire) -> None:
    session = Session(wire).begun()
    said = []
    for seed in (5, 6):
        said.append(session.frame(Message.RESET, seed))
        assert session.answered(said[-1])[0] is Status.OK
    state = session.answered(session.frame(Message.READ, RamRegion.STATE, 0, 60))
    for frame in said:  # older than the last
        assert wire.replies(frame)[0][2] == OUT_OF_SESSION
    again = Session(wire, session.seq - len(said) - 1)  # another session with the same numbers
    assert again.nonce != session.nonce
    assert wire.replies(session.seal.sealed(again.seq + 1, b""))[0][2] == REFUSED
    again.begun()
    for frame in said:
        assert wire.replies(replace(frame, seq=again.seq + 1))[0][2] == REFUSED
    assert again.answered(again.frame(Message.READ, RamRegion.STATE, 0, 60)) == state


def test_a_number_that_comes_round_is_told_by_the_counter(session: Session) -> None:
    first = session.frame(Message.RESET, 5)
    assert session.answered(first)[0] is Status.OK
    for _ in range(0xFFFF):
        session.seq = session.seq + 1 & 0xFFFF
        session.seal.begin(Message.LEARNING_RATE, (0, 0), "here")
    session.seal._counter = 2  # the device has seen no more
    session.seq = first.seq
    ((_, _, payload),) = session.wire.replies(session.frame(Message.CYCLES))
    assert len(payload) > 1
    assert session.wire.replies(first)[0][2] == OUT_OF_SESSION


def test_nonces_differ(elf: Path) -> None:
    found = set()
    for _ in range(3):
        with simulate("native", elf) as path, SerialTransport(path) as transport:
            wire = Wire(transport)
            found |= {Session(wire, seq).nonce for seq in (1, 2, 3)}
            session = Session(wire, 3)
            found.add(session.nonce)
            session.begun()
            found.add(Session(wire, session.seq).nonce)  # the number of the last request
    assert len(found) == 3 * 4


@pytest.mark.parametrize("right", Right)
def test_another_right_is_not_enough(port: str, right: Right) -> None:
    with SerialTransport(port) as transport:
        device = opened(transport, KEYS.only([right]))
        needs = {
            Right.READ: [device.digest, lambda: device.read(RamRegion.STATE, 0, 8), device.cycles],
            Right.TRAIN: [lambda: device.write_sample(sample(1)), device.infer],
            Right.WRITE: [lambda: device.reset(1), lambda: device.set_classes(3),
                          lambda: device.set_learning_rate(200, 5),
                          lambda: device.write(RamRegion.STATE, b"abc")],
        }  # fmt: skip
        for needed, calls in needs.items():
            for call in calls:
                if needed is right:
                    call()
                    continue
                with pytest.raises(RightError, match=f"needs the key to {needed.word}, and the"):
                    call()


def test_outputs_are_shown_and_no_samples(port: str) -> None:
    """Until the next request, to who trains."""
    outputs = 2 * INPUT_BYTES + TARGET_BYTES  # where fake.c has them: behind input, target, latent
    with SerialTransport(port) as transport:
        device = opened(transport)
        for _ in range(2):
            device.write_sample(sample(1))
            with pytest.raises(RightError, match="shows its state and the outputs of an inference"):
                device.read(RamRegion.ARENA, outputs, 12)
            device.infer()
            assert len(device.read(RamRegion.ARENA, outputs, 8)) == 8
            assert len(device.read(RamRegion.ARENA, outputs + 4, 8)) == 8
            for offset, nbytes in ((outputs - 1, 4), (outputs + 9, 4), (0, 16), (0, outputs + 12)):
                if offset + nbytes <= device.info.arena_bytes:
                    with pytest.raises(RightError):
                        device.read(RamRegion.ARENA, offset, nbytes)
            device.read(RamRegion.STATE, 0, 4)
            assert len(device.read(RamRegion.ARENA, outputs, 12)) == 12
            device.digest()
            with pytest.raises(RightError):
                device.read(RamRegion.ARENA, outputs, 12)


def test_the_device_itself_asks_for_the_right(wire: Wire) -> None:
    session = Session(wire).begun()
    for message, fields, right in (
        (Message.RESET, (5,), Right.TRAIN),
        (Message.READ, (RamRegion.STATE, 0, 8), Right.WRITE),
        (Message.READ, (RamRegion.ARENA, 0, 8), Right.READ),
        (Message.READ, (2, 0, 8), Right.READ),
        (Message.WRITE, (RamRegion.ARENA, 0), Right.WRITE),
        (Message.INFER, (), Right.READ),
        (Message.STORE, (protocol.StoreAction.SAVE,), Right.READ),
        (Message.STORE, (protocol.StoreAction.LOOK,), Right.TRAIN),
    ):
        session.seal.begin(Message.HELLO, (), "here")
        session.seal._message, session.seal._right = message, right
        session.seq += 1
        sealed = session.seal.sealed(session.seq, request(message, *fields))
        assert session.answered(sealed) == (Status.RIGHT, b""), message


def test_what_a_host_is_told(port: str, bare: Path) -> None:
    another = pytest.raises(RightError, match="has another key than the file given to --key")
    with SerialTransport(port) as transport, another:
        opened(transport, Keys.of_master(bytes(32)))
    with SerialTransport(port) as transport:
        device = opened(transport, None)
        with pytest.raises(RightError, match="obeys only who has its key: give the file to --key"):
            device.digest()
    with SerialTransport(port) as transport:
        device = opened(transport)
        with pytest.raises(RightError, match="no key gives the right to WRITE what is not the"):
            device.write(RamRegion.ARENA, b"abc")
        assert device.digest().steps == 0  # the session goes on
    none = pytest.raises(RightError, match="the device has no key, and obeys anyone")
    with simulate("native", bare) as path, SerialTransport(path) as transport, none:
        opened(transport)


def test_the_code_is_the_specifications(session: Session) -> None:
    """Computed anew from the text of SPEC 2.5."""
    frame = session.frame(Message.RESET, 5)
    key = hmac.digest(MASTER_KEY, b"mcutrain write", "sha256")
    head = struct.pack("<B16s", 1, session.nonce) + session.seal._host_nonce
    head += struct.pack("<HIBB", session.seq, 2, 2, Message.RESET)
    code = hmac.digest(key, head + SEED, hashlib.sha256)[:16]

    assert frame.payload == struct.pack("<BIB", 2, 2, Message.RESET) + SEED + code
