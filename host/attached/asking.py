# SPDX-License-Identifier: Apache-2.0
"""Asks what is at a serial port: HELLO, with a short time-out, unless another program has it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from mcutrain.host.attached.bootloaders import Listening, bootloader_at, bootloader_told
from mcutrain.host.attached.holders import holder_of
from mcutrain.host.building.known import KnownBuild, known_build
from mcutrain.host.errors import DeviceError, MismatchError, ProtocolError, TransportError
from mcutrain.host.link import health
from mcutrain.host.link.device import Device
from mcutrain.host.link.protocol import Hello
from mcutrain.host.link.transport import SerialTransport

# An AVR's bootloader takes up to two seconds after the reset that opening the port makes.
PATIENCE_S = 3.0


class State(Enum):
    """What came of asking a port. OLD is a firmware of another version; OTHER is a program that is
    not mcutrain's; UNUSABLE is a port that cannot be opened."""

    ANSWERS = "answers"
    OLD = "other version"
    SILENT = "silent"
    OTHER = "other program"
    BOOTLOADER = "bootloader"
    UNUSABLE = "unusable"
    IN_USE = "in use"
    NOT_ASKED = "not asked"


@dataclass(frozen=True)
class Answer:
    """What a port has said: ``hello`` if a firmware answers; ``build`` if it is one that this
    computer has built; ``told`` is a sentence for people."""

    state: State
    told: str
    hello: Hello | None = None
    build: KnownBuild | None = None

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"state": self.state.value, "told": self.told, "firmware": None}
        if self.hello is not None:
            found["firmware"] = {
                "model": None if self.build is None else self.build.model,
                "board": None if self.build is None else self.build.board,
                "build_hash": self.hello.build_hash.hex(),
                "numerics_hash": self.hello.numerics_hash.hex(),
                "steps": self.hello.steps,
                "arena_bytes": self.hello.arena_bytes,
                "state_bytes": self.hello.state_bytes,
                "device": health.to_json(self.hello),
            }
        return found


def ask(port: str, baud: int, patience_s: float | None = None, *, greets: bool = True) -> Answer:
    """What answers at a port. It is left alone if another program has it. ``greets``: a bootloader
    is looked for where no firmware answers."""
    patience_s = PATIENCE_S if patience_s is None else patience_s
    if (holder := holder_of(port)) is not None:
        return Answer(State.IN_USE, f"{holder} has it open: end that program")
    try:
        transport = SerialTransport(port, baud)
    except TransportError as error:
        is_taken = "another program" in str(error)
        return Answer(State.IN_USE if is_taken else State.UNUSABLE, without_name(error, port))
    with Listening(transport) as line:
        try:
            device = Device.open(
                line, None, None, patience_s=patience_s, hello_patience_s=patience_s
            )
        except (MismatchError, ProtocolError, DeviceError) as error:
            return Answer(State.OLD, without_name(error, port))
        except TransportError as error:
            silence = error
        else:
            return answered(device.info)
    return unanswered(port, bytes(line.heard), silence, greets)


def without_name(error: Exception, port: str) -> str:
    return str(error).removeprefix(f"{port}: ")


def answered(hello: Hello) -> Answer:
    """What is said of a firmware that answers."""
    build = known_build(hello.build_hash)
    name = f"build {hello.build_hash.hex()}, which was not built here"
    if build is not None:
        name = f"{build.model} for {build.board}, build {hello.build_hash.hex()}"
    device = f"device {hello.id_text}; " if hello.id_text else ""
    told = f"{device}{name}; {hello.steps:,} steps learned; {health.told(hello)}"
    return Answer(State.ANSWERS, told, hello, build)


def unanswered(port: str, heard: bytes, error: TransportError, greets: bool) -> Answer:
    """What is said of a port where no firmware answers."""
    told = bootloader_told(heard) or (bootloader_at(port) if greets else None)
    if told is not None:
        return Answer(State.BOOTLOADER, told)
    if heard:
        _, _, told = str(error).partition("; ")
        return Answer(State.OTHER, told)
    return Answer(State.SILENT, "nothing answers: flash it with `mcutrain flash`, or reset it")
