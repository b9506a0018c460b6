# SPDX-License-Identifier: Apache-2.0
"""Requests over bad lines: what is repeated, when, and what is said if nothing helps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcutrain.host.errors import TransportError
from mcutrain.host.link import protocol
from mcutrain.host.link.device import Device
from mcutrain.host.link.frame import Frame, FrameReader, encode
from mcutrain.host.link.protocol import Message, RamRegion, Status
from mcutrain.host.link.transport import SerialTransport, Transport
from mcutrain.host.simulation.simulator import simulate
from tests.support.fake_model.build import BURSTS_PORT, build_mps2, build_native
from tests.support.noisy_line import NoisyLine
from tests.support.paths import ROOT
from tests.support.sessions import CLASSES, INPUT_BYTES, sample
from tests.support.simulated_boards import board_param

MINUTE = 60.0  # only so that a fault cannot hang the suite


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_native(tmp_path_factory.mktemp("exchange"))


@pytest.fixture(scope="module")
def bursts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_native(tmp_path_factory.mktemp("bursts"), port=BURSTS_PORT)


@pytest.fixture
def port(elf: Path) -> Iterator[str]:
    with simulate("native", elf) as path:
        yield path


class Between(Transport):
    """A transport that does something to what passes."""

    def __init__(self, inner: Transport) -> None:
        self.name, self.inner, self.sent = inner.name, inner, list[Frame]()
        self._reader = FrameReader()

    def write(self, data: bytes) -> None:
        self.sent += self._reader.feed(data)
        self.inner.write(data)

    def read(self, timeout_s: float) -> bytes:
        return self.inner.read(timeout_s)

    def discard(self) -> None:
        self.inner.discard()

    def close(self) -> None:
        self.inner.close()

    def names(self) -> list[str]:
        return [Message(frame.type).name for frame in self.sent]


def train(device: Device, steps: int = 4) -> bytes:
    device.reset(7)
    for index in range(steps):
        device.write_sample(sample(index))
        device.step(index % CLASSES)
    return device.read(RamRegion.STATE)


class Chatter(Between):
    """Another program's lines around all frames, in either direction."""

    LINE = b"I (312) boot: ESP-IDF v5.1\r\n"

    def __init__(self, inner: Transport) -> None:
        super().__init__(inner)
        self._replies = FrameReader()

    def write(self, data: bytes) -> None:
        super().write(self.LINE + data + self.LINE)

    def read(self, timeout_s: float) -> bytes:
        frames = self._replies.feed(self.inner.read(timeout_s))
        return b"".join(self.LINE + encode(frame) + self.LINE for frame in frames)


class Echo(Between):
    """Both ends hear themselves."""

    def __init__(self, inner: Transport) -> None:
        super().__init__(inner)
        self._heard = b""

    def write(self, data: bytes) -> None:
        super().write(data)
        self._heard += data

    def read(self, timeout_s: float) -> bytes:
        data, self._heard = self._heard, b""
        said = self.inner.read(timeout_s)
        if said:
            self.inner.write(said)
        return data + said


@pytest.mark.parametrize("line", [Chatter, Echo])
def test_other_bytes_cost_no_frame(line: type[Between], port: str) -> None:
    """No request is sent twice, with time-outs that no test waits for."""
    with SerialTransport(port) as serial:
        between = line(serial)
        device = Device.open(between, None, None, MINUTE, MINUTE, adapts=False)
        train(device)
        names = between.names()

        assert names.count("STEP") == 4
        assert len({frame.seq for frame in between.sent}) == len(between.sent)


class Doubling(Between):
    """Sends each request three times in a row: copies come in while the first is executed."""

    def write(self, data: bytes) -> None:
        super().write(3 * data)


