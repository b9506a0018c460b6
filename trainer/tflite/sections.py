# SPDX-License-Identifier: Apache-2.0
"""The largest section of a file that can be trained, where all of it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.options import WHOLE, Section
from mcutrain.trainer.tflite.ends import Ends
from mcutrain.trainer.tflite.reader import (
    Reader,
    identifier,
    importers,
    load,
    opened,
    parse,
    read_file,
)

MOST_ENDS = 16  # outputs, then inner tensors, that sections are looked for before
MOST_READ = 8  # sections that are read, the largest first
LAYERS = frozenset(importers(Weighted))  # that can learn


def load_or_advise(path: str | Path, section: Section = WHOLE) -> Model:
    """As ``load``; where a whole file is refused, the message says which part can be trained."""
    try:
        return load(path, section)
    except ModelError as err:
        found = largest(Path(path)) if section == WHOLE and err.obstacles else None
        if found is None:
            raise
        remedy = f"{err.remedy}; or train a part of it: {found.section.arguments}"
        raise type(err)(err.cause, remedy, err.obstacles) from err


def largest(path: Path) -> Model | None:
    """The largest section of a file that can be trained: one that ends in an output of the file,
    else one that ends before; None if there is none. Raises ModelError for what is no such file."""
    return largest_of(read_file(path), path.stem, str(path))


def largest_of(data: bytes, name: str, where: str = "the model") -> Model | None:
    """As ``largest``, from the file's bytes."""
    with opened(data, where):
        reader = Reader(data, identifier(name), where)
        try:
            return reader.model()
        except ModelError as err:
            if not err.obstacles:  # it names no place
                return None
        sections = Sections(reader)
        for each in (sections.before_outputs(), sections.inside()):
            for section in sorted(each, key=lambda s: -s.operators)[:MOST_READ]:
                try:
                    return parse(data, name, where, section.section)
                except ModelError:
                    continue
    return None


@dataclass(frozen=True)
class Candidate:
    """A section that may be sound, and how many operators it has."""

    section: Section
    operators: int


class Sections:
    """The sections of a file that have none of the operators that ``reader`` could not read."""

    def __init__(self, reader: Reader) -> None:
        self.ends = Ends(reader.listing, reader.obstacles, WHOLE)
        self.wiring, self.unread = self.ends.wiring, reader.unread
        self.declared = reader.declared
        self.names = self.wiring.names(self.ends.file_inputs)

    def before_outputs(self) -> Iterator[Candidate]:
        """Those that end in an output of the file."""
        for output in self.ends.file_outputs[:MOST_ENDS]:
            try:
                inner = self.ends.listing.inner_output(output)
            except ModelError:
                continue
            if output in self.names:
                yield from self.before(inner, self.names[output])

    def inside(self) -> Iterator[Candidate]:
        """Those that end in what an operator reads that could not be read."""
        read = {t for k in self.unread for t in self.wiring.inputs[k]}
        last = sorted(read.intersection(self.names), key=lambda t: self.wiring.writers.get(t, []))
        for tensor in last[-MOST_ENDS:]:
            yield from self.before(tensor, self.names[tensor])

    def before(self, end: int, name: str) -> Iterator[Candidate]:
        """Those that end in a tensor: of its chain of operators, behind each tensor in turn."""
        leading = self.wiring.leading_to([end])
        if leading and not leading & self.unread:
            yield Candidate(Section(None, name), len(leading))
        starts = dict.fromkeys((*self.ends.file_inputs, *self.tensors_of(leading)))
        for start in starts:
            if start not in self.names or start == end:
                continue
            behind = self.wiring.behind(start)
            operators = self.wiring.leading_to([end], start) & behind
            if self.is_sound(start, behind, operators):
                section = Section(self.names[start], self.needed_end(behind, end, name))
                yield Candidate(section, len(operators))

    def is_sound(self, start: int, behind: set[int], operators: set[int]) -> bool:
        """Whether nothing is known that a section could not be read for."""
        return (
            not operators & self.unread
            and any(self.wiring.listing.kind(k) in LAYERS for k in operators)
            and all(self.ends.computed_before(k, start, behind) is None for k in operators)
        )

    def tensors_of(self, operators: set[int]) -> Iterator[int]:
        return (t for k in sorted(operators) for t in self.wiring.outputs[k])

    def needed_end(self, behind: set[int], end: int, name: str) -> str | None:
        """The end's name; None where it is the one output behind the start."""
        reached = {t for k in behind for t in self.wiring.outputs[k]}
        outputs = [t for t in self.ends.file_outputs if t in reached]
        is_only = outputs == [t for t in self.ends.file_outputs if self.names.get(t) == name]
        return None if is_only and len(outputs) == 1 else name
