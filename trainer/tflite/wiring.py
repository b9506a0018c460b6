# SPDX-License-Identifier: Apache-2.0
"""Which operators of a file read what others write: what lies behind a tensor, and what leads to
one. What is asked here always has an answer, whatever the file says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.model import LISTED, like, one_of, short
from mcutrain.trainer.tflite.listing import Listing
from mcutrain.trainer.tflite.variables import ASSIGN, CALL_ONCE, HANDLE, READ, Key, key_of

NO_TENSOR = -2  # and below: variables
LONG_NAME = 60  # characters
SHAPE = "SHAPE"  # reads nothing of a tensor but its declaration


def is_plain(name: str) -> bool:
    """Whether a name is easily given on a command line.

    >>> is_plain("scores"), is_plain("a/Relu;a/Conv2D")
    (True, False)
    """
    return 0 < len(name) <= LONG_NAME and ";" not in name


class Wiring:
    """The inputs and outputs of all operators of a subgraph, by tensor."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.inputs = [self._inputs_of(k) for k in range(len(listing))]
        self.outputs = [listing.outputs_of(k) for k in range(len(listing))]
        self.writers: dict[int, list[int]] = defaultdict(list)
        self.readers: dict[int, list[int]] = defaultdict(list)
        for k, (inputs, outputs) in enumerate(zip(self.inputs, self.outputs, strict=True)):
            for tensor in dict.fromkeys(outputs):
                self.writers[tensor].append(k)
            for tensor in inputs:
                self.readers[tensor].append(k)
        self._add_variables()

    def _add_variables(self) -> None:
        """Who reads a variable depends on who assigns it, and on what runs once: as if by a tensor,
        of a number that no tensor has."""
        numbers: dict[Key, int] = {}
        handles: dict[int, int] = {}
        kinds = [self.listing.kind(k) for k in range(len(self.listing))]
        for k, kind in enumerate(kinds):
            if kind == HANDLE and (key := key_of(self.listing.operator(k))) is not None:
                number = numbers.setdefault(key, NO_TENSOR - len(numbers))
                handles.update(dict.fromkeys(self.outputs[k], number))
        for k, kind in enumerate(kinds):
            found = {handles[t] for t in self.inputs[k] if t in handles}
            if kind == READ:
                self.inputs[k] += found
                for number in found:
                    self.readers[number].append(k)
            elif kind in (ASSIGN, CALL_ONCE):
                written = found if kind == ASSIGN else set(numbers.values())
                self.outputs[k] += written
                for number in written:
                    self.writers[number].append(k)

    def _inputs_of(self, operator: int) -> list[int]:
        if self.listing.kind(operator) == SHAPE:
            return []
        return [t for t in dict.fromkeys(self.listing.inputs_of(operator)) if t >= 0]

    @property
    def pairs(self) -> int:
        """How many pairs of operators there are, of which one reads what the other writes."""
        return sum(len(self.writers.get(t, ())) for inputs in self.inputs for t in inputs)

    def leading_to(self, tensors: Iterable[int], start: int | None = None) -> set[int]:
        """The operators that ``tensors`` are computed by; not those that ``start`` is."""
        found: set[int] = set()
        waiting = list(tensors)
        while waiting:
            tensor = waiting.pop()
            if tensor != start:
                new = [k for k in self.writers.get(tensor, ()) if k not in found]
                found.update(new)
                waiting += (t for k in new for t in self.inputs[k])
        return found

    def behind(self, tensor: int) -> set[int]:
        """The operators that read a tensor, or what is computed from it."""
        found: set[int] = set()
        waiting = [tensor]
        while waiting:
            new = [k for k in self.readers.get(waiting.pop(), ()) if k not in found]
            found.update(new)
            waiting += (t for k in new for t in self.outputs[k])
        return found

    def find(self, name: str, inputs: Collection[int]) -> int:
        """The tensor of this name: one of the model's ``inputs``, or one that an operator writes,
        which may be named by that (``conv_2d_3``), too. Raises ModelError."""
        named, own = self._by_label(inputs), self._by_operator()
        found, where = named.get(name, []), self.listing.where
        if len(found) > 1:
            nodes = [n for n, k in own.items() if not set(found).isdisjoint(self.outputs[k])]
            raise ModelError(
                f"{where} has {len(found)} tensors '{short(name)}': give {one_of(nodes)}"
            )
        if not found and name in own:
            found = self.outputs[own[name]]
        if not found:
            near = like(name, [*(label for label in named if label), *own])
            raise ModelError(f"{where} has no activation '{short(name)}'{near}; {LISTED}")
        return found[0]

    def names(self, inputs: Collection[int]) -> dict[int, str]:
        """The name by which ``find`` finds each tensor that has one: the shorter, of those that
        converters join of all that they fuse."""
        named, own = self._by_label(inputs), self._by_operator()
        alone = {tensors[0]: name for name, tensors in named.items() if name and len(tensors) == 1}
        found = {self.outputs[k][0]: name for name, k in own.items() if self.outputs[k]}
        return alone | {t: n for t, n in found.items() if not is_plain(alone.get(t, ""))}

    def _by_label(self, inputs: Collection[int]) -> dict[str, list[int]]:
        named: dict[str, list[int]] = defaultdict(list)
        for tensor in dict.fromkeys((*inputs, *self.writers)):
            named[self.label(tensor)].append(tensor)
        return named

    def _by_operator(self) -> dict[str, int]:
        return {f"{self.listing.kind(k).lower()}_{k}": k for k in range(len(self.outputs))}

    def label(self, tensor: int) -> str:
        """A tensor's name; "" for one that a file cannot have."""
        try:
            return self.listing.declared.label(tensor)
        except ModelError:
            return ""
