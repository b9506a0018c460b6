# SPDX-License-Identifier: Apache-2.0
"""The largest section of a file that can be trained, where all of it cannot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import islice
from operator import or_
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
MOST_STARTS = 1 << 11  # tensors
MOST_PAIRS = 1 << 16  # of operators, of which one reads what the other writes
MOST_LOOKED_AT = 1 << 9  # sections whose inputs are looked at, the largest first
MOST_READ = 8  # of these, that are read
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
            for section in islice(sections.sound(each), MOST_READ):
                try:
                    return parse(data, name, where, section)
                except ModelError:
                    continue
    return None


@dataclass(frozen=True)
class Candidate:
    """A section by the numbers of its tensors; ``operators`` has a bit of each that it has."""

    start: int | None
    end: int
    name: str
    operators: int


class Sections:
    """The sections of a file that have none of the operators that ``reader`` could not read.

    Sets of operators are integers with a bit of each: a hostile file has many sections. An operator
    that reads what a later one writes does not count as behind it.
    """

    def __init__(self, reader: Reader) -> None:
        self.ends = Ends(reader.listing, reader.obstacles, WHOLE)
        self.wiring = wiring = self.ends.wiring
        self.names = wiring.names(self.ends.file_inputs)
        operators = range(len(wiring.inputs))
        self.unread_operators = reader.unread
        self.unread = union(1 << k for k in reader.unread)
        self.layers = union(1 << k for k in operators if reader.listing.kind(k) in LAYERS)
        self.leading, self.behind = dict[int, int](), dict[int, int]()
        if wiring.pairs > MOST_PAIRS:
            return
        for k in operators:
            found = union(self.leading_to(t, k) for t in wiring.inputs[k])
            self.leading[k] = found | 1 << k
        for k in reversed(operators):
            found = union(self.behind_of(t, k) for t in wiring.outputs[k])
            self.behind[k] = found | 1 << k

    def leading_to(self, tensor: int, before: int | None = None) -> int:
        """The operators that a tensor is computed by."""
        writers = self.wiring.writers.get(tensor, ())
        return union(self.leading.get(k, 0) for k in writers if before is None or k < before)

    def behind_of(self, tensor: int, after: int = -1) -> int:
        """The operators that are computed from a tensor."""
        readers = self.wiring.readers.get(tensor, ())
        return union(self.behind.get(k, 0) for k in readers if k > after)

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
        read = {t for k in self.unread_operators for t in self.wiring.inputs[k]}
        last = sorted(read.intersection(self.names), key=lambda t: self.wiring.writers.get(t, []))
        for tensor in last[-MOST_ENDS:]:
            yield from self.before(tensor, self.names[tensor])

    def before(self, end: int, name: str) -> Iterator[Candidate]:
        """Those that end in a tensor: with the model's input, or behind a tensor on the way."""
        leading = self.leading_to(end)
        starts = islice(self.names, MOST_STARTS)
        found = [(None, leading), *((t, self.behind_of(t) & leading) for t in starts)]
        for start, operators in found:
            if start != end and operators & self.layers and not operators & self.unread:
                yield Candidate(start, end, name, operators)

    def sound(self, candidates: Iterator[Candidate]) -> Iterator[Section]:
        """Those that read nothing that is computed before them, the largest first."""
        by_size = sorted(candidates, key=lambda c: -c.operators.bit_count())
        for each in by_size[:MOST_LOOKED_AT]:
            if each.start is None:
                yield Section(None, each.name)
                continue
            behind = numbers(self.behind_of(each.start))
            inside = numbers(each.operators)
            if all(self.ends.computed_before(k, each.start, behind) is None for k in inside):
                yield Section(self.names[each.start], self.needed_end(behind, each))

    def needed_end(self, behind: set[int], candidate: Candidate) -> str | None:
        """The end's name; None where it is the one output behind the start."""
        reached = {t for k in behind for t in self.wiring.outputs[k]}
        outputs = [t for t in self.ends.file_outputs if t in reached]
        is_only = [self.names.get(t) for t in outputs] == [candidate.name]
        return None if is_only else candidate.name


def union(sets: Iterable[int]) -> int:
    return reduce(or_, sets, 0)


def numbers(bits: int) -> set[int]:
    """
    >>> sorted(numbers(0b1011))
    [0, 1, 3]
    """
    return {k for k in range(bits.bit_length()) if bits >> k & 1}
