# SPDX-License-Identifier: Apache-2.0
"""Both ends of the link read and write the frames of tests/golden/frames.txt.

`python -m tests.firmware.test_frame` prints that file anew.
"""

from __future__ import annotations

import ctypes
import itertools
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from mcutrain.host.link.frame import Frame, FrameReader, decode, encode
from tests.support.fake_model.build import build_frame_library
from tests.support.paths import GOLDEN

FRAMES = GOLDEN / "frames.txt"
LARGEST_RAW_BYTES = 2048

EXAMPLES = {
    "hello": Frame(1, 1),
    "last-number": Frame(1, 0xFFFF),
    "reset": Frame(2, 2, bytes([7, 0, 0, 0])),
    "zeros": Frame(4, 0, bytes(8)),
    "exact-block": Frame(4, 0x0101, b"\x5a" * 246 + b"\1"),
    "block-then-zero": Frame(4, 0x0101, b"\x5a" * 251 + b"\0"),
    "block-then-byte": Frame(4, 0x0101, b"\x5a" * 252),
    "two-blocks": Frame(4, 0x0101, b"\x5a" * 505 + b"\0\0"),
    "reply-busy": Frame(0x85, 3, b"\xff"),
}


def shortened(data: bytes) -> str:
    """Hex bytes, a run of more than four as `5a*246`."""
    words = []
    for byte, run in itertools.groupby(data):
        count = len(list(run))
        words += [f"{byte:02x}*{count}"] if count > 4 else [f"{byte:02x}"] * count
    return " ".join(words) or "-"


def expanded(text: str) -> bytes:
    """The opposite of `shortened`."""
    data = b""
    for word in text.replace("-", "").split():
        byte, _, count = word.partition("*")
        data += bytes.fromhex(byte) * int(count or 1)
    return data


def golden_frames() -> dict[str, tuple[Frame, bytes]]:
    frames = {}
    for line in FRAMES.read_text().splitlines():
        if line and not line.startswith("#"):
            name, kind, seq, payload, wire = (field.strip() for field in line.split("|"))
            frames[name] = (Frame(int(kind, 0), int(seq, 0), expanded(payload)), expanded(wire))
    return frames


class CFrames:
    """runtime/frame.c."""

    class Decoder(ctypes.Structure):
        _fields_ = [
            ("data", ctypes.c_void_p),
            ("capacity", ctypes.c_uint32),
            ("nbytes", ctypes.c_uint32),
            ("crc", ctypes.c_uint32),
            ("left", ctypes.c_uint8),
            ("owes_zero", ctypes.c_bool),
            ("is_begun", ctypes.c_bool),
            ("is_bad", ctypes.c_bool),
            ("is_whole", ctypes.c_bool),
            ("is_damaged", ctypes.c_bool),
        ]

    WHOLE, DAMAGED = 1, 2  # mct_frame_event

    def __init__(self, library: Path, capacity: int = LARGEST_RAW_BYTES) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.mct_frame_encode.restype = ctypes.c_uint32
        self.damaged = 0
        self._data = ctypes.create_string_buffer(capacity)
        self._decoder = self.Decoder(ctypes.addressof(self._data), capacity)

    def encode(self, frame: Frame) -> bytes:
        """In place, as the session does."""
        raw = bytes([frame.type]) + frame.seq.to_bytes(2, "little") + frame.payload
        gap = (len(raw) + 4) // 254 + 2
        buffer = ctypes.create_string_buffer(b"\xee" * gap + raw + b"\xee" * 6)
        address = ctypes.addressof(buffer)
        nbytes = self._library.mct_frame_encode(
            ctypes.c_void_p(address + gap), len(raw), ctypes.c_void_p(address)
        )
        assert nbytes <= len(buffer) - 1
        return buffer.raw[:nbytes]

    def feed(self, data: bytes) -> list[Frame]:
        frames = []
        for byte in data:
            event = self._library.mct_frame_push(ctypes.byref(self._decoder), byte)
            self.damaged += event == self.DAMAGED
            if event == self.WHOLE:
                raw = self._data.raw[: self._decoder.nbytes - 4]
                frames.append(Frame(raw[0], int.from_bytes(raw[1:3], "little"), raw[3:]))
        return frames


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_frame_library(tmp_path_factory.mktemp("frame"))


