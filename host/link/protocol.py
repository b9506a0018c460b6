# SPDX-License-Identifier: Apache-2.0
"""Message ids and payloads; no I/O. Twin of firmware/mct/protocol.h and mct/status.h, which say
what they mean. All integers little-endian."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from mcutrain.host.errors import ProtocolError

VERSION = 3
REPLY = 0x80  # a reply's type is its request's with this bit; alone it answers a damaged frame
DEVICE_ID_BYTES = 12
NONCE_BYTES = 16
NO_LABEL = 0xFFFFFFFF  # in place of a label that the device does not know
ALL_CLASSES = 0xFFFFFFFF  # in place of a label: all classes of which there are latents
STEP_DIGEST = 1  # flag of STEP and FINISH: compute the digest of the learned state


class Message(IntEnum):
    """Request types."""

    HELLO = 1
    RESET = 2
    LEARNING_RATE = 3
    SAMPLE = 4
    STEP = 5
    INFER = 6
    BEGIN = 7
    RUN = 8
    DIGEST = 9
    READ = 10
    WRITE = 11
    TARGET = 12
    CLASSES = 13
    LATENT = 14
    PREFIX = 15
    KEEP = 16
    RECALL = 17
    START = 18
    FINISH = 19
    CYCLES = 20
    STORE = 21
    RECORD = 22
    COLLECT = 23
    SEALED = 24
    ENROL = 25


class Status(IntEnum):
    """First byte (int8) of every reply's payload."""

    OK = 0
    BUSY = -1
    LABEL = -2
    MESSAGE = -3
    RANGE = -4
    SESSION = -5
    IDLE = -6
    SAMPLE = -7
    DAMAGED = -8
    STATE = -9
    FLASH = -10
    NOTHING_SAVED = -11
    FOREIGN = -12
    KEY = -13
    RIGHT = -14
    COLLECT = -16

    @property
    def meaning(self) -> str:
        """A clause for error messages.

        >>> Status(-1).meaning
        'a step is under way; reset or run it to its end first'
        """
        return _MEANINGS[self]


_MEANINGS = {
    Status.OK: "done",
    Status.BUSY: "a step is under way; reset or run it to its end first",
    Status.LABEL: "the label is not a class of its model",
    Status.MESSAGE: "it does not know this message, or expects another size",
    Status.RANGE: "an offset, size or value is outside its range",
    Status.SESSION: "it has no session with this host (it may have restarted)",
    Status.IDLE: "no step is under way",
    Status.SAMPLE: "its sample, latent or target has not come whole, or was used already",
    Status.DAMAGED: "the request came damaged",
    Status.STATE: "what was written to its state is none that training can have left; reset it",
    Status.FLASH: "its flash cannot be written or read any more; what was saved stays",
    Status.NOTHING_SAVED: "nothing whole is saved in its flash",
    Status.FOREIGN: "what is saved in its flash is of another model, version or length",
    Status.KEY: "it is not sealed with a key of this device: give its own file to --key",
    Status.RIGHT: "the key that it is sealed with does not give the right to it",
    Status.COLLECT: "its sensor has no sample ready",
}


class RamRegion(IntEnum):
    """Blocks of device RAM that READ and WRITE address in every build; one that uses several
    memories has more behind them (MemoryPlan.regions)."""

    ARENA = 0
    STATE = 1


class StoreAction(IntEnum):
    """What STORE is asked to do with what is saved in the device's flash."""

    LOOK = 0
    SAVE = 1
    LOAD = 2
    FORGET = 3


class RecordAction(IntEnum):
    """What RECORD is asked for."""

    LOOK = 0
    ENTRY = 1


class ResetCause(IntEnum):
    """Why a device started. Twin of firmware/mct/reset_cause.h."""

    UNKNOWN = 0
    POWER_ON = 1
    PIN = 2
    WATCHDOG = 3
    FAULT = 4
    SOFTWARE = 5
    BROWN_OUT = 6

    @property
    def words(self) -> str:
        """For people.

        >>> ResetCause.BROWN_OUT.words
        'brown-out'
        """
        return self.name.lower().replace("_", "-")


