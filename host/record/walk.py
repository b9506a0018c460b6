# SPDX-License-Identifier: Apache-2.0
"""Follows the chain along the lines of a record: each line must be where it is, as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mcutrain.host.record.errors import DisprovedError
from mcutrain.host.record.fields import Fields
from mcutrain.host.record.header import Header
from mcutrain.host.record.lines import SHA_BYTES, End, Event, Step, read_lines
from mcutrain.trainer.record_chain import advance

Line = tuple[int, Step | Event | End]


class Walk:
    """The lines behind the header, in turn; ``head`` and ``number`` are the chain value and the
    number of the next step behind the last line that was taken."""

    def __init__(self, path: Path) -> None:
        """Raises RecordError."""
        self.path, self._lines = path, read_lines(path)
        _, first = next(self._lines)
        assert isinstance(first, Fields)
        self.header = Header.read(first)
        self.head, self.number, self.classes = (
            self.header.head, self.header.first_step, self.header.classes,
        )  # fmt: skip
        self.first = self.number
        self.steps, self.line = 0, 1
        self.end: End | None = None
        self._best: tuple[int, bytes] | None = None  # number and chain value

    def __iter__(self) -> Iterator[Line]:
        """Raises RecordError, and DisprovedError for a line that does not follow from those before
        it."""
        for number, found in self._lines:
            self.line = number
            if self.end is not None:
                raise DisprovedError(f"{self.where()} stands behind the end of the run")
            if isinstance(found, Step):
                self._step(found)
            elif isinstance(found, Event):
                self._event(found)
            else:
                assert isinstance(found, End)  # there is one header, the first line
                self._ended(found)
            yield number, found

    def where(self, step: int | None = None) -> str:
        """Where a message is about."""
        return f"{self.path}, line {self.line}" + ("" if step is None else f", step {step}")

    def _step(self, found: Step) -> None:
        if found.step != self.number:
            raise DisprovedError(f"{self.where(found.step)}: {self.misplaced(found.step)}")
        head = advance(
            self.head, found.hash, found.label, found.step, *found.rate, found.flags, self.classes
        )
        if head != found.head:
            raise DisprovedError(
                f"{self.where(found.step)} was changed: the chain value behind it would be "
                f"{head.hex()}, and it says {found.head.hex()}"
            )
        self.head, self.number, self.steps = head, found.step + 1, self.steps + 1

    def misplaced(self, step: int) -> str:
        """What is wrong where another step than the next one stands."""
        if self.first <= step < self.number:
            return f"the step is there twice, or out of order: step {self.number} belongs here"
        if step < self.first:
            return f"the record begins with step {self.first}: a line of another record"
        gap = step - self.number
        lines = "a line is" if gap == 1 else f"{gap} lines are"
        return f"step {self.number} belongs here: {lines} missing, or out of order"

    def _event(self, found: Event) -> None:
        facts = found.facts
        if found.name == "classes":
            self.classes = facts.integer("classes")
        if found.name in ("classes", "seen", "input shifts") and self.steps:
            raise DisprovedError(f"{self.where()}: '{found.name}' stands behind the first step")
        if found.name in ("left out", "validation") and facts.integer("step") != self.number:
            raise DisprovedError(f"{self.where()}: {self.misplaced(facts.integer('step'))}")
        if found.name == "left out":
            self.number += 1
        if found.name == "validation" and facts.text("verdict") == "improved":
            self._best = self.number, self.head
        if found.name == "restored":
            self._restored(facts.integer("step"))
            facts.hex("state", SHA_BYTES)

    def _restored(self, step: int) -> None:
        if self._best is None or self._best[0] != step:
            raise DisprovedError(
                f"{self.where()}: the state behind {step} steps is restored, but the validation "
                "samples found that of another one best"
            )
        self.number, self.head = self._best

    def _ended(self, found: End) -> None:
        if found.steps != self.steps:
            raise DisprovedError(
                f"{self.where()}: the run ended after {found.steps} steps, but {self.steps} are "
                "there: lines are missing, or too many"
            )
        kept = self._best if self._best and found.kept == self._best[0] else None
        number, head = kept or (self.number, self.head)
        if (found.kept, found.head) != (number, head):
            raise DisprovedError(
                f"{self.where()}: the end tells of the state behind {found.kept} steps, with the "
                f"chain value {found.head.hex()}; the lines lead to {number}, {head.hex()}"
            )
        self.end, self.number, self.head = found, number, head