def test_golden_file_has_every_example() -> None:
    assert {name: frame for name, (frame, _) in golden_frames().items()} == EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_python_encodes_and_decodes_as_the_golden_file_says(name: str) -> None:
    frame, wire = golden_frames()[name]

    assert encode(frame) == wire
    assert decode(wire.strip(b"\0")) == frame


@pytest.mark.parametrize("name", EXAMPLES)
def test_c_encodes_and_decodes_as_the_golden_file_says(name: str, library: Path) -> None:
    frame, wire = golden_frames()[name]

    assert CFrames(library).encode(frame) == wire
    assert CFrames(library).feed(wire) == [frame]


def test_twins_agree_on_random_frames(library: Path) -> None:
    rng = random.Random(1)
    c = CFrames(library)
    for _ in range(300):
        alphabet = rng.choice([b"\0", b"\1", b"\0\1", bytes(range(256))])
        payload = bytes(rng.choices(alphabet, k=rng.choice([0, 1, 9, 246, 247, 248, 600])))
        frame = Frame(rng.randrange(256), rng.randrange(0x10000), payload)

        assert c.encode(frame) == encode(frame)
        assert c.feed(encode(frame)) == [frame]


def test_damaged_frames_are_dropped_and_the_next_one_is_read(library: Path) -> None:
    rng = random.Random(2)
    good = Frame(5, 77, b"after the damage")
    readers: list[Callable[[bytes], list[Frame]]] = [
        CFrames(library).feed,
        FrameReader().feed,
    ]
    for _ in range(200):
        wire = bytearray(encode(Frame(4, 76, rng.randbytes(300))))
        wire[rng.randrange(len(wire) - 1)] ^= 1 << rng.randrange(8)
        for feed in readers:
            assert feed(bytes(wire[: rng.randrange(1, len(wire))]) + b"\0" + encode(good)) == [good]


def test_c_drops_a_frame_longer_than_its_buffer(library: Path) -> None:
    c = CFrames(library, capacity=64)
    largest, good = Frame(4, 1, b"x" * 57), Frame(4, 3, b"y")

    assert c.feed(encode(largest) + encode(Frame(4, 2, b"x" * 58)) + encode(good)) == [
        largest,
        good,
    ]


def test_bytes_between_frames_cost_no_frame_and_are_no_damaged_one(library: Path) -> None:
    """Boot text, log lines, noise: of any bytes, whole lines or cut off, without two zeros."""
    rng = random.Random(3)
    c, reader = CFrames(library), FrameReader()
    for size in (1, 2, 7, 40, 254, 255, 3000):
        for noise in (b"boot: ok\r\n" * size, rng.randbytes(size).replace(b"\0\0", b"\0\1")):
            good = Frame(5, rng.randrange(0x10000), rng.randbytes(rng.randrange(300)))
            stream = (noise[:-1] + b"x") + encode(good)

            assert c.feed(stream) == reader.feed(stream) == [good]
    assert c.damaged == reader.damaged == 0


def test_a_damaged_frame_is_told_once_at_its_end(library: Path) -> None:
    """Whatever was done to the bytes before its two zeros, as one block or as several."""
    rng = random.Random(4)
    c, reader = CFrames(library), FrameReader()
    for count in range(1, 200):
        wire = bytearray(encode(Frame(4, 76, rng.randbytes(rng.randrange(200)))))
        at = rng.randrange(2, len(wire) - 3)
        wire[at] = 0 if count % 3 == 0 else wire[at] ^ (1 << rng.randrange(8)) or 0x55
        before = c.damaged, reader.damaged
        for event in range(1, len(wire) + 1):
            last = bytes(wire[event - 1 : event])
            assert c.feed(last) == reader.feed(last) == []
            told = c.damaged - before[0], reader.damaged - before[1]
            assert told[0] == told[1] == (event == len(wire)), (count, event)


if __name__ == "__main__":
    print("# Frames as both ends of the link must write and read them.")
    print("# name | type | sequence number | payload | bytes on the wire (5a*3 is 5a 5a 5a)")
    for name, frame in EXAMPLES.items():
        fields = f"{frame.type:#04x} | {frame.seq} | {shortened(frame.payload)}"
        print(f"{name} | {fields} | {shortened(encode(frame))}")
