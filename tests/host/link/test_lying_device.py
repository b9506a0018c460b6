# SPDX-License-Identifier: Apache-2.0
"""A device that tells what cannot be is refused in one line, before anything is saved."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from mcutrain.host.building.firmware import Build, build
from mcutrain.host.building.target import Target
from mcutrain.host.errors import ProtocolError
from mcutrain.host.link import protocol
from mcutrain.host.link.device import Device
from mcutrain.host.link.protocol import Hello, Message
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.training.runners import DeviceRunner, running
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from tests.support.lying_line import Lie, LyingLine
from tests.support.paths import WATCH

pytestmark = pytest.mark.board


@cache
def watch() -> Build:
    target = Target.parse("native")
    return build(
        make_plan(load(WATCH / "watch.tflite"), PlanOptions("last:2"), target.chip), target
    )


def field(message: Message, index: int, value: int) -> Lie:
    """A reply with another value in one of its fields."""
    layout = protocol.REPLIES[message]

    def lie(body: bytes) -> bytes:
        fields = [*layout.unpack(body)]
        fields[index] = value
        return layout.pack(*fields)

    return lie


def hello(name: str, value: int) -> Lie:
    return field(Message.HELLO, [f.name for f in dataclasses.fields(Hello)].index(name), value)


def noise(body: bytes) -> bytes:
    return np.random.default_rng(1).bytes(len(body))


def ends(end: int) -> Lie:
    return lambda body: struct.pack("<I", end)


LIES: dict[str, tuple[Message, Lie, str]] = {
    "payload": (Message.HELLO, hello("largest_payload_bytes", 4), "takes payloads of 4 bytes"),
    "input": (Message.HELLO, hello("input_bytes", 7), "tells of 7 bytes of a sample, and its plan"),
    "classes": (Message.HELLO, hello("classes", 2**32 - 1), "tells of 4,294,967,295 classes"),
    "arena": (Message.HELLO, hello("arena_bytes", 0), "tells of 0 bytes of the arena"),
    "state": (Message.HELLO, hello("state_bytes", 2**32 - 1), "4,294,967,295 bytes of the state"),
    "calls": (Message.HELLO, hello("calls", 1), "tells of 1 kernel calls of a step"),
    "short": (Message.HELLO, lambda body: body[:20], "HELLO with 20 bytes instead of 80"),
    "weights": (Message.READ, noise, "the weights that were read have the digest"),
    "nothing": (Message.READ, lambda body: b"", "READ gave 0 bytes instead of"),
    "too much": (Message.READ, lambda body: bytes(60_000), "READ gave 60000 bytes instead of"),
    "no progress": (Message.SAMPLE, ends(0), r"SAMPLE of \d+ bytes at 0 ended at 0"),
    "beyond": (Message.SAMPLE, ends(2**32 - 1), r"at 0 ended at 4294967295"),
    "sum": (Message.STEP, field(Message.STEP, 0, 2**32 - 1), "a loss of 4,294,967,295 and"),
    "no sum": (Message.STEP, field(Message.STEP, 0, 0), "a loss of 0 and"),
    "distance": (Message.STEP, field(Message.STEP, 1, 256), "and 256, which no step has"),
    "class": (Message.STEP, field(Message.STEP, 2, 500), "predicts the class 500 of"),
    "inference": (Message.INFER, field(Message.INFER, 0, 99), "predicts the class 99 of"),
    "digest": (Message.DIGEST, field(Message.DIGEST, 4, 1), "the device tells of 00000001"),
}


def ranges(body: bytes) -> bytes:
    """The state ends with the rate's multiplier and shift."""
    return body[:-8] + b"\x01" + body[-7:]


def train(lies: dict[Message, Lie]) -> bytes:
    """A step, an inference and what would be saved."""
    built = watch()
    with running(built, ()) as (port, _), SerialTransport(port) as serial:
        line = LyingLine(serial, lies)
        device = Device.open(line, built.build_hash, built.plan.numerics_hash, patience_s=10.0)
        runner = DeviceRunner(device, built.plan)
        sample = np.zeros(built.plan.task.input.type.shape, np.int8)
        runner.reset(1)
        runner.step(sample, np.array(1), False)
        runner.predict(sample)
        return runner.state()


def refusal(lies: dict[Message, Lie], match: str) -> str:
    with pytest.raises(ProtocolError, match=match) as refused:
        train(lies)
    return str(refused.value)


@pytest.mark.rows
@pytest.mark.parametrize("name", LIES)
def test_what_cannot_be_is_refused(name: str) -> None:
    message, lie, match = LIES[name]
    text = refusal({message: lie}, match)

    assert "\n" not in text
    assert len(text) < 300


def test_a_state_that_training_never_leaves_is_refused() -> None:
    """Even if the device has a digest that fits: the rate is not in it."""
    refusal({Message.READ: ranges}, "the tensor sgd has a learning rate out of range")


def test_the_truth_is_taken() -> None:
    same: Callable[[bytes], bytes] = bytes
    assert train(dict.fromkeys(Message, same)) == train({})