class Feature(IntFlag):
    """What a device can do, or does, beyond its plan: bits of HELLO's reply."""

    STORE = 1
    RECORD = 2
    KEY = 4
    SAFE_START = 8


_EMPTY = struct.Struct("<")

# The fixed part of each request; the data of SAMPLE, WRITE, TARGET and LATENT follow it, and a
# request that is SEALED, with its code.
REQUESTS = {
    Message.HELLO: _EMPTY,
    Message.RESET: struct.Struct("<I"),  # seed
    Message.LEARNING_RATE: struct.Struct("<BB"),  # multiplier, shift
    Message.SAMPLE: struct.Struct("<I"),  # offset
    Message.STEP: struct.Struct("<IB"),  # label, flags
    Message.INFER: _EMPTY,
    Message.BEGIN: struct.Struct("<I"),  # label
    Message.RUN: struct.Struct("<I"),  # max calls
    Message.DIGEST: _EMPTY,
    Message.READ: struct.Struct("<BIH"),  # region, offset, size
    Message.WRITE: struct.Struct("<BI"),  # region, offset
    Message.TARGET: struct.Struct("<I"),  # offset
    Message.CLASSES: struct.Struct("<I"),  # classes in use
    Message.LATENT: struct.Struct("<I"),  # offset
    Message.PREFIX: _EMPTY,
    Message.KEEP: struct.Struct("<II"),  # slot, label
    Message.RECALL: struct.Struct("<I"),  # slot
    Message.START: struct.Struct("<I"),  # label
    Message.FINISH: struct.Struct("<B"),  # flags
    Message.CYCLES: _EMPTY,
    Message.STORE: struct.Struct("<B"),  # what to do
    Message.RECORD: struct.Struct("<BI"),  # what to tell, number of an entry
    Message.COLLECT: struct.Struct("<IH"),  # offset, size
    Message.SEALED: struct.Struct("<BIB"),  # right, counter, type
    Message.ENROL: struct.Struct("<I"),  # label
}

# The fixed part of each reply that has one, after the status.
REPLIES = {
    Message.HELLO: struct.Struct("<HH8s8s6I12sBBHI16s"),
    Message.SAMPLE: struct.Struct("<I"),  # offset behind the data, as the next three
    Message.WRITE: struct.Struct("<I"),
    Message.TARGET: struct.Struct("<I"),
    Message.LATENT: struct.Struct("<I"),
    Message.STEP: struct.Struct("<5I"),
    Message.INFER: struct.Struct("<I"),
    Message.RUN: struct.Struct("<BI"),
    Message.DIGEST: struct.Struct("<5I"),
    Message.RECALL: struct.Struct("<I"),
    Message.FINISH: struct.Struct("<5I"),
    Message.CYCLES: struct.Struct("<I"),
    Message.STORE: struct.Struct("<6I"),
    Message.RECORD: struct.Struct("<16s16s4I"),  # or an entry, of as many bytes
    Message.COLLECT: struct.Struct("<I"),  # label; bytes of the sample follow
}


@dataclass(frozen=True)
class Hello:
    """What a device says of itself."""

    version: int
    largest_payload_bytes: int
    build_hash: bytes
    numerics_hash: bytes
    input_bytes: int
    classes: int
    arena_bytes: int
    state_bytes: int
    steps: int
    calls: int  # kernel calls of a whole step
    device_id: bytes = bytes(DEVICE_ID_BYTES)  # zeros if it has none
    cause: int = ResetCause.UNKNOWN  # of the last reset
    features: int = 0  # of Feature
    resets: int = 0  # since power-on
    saves: int = 0  # the sequence of what was saved last, 0 without
    nonce: bytes = bytes(NONCE_BYTES)  # zeros in a build without a key

    def region_bytes(self, region: RamRegion) -> int:
        """Size of a region."""
        return self.arena_bytes if region is RamRegion.ARENA else self.state_bytes

    @property
    def shows_arena(self) -> bool:
        """Whether a host may read all of its RAM: a device with a key shows no samples."""
        return Feature.KEY not in Feature(self.features)

    @property
    def reset_cause(self) -> ResetCause:
        """Of the last reset; UNKNOWN for a cause that this version has no name for."""
        known = set(ResetCause)
        return ResetCause(self.cause) if self.cause in known else ResetCause.UNKNOWN

    @property
    def id_text(self) -> str:
        """The device id in hexadecimal digits, without the zeros behind it; empty without one."""
        return self.device_id.rstrip(b"\0").hex()

    @property
    def is_safe_start(self) -> bool:
        """Whether the device kept failing, and started without what was saved."""
        return Feature.SAFE_START in Feature(self.features)