class Damaging(Between):
    """Damages the first copy of each request, or of each reply."""

    def __init__(self, inner: Transport, damages_replies: bool) -> None:
        super().__init__(inner)
        self._damages_replies = damages_replies
        self._done: set[Frame] = set()
        self._replies = FrameReader()

    def _damaged(self, frame: Frame) -> bytes:
        wire = bytearray(encode(frame))
        if frame not in self._done:
            self._done.add(frame)
            wire[len(wire) // 2] ^= 0xFF
            wire[len(wire) // 2] |= 1
        return bytes(wire)

    def write(self, data: bytes) -> None:
        if self._damages_replies:
            super().write(data)
            return
        for frame in (found := self._reader.feed(data)):
            self.inner.write(self._damaged(frame))
        self.sent += found

    def read(self, timeout_s: float) -> bytes:
        data = self.inner.read(timeout_s)
        if not self._damages_replies:
            return data
        return b"".join(self._damaged(frame) for frame in self._replies.feed(data))


@pytest.mark.parametrize("damages_replies", [False, True])
def test_a_damaged_frame_is_repeated_at_once(damages_replies: bool, port: str) -> None:
    """Without a time-out: those are a minute long."""
    with SerialTransport(port) as serial:
        clean = train(Device.open(serial, None, None))
    with SerialTransport(port) as serial:
        damaging = Damaging(serial, damages_replies)
        device = Device.open(damaging, None, None, MINUTE, MINUTE, adapts=False)

        assert train(device) == clean
        assert damaging.names().count("STEP") == 8


class TooLong(Between):
    """Lets no long frame through, either way."""

    LONGEST = 96  # a reply to HELLO passes

    def __init__(self, inner: Transport) -> None:
        super().__init__(inner)
        self._replies = FrameReader()

    def _cut(self, wire: bytes) -> bytes:
        return wire if len(wire) <= self.LONGEST else wire[:20] + wire[30:]

    def write(self, data: bytes) -> None:
        self.inner.write(self._cut(data))

    def read(self, timeout_s: float) -> bytes:
        frames = self._replies.feed(self.inner.read(timeout_s))
        return b"".join(self._cut(encode(frame)) for frame in frames)


def test_frames_get_as_short_as_the_line_wants_them(port: str) -> None:
    """Samples, states that are written, and replies; without a time-out."""
    with SerialTransport(port) as serial:
        clean = train(Device.open(serial, None, None))
    with SerialTransport(port) as serial:
        device = Device.open(TooLong(serial), None, None, MINUTE, MINUTE, adapts=False)
        assert train(device) == clean
        device.write(RamRegion.STATE, clean[::-1])
        assert device.read(RamRegion.STATE) == clean[::-1]


@pytest.mark.parametrize("rate", [1e-3, 1e-2])
def test_faults_per_byte_never_change_the_training_state(rate: float, elf: Path) -> None:
    with simulate("native", elf) as path, SerialTransport(path) as serial:
        clean = train(Device.open(serial, None, None), 60)
    with simulate("native", elf) as path, SerialTransport(path) as serial:
        line = NoisyLine(serial, 5, per_byte=rate)

        assert train(Device.open(line, None, None), 60) == clean
        assert line.faults.total() > 10


@pytest.mark.slow
@pytest.mark.parametrize("board", [board_param("mps2_an386")])
def test_interrupts_and_the_main_loop_agree_under_link_time_optimisation(
    board: str, elf: Path, tmp_path: Path
) -> None:
    """All of the firmware is one unit to the compiler then, and it may move what no fence holds.
    Bytes come in while requests are executed, damaged ones too."""
    built = build_mps2(tmp_path, "-flto")
    with simulate("native", elf) as path, SerialTransport(path) as serial:
        clean = train(Device.open(serial, None, None), 20)
    for line in (lambda serial: NoisyLine(serial, 6, per_byte=2e-3), Chatter, Doubling):
        with simulate(board, built) as path, SerialTransport(path) as serial:
            device = Device.open(line(serial), None, None)  # type: ignore[no-untyped-call]

            assert train(device, 20) == clean


LAST_PIECE = 200  # its offset


class Late(Between):
    """A slow reply: the sample is repeated, and its copy arrives with what follows it."""

    def __init__(self, inner: Transport) -> None:
        super().__init__(inner)
        self._held = b""
        self._copies = 0

    def write(self, data: bytes) -> None:
        self.sent += (frames := self._reader.feed(data))
        if frames[0].type == Message.SAMPLE and frames[0].payload[0] == LAST_PIECE:
            self._copies += 1
            if self._copies == 2:
                self._held = data
                return
        self.inner.write(self._held + data)
        self._held = b""

    def read(self, timeout_s: float) -> bytes:
        if self._copies == 1:
            time.sleep(timeout_s)
            return b""
        return self.inner.read(timeout_s)


def test_a_request_behind_a_repeat_is_not_lost_for_good(bursts: Path) -> None:
    """As on a board that counts instructions: only a step's own time-out repeats it, which no step
    reaches. The device tells that it has dropped the step's first bytes."""
    with simulate("native", bursts) as path, SerialTransport(path) as serial:
        late = Late(serial)
        device = Device.open(late, None, None, 0.1, MINUTE, patience_s=MINUTE / 6, adapts=False)
        for at in range(0, INPUT_BYTES, 100):
            device._request(Message.SAMPLE, at, data=sample(1)[at : at + 100])

        assert device.step(1).steps == 1
    assert [name for name in late.names() if name != "HELLO"] == [*["SAMPLE"] * 4, "STEP", "STEP"]


def said(make: Callable[[Transport], Transport], port: str) -> str:
    """What a request over this line ends with."""
    with SerialTransport(port) as serial:
        device = Device.open(serial, None, None)
        device._exchange.transport, device._patience_s = make(serial), 0.3
        with pytest.raises(TransportError) as silence:
            device.digest()
    return str(silence.value).partition("no answer to DIGEST in 0.3 s; ")[2]


class Deaf(Between):
    """Nothing reaches the device; something else is heard."""

    def __init__(self, inner: Transport, heard: Callable[[bytes], bytes]) -> None:
        super().__init__(inner)
        self._say, self._heard = heard, b""

    def write(self, data: bytes) -> None:
        self._heard += self._say(data)

    def read(self, timeout_s: float) -> bytes:
        data, self._heard = self._heard, b""
        time.sleep(0 if data else timeout_s)
        return data


def damage(wire: bytes) -> bytes:
    return wire[:3] + b"\x99\x98" + wire[4:]


@pytest.mark.rows
@pytest.mark.parametrize(
    ("heard", "match"),
    [
        (lambda wire: b"", "nothing arrived; check the cable"),
        (lambda wire: wire, "what this program sent came back"),
        (lambda wire: b"login: \x80", r"bytes arrived that are no frame ('login: .login: ."),
        (damage, "damaged frames arrived"),
        (lambda wire: encode(Frame(0x83, 9, b"\0")), "replies to other requests arrived"),
    ],
)
def test_a_time_out_says_what_arrived(
    heard: Callable[[bytes], bytes], match: str, port: str
) -> None:
    text = said(lambda inner: Deaf(inner, heard), port)

    assert match in text
    assert "\n" not in text


def test_a_babbling_line_makes_no_storm(port: str) -> None:
    """Each damaged frame, and each false word of one, repeats a request a few times and no more."""
    sent = 0

    def babble(wire: bytes) -> bytes:
        nonlocal sent
        sent += 1
        lost = Frame(protocol.REPLY, FrameReader().feed(wire)[0].seq, bytes([Status.DAMAGED & 255]))
        return (b"\x07noise\0\0" + encode(lost)) * 50

    said(lambda inner: Deaf(inner, babble), port)

    assert 16 < sent < 32


def test_an_old_word_of_damage_repeats_nothing(port: str) -> None:
    """One that was said before the session's last request but one."""

    class Old(Between):
        def read(self, timeout_s: float) -> bytes:
            data = self.inner.read(timeout_s)
            old = Frame(
                protocol.REPLY, self.sent[-1].seq - 2 & 0xFFFF, bytes([Status.DAMAGED & 255])
            )
            return encode(old) + data if data else b""

    with SerialTransport(port) as serial:
        old = Old(serial)
        train(Device.open(old, None, None, MINUTE, MINUTE, adapts=False))

        assert old.names().count("STEP") == 4
        sent = [frame.seq for frame in old.sent if frame.type != Message.HELLO]
        assert len(set(sent)) == len(sent)


STOPPED = """
import os, signal, sys
from mcutrain.host.link.device import Device
from mcutrain.host.link.transport import SerialTransport

class Stopping(SerialTransport):
    stops = 0

    def {method}(self, what):
        if self.stops:
            self.stops -= 1
            os.kill(os.getpid(), signal.SIGSTOP)
        return super().{method}(what)

transport = Stopping(sys.argv[1])
device = Device.open(transport, None, None)
device._patience_s = 0.5
transport.stops = 2
print(device.digest().steps, device.digest().steps)
"""


@pytest.mark.parametrize("method", ["write", "read"])
def test_a_pause_of_the_host_is_no_silence_of_the_device(method: str, port: str) -> None:
    """A pause that is longer than the patience, before a request or while its reply comes."""
    command = [sys.executable, "-c", STOPPED.format(method=method), port]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as host:
        for _ in range(2):
            _, status = os.waitpid(host.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status)
            time.sleep(1.0)
            os.kill(host.pid, signal.SIGCONT)
        assert host.stdout is not None
        assert host.stdout.read() == b"0 0\n"
