# SPDX-License-Identifier: Apache-2.0
"""Variables of a model file, which keep what is assigned to them from one inference to the next.

A handle names a variable, READ_VARIABLE and ASSIGN_VARIABLE take the handle. The subgraph of a
CALL_ONCE assigns the values that variables have at first; one without has 0 in reals, as
tflite-micro sets it. What is read is a constant of the graph with this value, a State; what is read
behind an assignment is what was assigned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import tflite

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.tensor import Array, Role, Tensor, TensorType
from mcutrain.trainer.model import State
from mcutrain.trainer.tflite.bounds import MAX_OPERATORS
from mcutrain.trainer.tflite.listing import Listing
from mcutrain.trainer.tflite.operator import FileOperator
from mcutrain.trainer.tflite.tensors import MAX_NAME, TYPE_NAMES, FileTensors

ASSIGN, READ, HANDLE, CALL_ONCE = "ASSIGN_VARIABLE", "READ_VARIABLE", "VAR_HANDLE", "CALL_ONCE"
ONE_EACH = "let the model read, compute and assign each variable once, as Keras writes it"
Key: TypeAlias = tuple[bytes, bytes]  # container and name


@dataclass
class Handles:
    """The tensors of a subgraph that are handles of variables."""

    declared: FileTensors
    keys: dict[int, Key] = field(default_factory=dict)

    def add(self, source: FileOperator) -> None:
        """Take up what a VAR_HANDLE gives. Raises ModelError."""
        outputs = [int(source.operator.Outputs(k)) for k in range(source.operator.OutputsLength())]
        if len(outputs) != 1 or source.inputs or outputs[0] in self.keys:
            raise ModelError(f"{source} is no handle of its own")
        type_ = self.declared.type_of(outputs[0])
        if type_ != tflite.TensorType.RESOURCE:
            raise ModelError(f"{source} gives a {TYPE_NAMES.get(type_, 'unknown')}, not a handle")
        container = source.option("Container") or b""
        name = source.option("SharedName") or b""
        if max(len(container), len(name)) > MAX_NAME:
            raise ModelError(f"{source} has a name of more than {MAX_NAME} bytes")
        self.keys[outputs[0]] = container, name

    def of(self, source: FileOperator) -> Key:
        """The variable that input 0 is the handle of. Raises ModelError."""
        index = source.input_index(0)
        if index not in self.keys:
            raise ModelError(f"{source}: input 0 is not the handle of a variable")
        return self.keys[index]


def key_of(operator: Any) -> Key | None:
    """The variable that a VAR_HANDLE names; None of one that does not say so."""
    table = operator.BuiltinOptions()
    if table is None or operator.BuiltinOptionsType() != tflite.BuiltinOptions.VarHandleOptions:
        return None
    options = tflite.VarHandleOptions()
    options.Init(table.Bytes, table.Pos)
    return options.Container() or b"", options.SharedName() or b""


class Variables:
    """What the variables hold while a file is read. ``operators`` are those that it takes up."""

    def __init__(self, listing: Listing) -> None:
        self.listing, self.where = listing, listing.where
        self.handles = Handles(listing.declared)
        self.initial: dict[Key, Tensor] = {}
        self.states: dict[Key, Tensor] = {}
        self.assigned: dict[Key, Tensor] = {}
        self.called: set[int] = set()
        self.operators: dict[str, Callable[[FileOperator], None]] = {
            HANDLE: self.handles.add,
            READ: self.read,
            ASSIGN: self.assign,
            CALL_ONCE: self.call_once,
        }

    def take(self, source: FileOperator) -> None:
        """Take up one operator. Raises ModelError."""
        self.operators[source.kind](source)
        source.require_all_read()

    def read(self, source: FileOperator) -> None:
        key, declared, out = self.handles.of(source), self.listing.declared, source.out
        index = int(source.operator.Outputs(0))
        if index in declared.tensors:
            raise ModelError(f"{source} writes a tensor that is already there")
        declared.require_int8(out, source.site)
        found = self.assigned.get(key) or self.states.get(key)
        if found is None:
            found = self.states[key] = self.first(key, out, index)
        require_equal(source, found.type, out.type)
        declared.tensors[index] = found

    def first(self, key: Key, out: Tensor, index: int) -> Tensor:
        """The state that a variable is at the beginning of an inference."""
        name, quant = f"variable_{len(self.states)}", out.type.quant
        assert quant is not None
        given = self.initial.get(key)
        data: Array = np.full(out.type.shape, quant.zero_point, out.type.dtype.np)
        type_ = out.type
        if given is not None and given.data is not None:
            data, type_ = given.data, given.type
        return Tensor(name, type_, Role.CONST, data, out.label, file_index=index)

    def assign(self, source: FileOperator) -> None:
        key = self.handles.of(source)
        if source.operator.OutputsLength():
            raise ModelError(f"{source} has an output")
        if key in self.assigned:
            raise UnsupportedOpError(f"{source} assigns '{text(key)}' a second time", ONE_EACH)
        value = source.operand(1)
        if key in self.initial:
            require_equal(source, self.initial[key].type, value.type)
        self.assigned[key] = value

    def call_once(self, source: FileOperator) -> None:
        """Take the initial values from the subgraph. Raises ModelError."""
        index, count = int(source.option("InitSubgraphIndex")), self.listing.file.SubgraphsLength()
        if source.inputs or source.operator.OutputsLength():
            raise ModelError(f"{source} has inputs or outputs")
        if not 0 < index < count or index in self.called:
            what = "again" if index in self.called else f"of {count}"
            raise ModelError(f"{source} runs the subgraph {index} {what}")
        self.called.add(index)
        graph = self.listing.file.Subgraphs(index)
        declared = FileTensors(self.listing.file, graph, f"{self.where}: subgraph {index}")
        self.run_once(Listing(declared), declared)

    def run_once(self, listing: Listing, declared: FileTensors) -> None:
        """The assignments of a subgraph, which has handles and constants only."""
        if len(listing) > MAX_OPERATORS:
            raise ModelError(f"{listing.where} has {len(listing)} operators")
        handles = Handles(declared)
        for k in range(len(listing)):
            listing.require_sound(k)
            source = operator_of(listing, k)
            if source.kind == HANDLE:
                handles.add(source)
            elif source.kind == ASSIGN:
                self.initialise(source, handles.of(source))
            else:
                raise UnsupportedOpError(
                    f"{source} runs once before the first inference; handles and constants that "
                    "are assigned are supported there",
                    "convert the model with variables that begin as constants",
                )
            source.require_all_read()

    def initialise(self, source: FileOperator, key: Key) -> None:
        if key in self.initial or key in self.states or key in self.assigned:
            when = "a second time" if key in self.initial else "behind its first use"
            raise UnsupportedOpError(f"{source} initialises '{text(key)}' {when}", ONE_EACH)
        self.initial[key] = source.operand(1)

    def finish(self) -> list[State]:
        """The states. Raises ModelError for a variable that nothing assigns."""
        found = []
        for key, tensor in self.states.items():
            following = self.assigned.get(key)
            if following is None and key not in self.initial:
                raise ModelError(
                    f"{self.where}: the variable '{text(key)}' is read, and nothing assigns it",
                    ONE_EACH,
                )
            if following is None:
                continue  # a constant
            if following.type != tensor.type:
                raise ModelError(
                    f"{self.where}: the variable '{text(key)}' is read as {tensor.type}, and "
                    f"{following.type} is assigned",
                    ONE_EACH,
                )
            found.append(State(tensor, following))
        return found


def operator_of(listing: Listing, index: int) -> FileOperator:
    """An operator of a subgraph whose operators are no nodes."""
    site, operator = listing.site(index), listing.operator(index)
    return FileOperator(
        listing.declared, operator, listing.kind(index), site, index, False, Graph()
    )


def require_equal(source: Any, one: TensorType, other: TensorType) -> None:
    """Raises ModelError unless a variable has one type wherever it is used."""
    if one != other:
        raise ModelError(
            f"{source}: the variable has the type {one.dtype.np.name} {one.shape} elsewhere, with "
            "other numbers of its quantisation or in another shape",
            ONE_EACH,
        )


def text(key: Key) -> str:
    """A variable's name, for messages."""
    name = key[1].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in name)
