# SPDX-License-Identifier: Apache-2.0
"""Where a section of a file begins and ends, and which of the operators lie between."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.model import LISTED, also_reads
from mcutrain.trainer.options import Section
from mcutrain.trainer.tflite.bounds import MAX_OPERANDS
from mcutrain.trainer.tflite.folding import FOLDS
from mcutrain.trainer.tflite.listing import Listing
from mcutrain.trainer.tflite.obstacles import Obstacles
from mcutrain.trainer.tflite.tensors import INTEGERS
from mcutrain.trainer.tflite.variables import CALL_ONCE, HANDLE
from mcutrain.trainer.tflite.wiring import Wiring

NOWHERE = -1  # in place of a tensor that the file has not
LISTED_ENDS = 4  # of a model's inputs or outputs that a message names


class Ends:
    """``inputs`` are the tensors that the section begins with, ``output`` is the one that it ends
    with, before a conversion; ``operators`` are those between, in the file's order.

    What the file says of itself is checked, as obstacles. Several inputs or outputs are one, and
    then there are all of them, so that what lies behind is read, too. Raises ModelError where the
    section names a tensor that there is not.
    """

    def __init__(self, listing: Listing, obstacles: Obstacles, section: Section) -> None:
        self.listing, self.section, self.where = listing, section, listing.where
        self.wiring = Wiring(listing)
        graph = listing.subgraph
        self.file_inputs, self.file_outputs = (
            list(dict.fromkeys(int(at(k)) for k in range(min(count, MAX_OPERANDS))))
            for at, count in (
                (graph.Inputs, graph.InputsLength()), (graph.Outputs, graph.OutputsLength()),
            )
        )  # fmt: skip
        self.start = self.named(section.start)
        with obstacles.collected():
            listing.require_known_file()
        ends = self.ends()
        with obstacles.collected():
            self.require_one(ends, "output")
        inner: list[int] = []
        for tensor in ends:
            with obstacles.collected():
                inner.append(listing.inner_output(tensor))
        self.output = inner[0] if inner else NOWHERE
        self.operators = sorted(filter(self.is_read, self.wiring.leading_to(inner, self.start)))
        self.require_some()
        whole = self.inputs_of(self.operators)
        self.inputs = whole if self.start is None else [self.start]
        with obstacles.collected():
            self.require_one(self.inputs, "input")

    def named(self, name: str | None) -> int | None:
        return None if name is None else self.wiring.find(name, self.file_inputs)

    def ends(self) -> list[int]:
        """The output that was chosen; else the outputs, or those that lie behind the start."""
        chosen = self.named(self.section.end)
        if chosen is not None:
            return [chosen]
        if self.start is None or len(self.file_outputs) == 1:
            return self.file_outputs
        behind = {t for k in self.behind for t in self.wiring.outputs[k]}
        return [t for t in self.file_outputs if t in behind] or self.file_outputs

    @cached_property
    def behind(self) -> set[int]:
        """The operators behind the start; all without one."""
        if self.start is None:
            return {*range(len(self.listing))}
        return self.wiring.behind(self.start)

    def is_read(self, operator: int) -> bool:
        """Whether an operator that leads to the end is one of the section: it lies behind the
        start, computes a shape, or is needed by variables."""
        return operator in self.behind or self.is_given(operator)

    def is_given(self, operator: int) -> bool:
        """Whether an operator depends on no input's values."""
        return self.listing.kind(operator) in (HANDLE, CALL_ONCE) or self.computes_shape(operator)

    def computes_shape(self, operator: int) -> bool:
        listing, outputs = self.listing, self.wiring.outputs[operator]
        tensors = range(listing.subgraph.TensorsLength())
        return listing.kind(operator) in FOLDS and all(
            t in tensors and listing.declared.type_of(t) in INTEGERS for t in outputs
        )

    def require_some(self) -> None:
        """Raises ModelError for a section that has no operator."""
        start, end = self.section.start, self.section.end
        if start is None or not self.behind.isdisjoint(self.operators):
            return
        if end is None:
            raise ModelError(f"{self.where} has no layer behind '{start}': nothing can learn")
        raise ModelError(
            f"{self.where}: '{end}' is not computed from '{start}'",
            f"take an output that is: {LISTED}",
        )

    def held(self) -> tuple[int, ...]:
        """The tensors that anything outside of the section reads: another operator, or who runs the
        file."""
        inside = {*self.operators, *self.listing.edges}
        outside = (k for k in range(len(self.listing)) if k not in inside)
        read = {t for k in outside for t in self.wiring.inputs[k]}
        return tuple(sorted({*read, *self.file_outputs} - {NOWHERE}))

    def inputs_of(self, operators: Iterable[int]) -> list[int]:
        """The model's inputs that operators read; all if none is read."""
        read = {t for k in operators for t in self.wiring.inputs[k]}
        return [t for t in self.file_inputs if t in read] or self.file_inputs

    def require_one(self, tensors: list[int], what: str) -> None:
        """Raises ModelError unless there is one input, or one output."""
        if len(tensors) == 1:
            return
        declared, flag = self.listing.declared, "--to" if what == "output" else "--from"
        names = [f"'{declared.label(t)}' {declared.shape_of(t)}" for t in tensors[:LISTED_ENDS]]
        more = f" and {len(tensors) - LISTED_ENDS} more" if len(tensors) > LISTED_ENDS else ""
        listed = f": {', '.join(names)}{more}" if tensors else ""
        remedy = (
            f"choose one, as by {Section(end=declared.label(tensors[0])).arguments}"
            if tensors and what == "output"
            else f"take a part that has one, by {flag} TENSOR"
        )
        raise ModelError(f"{self.where} has {len(tensors)} {what}s{listed}; one is needed", remedy)

    def require_behind_start(self, operator: int) -> None:
        """Raises ModelError for an operator that reads what is computed before the start."""
        if self.section.start is None or operator not in self.behind:
            return
        tensor = self.computed_before(operator, self.start, self.behind)
        if tensor is not None:
            site = self.listing.site(operator)
            other = self.wiring.label(tensor) or "a variable"
            raise also_reads(self.where, self.section.start, site, other)

    def computed_before(self, operator: int, start: int | None, behind: set[int]) -> int | None:
        """What an operator reads that is no constant, and is not computed from ``start``; None if
        there is nothing. ``behind`` are the operators behind the start."""
        for tensor in self.wiring.inputs[operator]:
            if tensor == start:
                continue
            writers = self.wiring.writers.get(tensor, [])
            is_before = bool(writers) and behind.isdisjoint(writers)
            if tensor in self.file_inputs or (is_before and not all(map(self.is_given, writers))):
                return tensor
        return None
