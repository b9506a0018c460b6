# SPDX-License-Identifier: Apache-2.0
"""`mcutrain monitor`: text and frames, from a line and from a file."""

from __future__ import annotations

import json
import os
import random
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mcutrain.host.attached.watching import watched_port
from mcutrain.host.defaults import BAUD
from mcutrain.host.link import protocol
from mcutrain.host.link.decode import Item, Kind, LineDecoder
from mcutrain.host.link.frame import Frame, encode
from mcutrain.host.link.protocol import Message
from mcutrain.host.simulation.simulator import simulate
from tests.support.command import Run
from tests.support.fake_model.build import build_native
from tests.support.scripted_port import scripted

OK = b"\0"
REPLY = protocol.REPLY
STEP = protocol.REPLIES[Message.STEP].pack(7, 3, 1, 9, 0xABCDEF01)
# What a line carries, and what is said of each piece.
LINE = [
    (b"boot v1\r\n", "boot v1"),
    (encode(Frame(Message.HELLO, 5)), "-> HELLO seq 5, 0 bytes, crc ok"),
    (encode(Frame(Message.STEP | REPLY, 6, OK + STEP)),
     "<- STEP seq 6, 21 bytes, crc ok, OK, sum 7, distance 3, predicted 1, steps 9, "
     "digest 2882400001"),
    (b"temperature 21.5\n", "temperature 21.5"),
    (encode(Frame(Message.WRITE | REPLY, 7, bytes([protocol.Status.STATE & 255]))),
     "<- WRITE seq 7, 1 bytes, crc ok, STATE"),
    (encode(Frame(REPLY, 7, bytes([protocol.Status.DAMAGED & 255]))),
     "<- LOST seq 7, 1 bytes, crc ok, DAMAGED"),
    (encode(Frame(77, 8, b"abc")), "-> type 77 seq 8, 3 bytes, crc ok"),
    (encode(Frame(Message.CYCLES | REPLY, 9, OK + (4711).to_bytes(4, "little"))),
     "<- CYCLES seq 9, 5 bytes, crc ok, OK, cycles 4711"),
]  # fmt: skip
RECORDED = b"".join(data for data, _ in LINE)


def decoded(data: bytes, part: int = 1 << 16) -> list[Item]:
    decoder, found = LineDecoder(), list[Item]()
    for begin in range(0, len(data), part):
        found += decoder.feed(data[begin : begin + part])
    return [*found, *decoder.flush()]


@contextmanager
def opened() -> Iterator[tuple[int, str]]:
    """The open end of a pseudo-terminal, and the path of the other."""
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    try:
        yield master, os.ttyname(slave)
    finally:
        os.close(master)
        os.close(slave)


def wait_for(kept: Path) -> None:
    """It is made when the port is open, which drops what came before."""
    while not kept.exists():
        time.sleep(0.01)


@pytest.mark.parametrize("part", [1, 3, 1000])
def test_text_and_frames_are_told_apart(part: int) -> None:
    assert [str(item) for item in decoded(RECORDED, part)] == [said for _, said in LINE]


def test_places_in_the_file_are_told() -> None:
    for item in decoded(RECORDED):
        if item.kind is Kind.TEXT:
            assert RECORDED[item.offset : item.offset + item.nbytes] == item.raw
        else:
            assert RECORDED[item.offset - 1] == RECORDED[item.offset + item.nbytes - 1] == 0


def test_a_flipped_bit_is_a_damaged_frame() -> None:
    wire = bytearray(encode(Frame(Message.SAMPLE, 3, bytes(range(1, 60)))))
    wire[20] ^= 4
    (found,) = decoded(bytes(wire))

    assert (found.kind, found.message, found.crc_ok) == (Kind.DAMAGED, "SAMPLE", False)
    assert str(found).startswith("!  damaged frame of ") and "which began as SAMPLE" in str(found)


def test_any_bytes_can_be_shown() -> None:
    """And no byte is lost of what is neither a zero nor part of a frame."""
    rng = random.Random(1)
    for _ in range(200):
        data = rng.randbytes(rng.randrange(1, 200))
        found = decoded(data, rng.randrange(1, 50))

        assert all(str(item) and json.dumps(item.to_json()) for item in found)
        assert sum(item.nbytes for item in found if item.kind is Kind.NOISE) <= len(data)
        covered = {k for item in found for k in range(item.offset, item.offset + item.nbytes)}
        assert {k for k, byte in enumerate(data) if byte} <= covered


def test_a_recorded_file_is_shown(run: Run, tmp_path: Path) -> None:
    (tmp_path / "line.bin").write_bytes(RECORDED + b"\x81\x82half")
    shown = run("monitor", "--file", tmp_path / "line.bin").out.splitlines()
    told = run("monitor", "--file", tmp_path / "line.bin", "--json").out.splitlines()

    assert shown[: len(LINE)] == [said for _, said in LINE]
    assert shown[len(LINE)].startswith("?  6 bytes that are neither text nor a frame: 81 82 68")
    first, hello, step, *_ = map(json.loads, told)
    assert (first["kind"], first["text"], first["offset"]) == ("text", "boot v1\r\n", 0)
    assert (hello["direction"], hello["message"], hello["seq"]) == ("to device", "HELLO", 5)
    assert (step["direction"], step["status"], step["crc_ok"]) == ("from device", "OK", True)
    assert step["fields"]["digest"] == 0xABCDEF01 and step["payload_bytes"] == 21


def test_a_port_is_watched_and_recorded(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with opened() as (master, port):

        def send() -> None:
            wait_for(kept)
            os.write(master, RECORDED)

        thread = threading.Thread(target=send)
        thread.start()
        watched = watched_port(port, BAUD, save=kept)
        seen = [next(watched) for _ in LINE]
        watched.close()
        thread.join()
        with pytest.raises(BlockingIOError):
            os.read(master, 1)  # nothing was sent, and nothing came back

    assert [str(each.item) for each in seen] == [said for _, said in LINE]
    assert all(str(each).strip()[0].isdigit() and each.to_json()["at_s"] >= 0 for each in seen)
    assert kept.read_bytes() == RECORDED


def test_a_line_of_text_that_has_no_end_is_shown(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with opened() as (master, port):
        thread = threading.Thread(target=lambda: (wait_for(kept), os.write(master, b"ready> ")))
        thread.start()
        watched = watched_port(port, BAUD, save=kept)
        assert str(next(watched).item) == "ready> "
        watched.close()
        thread.join()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "give --port PORT to watch a line, or --file FILE"),
        (("--port", "/dev/ttyNONE0"), "/dev/ttyNONE0: there is no such port; plug the device in"),
        (("--file", "none.bin"), "cannot read none.bin: No such file or directory"),
        (("--file", "none.bin", "--seconds", 1), "--save and --seconds are for --port"),
    ],
)
def test_what_cannot_be_watched_is_one_line(run: Run, args: tuple[object, ...], said: str) -> None:
    ran = run("monitor", *args)

    assert (ran.status, ran.out) == (1, "")
    assert said in ran.err and len(ran.err.splitlines()) == 1


def test_a_port_that_goes_is_one_line(run: Run) -> None:
    with scripted() as (port, _):
        gone = Path(port)
    ran = run("monitor", "--port", gone, "--seconds", 0.2)

    assert ran.status == 1 and len(ran.err.splitlines()) == 1


def test_a_firmware_is_not_disturbed(run: Run, tmp_path: Path) -> None:
    with simulate("native", build_native(tmp_path)) as port:
        assert run("monitor", "--port", port, "--seconds", 0.2).out == ""
