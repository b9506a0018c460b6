# SPDX-License-Identifier: Apache-2.0
"""The link of a build that receives ahead, with a fake model: the next sample during a step."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcutrain.host.link import protocol
from mcutrain.host.link.device import Device
from mcutrain.host.link.frame import Frame, encode
from mcutrain.host.link.protocol import Message, RamRegion, Status
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.simulation.simulator import simulate
from tests.support.fake_model.build import BUILD_HASH, NUMERICS_HASH, build_native
from tests.support.noisy_line import NoisyLine
from tests.support.sessions import (
    CALLS,
    CLASSES,
    INPUT_BYTES,
    TARGET_BYTES,
    Wire,
    latent,
    refused,
    sample,
)


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_native(tmp_path_factory.mktemp("ahead"), "-DFAKE_AHEAD=1")


@pytest.fixture
def port(elf: Path) -> Iterator[str]:
    with simulate("native", elf) as path:
        yield path


@pytest.fixture
def device(port: str) -> Iterator[Device]:
    with SerialTransport(port) as transport:
        yield Device.open(transport, BUILD_HASH, NUMERICS_HASH)


def target(index: int) -> bytes:
    return sample(index + 500)[:TARGET_BYTES]


def begin(device: Device) -> None:
    device.reset(7)
    device.set_learning_rate(200, 5)


def train_whole(device: Device, steps: int) -> bytes:
    begin(device)
    for index in range(steps):
        device.write_sample(sample(index))
        device.step(index % CLASSES)
    return device.read(RamRegion.STATE)


def train_ahead(device: Device, steps: int) -> bytes:
    """The same steps, each sample sent during the one before."""
    begin(device)
    device.write_sample(sample(0))
    for index in range(steps):
        device.start(index % CLASSES)
        device.write_target(target(index + 1))
        device.write_sample(sample(index + 1))
        assert device.finish(index % 2 == 0).steps == index + 1
    return device.read(RamRegion.STATE)


def test_samples_that_come_during_steps_train_alike(device: Device) -> None:
    assert train_ahead(device, 12) == train_whole(device, 12)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_bad_link_never_changes_the_training_state(elf: Path, seed: int) -> None:
    with simulate("native", elf) as path, SerialTransport(path) as transport:
        clean = train_whole(Device.open(transport, None, None), steps=40)
    with simulate("native", elf) as path, SerialTransport(path) as transport:
        faulty = NoisyLine(transport, seed, per_block=0.15)
        device = Device.open(faulty, None, None, reply_timeout_s=0.01, step_timeout_s=0.01)

        assert train_ahead(device, steps=40) == clean
        assert faulty.faults.total() > 50


def test_a_started_step_runs_by_itself_up_to_its_last_call(device: Device) -> None:
    """That is left for FINISH, so a step is under way for as long as nobody asked for its end."""
    device.write_sample(sample(1))
    device.start(1)
    until = time.monotonic() + 60  # only so that a fault cannot hang the suite
    while (now := device.run(0)).next_call < CALLS - 1:
        assert time.monotonic() < until
    assert not now.is_done
    time.sleep(0.05)
    assert device.run(0).next_call == CALLS - 1
    assert device.digest().steps == 0

    requests: list[Callable[[], object]] = [
        lambda: device.write_latent(latent(1)),
        device.run_prefix,
        lambda: device.recall_latent(0),
        lambda: device.step(1),
        lambda: device.begin(1),
        lambda: device.start(1),
        device.infer,
        lambda: device.set_learning_rate(128, 3),
        lambda: device.write(RamRegion.STATE, b"x"),
    ]
    assert {refused(request) for request in requests} == {Status.BUSY}
    assert device.finish().steps == 1
    assert refused(device.finish) == Status.IDLE


def test_a_begun_step_waits_for_run_as_ever(device: Device) -> None:
    device.write_sample(sample(1))
    device.start(1)
    device.finish()
    device.write_sample(sample(2))
    device.begin(1)
    time.sleep(0.05)

    assert device.run(0).next_call == 0
    assert device.finish().steps == 2


def test_run_and_reset_end_a_started_step_too(device: Device) -> None:
    device.write_sample(sample(1))
    device.start(1)
    assert device.run(CALLS).is_done
    assert refused(device.finish) == Status.IDLE
    device.write_sample(sample(2))
    device.start(1)
    device.reset(0)
    assert refused(device.finish) == Status.IDLE


def test_a_target_that_comes_during_a_step_is_the_next_one_s(device: Device) -> None:
    device.write_target(target(1))
    device.write_sample(sample(1))
    device.start(1)
    device.write_target(target(2))
    assert device.read(RamRegion.ARENA, INPUT_BYTES, TARGET_BYTES) == target(1)
    device.finish()
    device.write_sample(sample(2))
    device.start(1)
    assert device.read(RamRegion.ARENA, INPUT_BYTES, TARGET_BYTES) == target(2)


def test_a_step_on_a_sample_that_is_not_whole_is_refused(device: Device) -> None:
    assert refused(lambda: device.step(0)) == Status.SAMPLE
    device.write_sample(sample(1))
    device.start(1)
    device._request(Message.SAMPLE, 0, data=sample(2)[:100])
    device.finish()
    for request in (device.start, device.step, device.begin):
        assert refused(lambda request=request: request(1)) == Status.SAMPLE  # type: ignore[misc]
    assert refused(device.infer) == refused(device.run_prefix) == Status.SAMPLE
    device._request(Message.SAMPLE, 100, data=sample(2)[100:200])
    device._request(Message.SAMPLE, 200, data=sample(2)[200:])
    assert device.step(1).steps == 2


def test_what_was_written_last_is_what_a_step_begins_at(device: Device) -> None:
    """A sample that comes during a step from the latent takes its turn after it."""
    begin(device)
    for index in (1, 2):
        device.write_sample(sample(index))
        device.step(1)
    expected = device.read(RamRegion.STATE)
    begin(device)
    device.write_latent(latent(1))
    device.start(1)
    device.write_sample(sample(2))
    device.finish()
    device.step(1)

    assert device.read(RamRegion.STATE) == expected


def test_a_sample_frame_may_be_cut_at_any_byte(port: str) -> None:
    with SerialTransport(port) as transport:
        clean = train_whole(Device.open(transport, None, None), 2)
    with SerialTransport(port) as transport:
        wire, seq = Wire(transport), 0

        def ask(message: Message, *fields: int, data: bytes = b"", cut: int | None = None) -> bytes:
            nonlocal seq
            seq += 1
            frame = Frame(message, seq, protocol.request(message, *fields, data=data))
            if cut is not None:
                transport.write(encode(frame)[:cut])
            return wire.replies(frame)[0][2]

        def write(index: int, cut: int | None = None) -> None:
            for at in range(0, INPUT_BYTES, 100):
                piece = sample(index)[at : at + 100]
                end = struct.pack("<I", at + len(piece))
                assert ask(Message.SAMPLE, at, data=piece, cut=cut) == b"\0" + end

        wire.replies(Frame(Message.HELLO, 0))
        for cut in range(1, 112, 5):
            ask(Message.RESET, 7)
            ask(Message.LEARNING_RATE, 200, 5)
            write(0)
            assert ask(Message.START, 0) == b"\0"
            write(1, cut)
            ask(Message.FINISH, 0)
            ask(Message.START, 1)
            ask(Message.FINISH, 0)
            moved = ask(Message.READ, RamRegion.STATE, 2 * INPUT_BYTES, 120)[1:]

            assert moved == clean[2 * INPUT_BYTES :][:120] != bytes(120), cut


def test_a_repeated_piece_is_answered_again_and_not_executed(port: str) -> None:
    """Executed twice it would be out of its order, or the sample not whole."""
    with SerialTransport(port) as transport:
        wire = Wire(transport)
        pieces = [
            Frame(Message.SAMPLE, seq, protocol.request(Message.SAMPLE, at, data=bytes(100)))
            for seq, at in ((1, 0), (2, 100), (3, 200), (5, 0), (6, 100), (7, 200))
        ]
        wire.replies(Frame(Message.HELLO, 0), *pieces[:3])
        start, finish = Frame(Message.START, 4, bytes(4)), Frame(Message.FINISH, 8, bytes(1))
        found = wire.replies(start, *(p for piece in pieces[3:] for p in (piece, piece)))
        assert {reply[2][:1] for reply in found} == {b"\0"}
        first, second = wire.replies(finish, finish)

        assert first == second
        assert wire.replies(Frame(Message.START, 9, bytes(4)))[0][2] == b"\0"


@pytest.mark.slow
@pytest.mark.parametrize("message", [Message.START, Message.FINISH])
def test_a_build_that_does_not_receive_ahead_does_not_know_them(
    message: Message, tmp_path: Path
) -> None:
    with (
        simulate("native", build_native(tmp_path)) as path,
        SerialTransport(path) as transport,
    ):
        device = Device.open(transport, None, None)
        assert refused(lambda: device._request(message, 0)) == Status.MESSAGE