@dataclass(frozen=True)
class StepResult:
    """Outcome of the last complete step.

    `sum` and `distance` make up the loss (SPEC 1.2), `predicted` is the class that the forward
    pass chose, `steps` counts the steps since reset, `digest` is 0 if it was not asked for.
    """

    sum: int
    distance: int
    predicted: int
    steps: int
    digest: int


@dataclass(frozen=True)
class RunResult:
    """Outcome of a slice: whether the step is complete, and the call that comes next."""

    is_done: bool
    next_call: int


@dataclass(frozen=True)
class Saved:
    """What the flash of a device holds: slots for states, how many are whole, the number of the
    newest (0 if there is none), how often a slot has been erased at most, how many hold something
    that is damaged or was not finished, and how many something of another model, version or
    length."""

    slots: int
    whole: int
    sequence: int
    erases: int
    damaged: int
    foreign: int


@dataclass(frozen=True)
class Recorded:
    """What a device says of its chain (SPEC 4.2): the chain value, the hash of its state, the steps
    since reset, the classes in use; and of its record how many entries fit, and how many have
    entered since power-up."""

    chain: bytes
    state_hash: bytes
    room: int
    steps: int
    entered: int
    classes: int

    @property
    def kept(self) -> range:
        """The numbers of the entries that the device keeps."""
        return range(max(0, self.entered - self.room), self.entered)


def request(message: Message, *fields: int, data: bytes = b"") -> bytes:
    """Payload of a request.

    >>> request(Message.READ, RamRegion.STATE, 4, 16).hex(" ")
    '01 04 00 00 00 10 00'
    """
    return REQUESTS[message].pack(*fields) + data


def portion(message: Message, fields: Sequence[int], data: bytes, limit: int) -> tuple[bytes, int]:
    """Payload of a request for what one frame of ``limit`` can take, and its size, or the reply's
    if that is longer. What needs several frames is cut into equal parts.

    >>> portion(Message.SAMPLE, (0,), b"abcdef", 9)
    (b'\\x00\\x00\\x00\\x00abc', 7)
    >>> portion(Message.READ, (1, 0, 100), b"", 32)[1]
    26
    """
    if message in ASKS_FOR_BYTES:
        *first, wanted = fields
        beside = 1 + REPLIES.get(message, _EMPTY).size  # in the reply: status, and what is fixed
        part = _equal_part(wanted, limit - beside)
        return request(message, *first, part), max(REQUESTS[message].size, part + beside)
    part = _equal_part(len(data), limit - REQUESTS[message].size)
    payload = request(message, *fields, data=data[:part])
    return payload, len(payload)


ASKS_FOR_BYTES = (Message.READ, Message.COLLECT)  # the last field says of how many


def _equal_part(whole: int, limit: int) -> int:
    count = max(1, -(-whole // limit))
    return -(-whole // count)


def split_reply(payload: bytes) -> tuple[Status, bytes]:
    """Status and the rest of a reply's payload; ProtocolError if there is no known status."""
    try:
        (code,) = struct.unpack_from("<b", payload)
        return Status(code), payload[1:]
    except (struct.error, ValueError):
        raise ProtocolError(
            f"the device sent a reply without a known status ({payload[:8].hex(' ') or 'empty'})"
        ) from None


def unpack(message: Message, body: bytes) -> tuple[int | bytes, ...]:
    """Fields of a reply after its status; ProtocolError if its size is wrong."""
    layout = REPLIES.get(message, _EMPTY)
    if len(body) != layout.size:
        raise ProtocolError(
            f"the device answered {message.name} with {len(body)} bytes instead of {layout.size}"
        )
    return layout.unpack(body)
