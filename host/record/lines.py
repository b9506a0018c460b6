# SPDX-License-Identifier: Apache-2.0
"""The lines of a record: JSON, one object each. SPEC 3.3 says what they mean.

The first is the header, then follow steps and events in the order in which they happened. The last
is the end, which a run that was cut does not have.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcutrain.host.failure import reason
from mcutrain.host.record.errors import RecordError
from mcutrain.host.record.fields import U8, U16, U32, Fields, parse
from mcutrain.trainer.record_chain import HASH_BYTES

FORMAT = 1
SPLITS = ("train", "old")  # whose samples a step can learn from
EVENTS = ("classes", "seen", "input shifts", "validation", "left out", "restored")
HEADER_MOST, LINE_MOST = 1 << 28, 1 << 20  # bytes: a header holds a state
SHA_BYTES = 32


@dataclass(frozen=True)
class Step:
    """A step: its number, the sample it learned from, the rate, and the chain value behind it.

    ``sample`` is the number that the sample has in the split ``of``; None where nobody knows.
    ``digest`` is that of the state behind the step, if somebody asked for it. ``recalled``: the
    sample came from a replay buffer.
    """

    step: int
    sample: int | None
    of: str
    hash: bytes
    label: int
    rate: tuple[int, int]
    flags: int
    head: bytes
    digest: int | None = None
    recalled: bool = False

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "step": self.step,
            "sample": self.sample,
            "hash": self.hash.hex(),
            "label": self.label,
            "rate": list(self.rate),
            "flags": self.flags,
            "head": self.head.hex(),
        }
        more = {"of": self.of if self.of != "train" else None, "digest": self.digest}
        more["recalled"] = self.recalled or None
        return found | {name: value for name, value in more.items() if value is not None}

    @classmethod
    def read(cls, fields: Fields) -> Step:
        rate = fields.integers("rate", U8)
        of = fields.text("of") if "of" in fields else "train"
        if len(rate) != 2:
            raise fields.wrong("rate", "a multiplier and a shift")
        if of not in SPLITS:
            raise fields.wrong("of", " or ".join(SPLITS))
        return cls(
            fields.integer("step"), fields.maybe("sample", fields.integer), of,
            fields.hex("hash", HASH_BYTES), fields.integer("label"), (rate[0], rate[1]),
            fields.integer("flags", U16), fields.hex("head", HASH_BYTES),
            fields.maybe("digest", fields.integer), fields.flag("recalled"),
        )  # fmt: skip


@dataclass(frozen=True)
class Event:
    """Something between two steps: one of EVENTS, with its facts."""

    name: str
    facts: Fields

    @classmethod
    def read(cls, fields: Fields) -> Event:
        name = fields.text("event")
        if name not in EVENTS:
            raise fields.wrong("event", f"one of {', '.join(EVENTS)}")
        return cls(name, fields)


@dataclass(frozen=True)
class End:
    """How the run ended: after so many steps, in the state behind those that number ``kept``."""

    steps: int
    kept: int
    head: bytes
    state: bytes  # its SHA-256
    digest: int

    def to_json(self) -> dict[str, Any]:
        hashes = {"head": self.head.hex(), "state": self.state.hex()}
        return {"end": self.steps, "kept": self.kept, "digest": self.digest, **hashes}

    @classmethod
    def read(cls, fields: Fields) -> End:
        return cls(
            fields.integer("end"), fields.integer("kept"), fields.hex("head", HASH_BYTES),
            fields.hex("state", SHA_BYTES), fields.integer("digest", U32),
        )  # fmt: skip


def dumped(value: Mapping[str, Any]) -> bytes:
    """A line, with its end."""
    return json.dumps(value, sort_keys=True, allow_nan=False).encode() + b"\n"


def read_line(raw: bytes, where: str) -> Step | Event | End | Fields:
    """What a line holds; the header as its fields. Raises RecordError."""
    try:
        values = parse(raw)
    except ValueError as err:
        raise RecordError(f"{where}: {err}") from None
    fields = Fields(values, where)
    if "format" in fields:
        return fields
    if "event" in fields:
        return Event.read(fields)
    return End.read(fields) if "end" in fields else Step.read(fields)


def read_lines(path: Path) -> Iterator[tuple[int, Step | Event | End | Fields]]:
    """The lines of a record, counted from 1; the header is the first one and no other. A last line
    without its end was cut off, and is left out. Raises RecordError."""
    try:
        with path.open("rb") as file:
            number = 0
            while raw := file.readline(LINE_MOST if number else HEADER_MOST):
                number += 1
                where = f"{path}, line {number}"
                if not raw.endswith(b"\n"):
                    if len(raw) < (LINE_MOST if number > 1 else HEADER_MOST) and number > 1:
                        return
                    raise RecordError(f"{where} has no end: it is no record, or was cut")
                found = read_line(raw, where)
                if isinstance(found, Fields) is not (number == 1):
                    what = "a header again" if number > 1 else "no header"
                    raise RecordError(f"{where} is {what}: it is no record of mcutrain, or changed")
                yield number, found
    except OSError as err:
        raise RecordError(f"cannot read the record {path}: {reason(err)}") from err
    if not number:
        raise RecordError(f"the record {path} is empty: give one that train --record wrote")
