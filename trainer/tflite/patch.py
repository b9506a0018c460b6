# SPDX-License-Identifier: Apache-2.0
"""Minimal edits of a ``.tflite`` file: data, tensors, operator inputs, metadata; the rest stays.

Numbers of fields are those of the TFLite schema, version 3.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tflite

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.tensor import Array, QuantParams
from mcutrain.trainer.tflite import behind
from mcutrain.trainer.tflite.buffers import NO_PLACE
from mcutrain.trainer.tflite.declared import FileTensor, integers
from mcutrain.trainer.tflite.flatbuffer import (
    FlatBufferPatch,
    Piece,
    Target,
    offsets,
    string,
    table,
    vector,
)
from mcutrain.trainer.tflite.listing import OP_NAMES

DATA_ALIGNMENT = 16  # Buffer.data has force_align: 16
BUFFER_DATA, BUFFER_OFFSET, BUFFER_SIZE = 0, 1, 2
OPERATORS, LARGE_OPTIONS_OFFSET = 3, 9  # of a SubGraph, of an Operator
SUBGRAPHS, BUFFERS, METADATA_BUFFER, METADATA = 2, 4, 5, 6  # fields of Model
MODEL_FIELDS, SUBGRAPH_FIELDS = 10, 6
MODEL_SCALARS, SUBGRAPH_SCALARS = (0,), (5,)
OPERATOR_INPUTS, OPERATOR_OPTIONS = 1, 4
FUSED_ACTIVATION = {  # in the options of each
    "CONV_2D": 3, "DEPTHWISE_CONV_2D": 4, "FULLY_CONNECTED": 0, "ADD": 0, "MUL": 0,
    "TRANSPOSE_CONV": 3,
}  # fmt: skip


@dataclass(frozen=True)
class ParameterEntry:
    """A metadata entry: its name, its buffer, where its table is."""

    name: bytes
    buffer: int
    target: Target


def data_buffer(raw: bytes) -> Piece:
    return table({0: vector(raw, 1, DATA_ALIGNMENT)} if raw else {})


class TflitePatch:
    """A file, and changes to its first subgraph. ``finish`` gives the new file.

    Data are overwritten where nothing else reads them and they have room; else they get a
    buffer of their own. What nothing refers to any more stays in the file (tflite.compact takes it
    out). A zip behind the model stays behind it.
    """

    def __init__(self, data: bytes) -> None:
        data, self.behind = behind.split(data)
        self.patch = FlatBufferPatch(data)
        self.file: Any = tflite.Model.GetRootAsModel(data, 0)
        if not self.file.SubgraphsLength():
            raise ModelError("the file has no subgraph")
        self.subgraph: Any = self.file.Subgraphs(0)
        self.root = self.patch.follow(0)
        self.graph_at, *self.other_graphs = map(self.patch.follow, self.slots(self.root, SUBGRAPHS))
        self.buffers: list[Target] = self.targets(self.root, BUFFERS)
        self.metadata = [
            ParameterEntry(
                self.file.Metadata(k).Name() or b"", int(self.file.Metadata(k).Buffer()), target
            )
            for k, target in enumerate(self.targets(self.root, METADATA))
        ]
        self.tensors: list[Target] = self.targets(self.graph_at, 0)
        self.operators = [self.patch.follow(s) for s in self.slots(self.graph_at, OPERATORS)]
        self.records: dict[int, FileTensor] = {}
        self.overwritten: dict[int, FileTensor] = {}
        self.spans = [self.span(at) for at in self.buffers if isinstance(at, int)]
        self.data: dict[int, bytes] = {}
        for graph in (self.graph_at, *self.other_graphs):
            self.keep_large_options(graph)
        operators = [self.subgraph.Operators(k) for k in range(len(self.operators))]
        self.inputs = [self.vector_of(operator, "Inputs") for operator in operators]
        self.outputs = [self.vector_of(operator, "Outputs") for operator in operators]
        self.buffer_users = self.count_buffer_users()

    @staticmethod
    def vector_of(owner: Any, name: str) -> list[int]:
        length = getattr(owner, f"{name}Length")()
        return [int(getattr(owner, name)(k)) for k in range(length)]

    def slots(self, table_at: int, number: int) -> list[int]:
        """Where the elements of a table's vector of tables lie; [] without the vector."""
        slot = self.patch.field(table_at, number)
        return self.patch.elements(slot) if slot else []

    def targets(self, table_at: int, number: int) -> list[Target]:
        return [self.patch.follow(slot) for slot in self.slots(table_at, number)]

    def span(self, buffer_at: int) -> tuple[int, int]:
        """Where a buffer's data begin and end; (0, 0) without data."""
        slot = self.patch.field(buffer_at, BUFFER_DATA)
        if (place := self.place(buffer_at)) is not None:
            return place
        if not slot:
            return 0, 0
        start = self.patch.follow(slot) + 4
        return start, start + self.patch.unsigned(start - 4)

    def place(self, buffer_at: int) -> tuple[int, int] | None:
        """The span of a buffer's data that lie elsewhere in the file; None if they do not."""
        offset, size = (self.patch.field(buffer_at, k) for k in (BUFFER_OFFSET, BUFFER_SIZE))
        start = self.patch.unsigned_64(offset) if offset else 0
        if start <= NO_PLACE:
            return None
        self.patch.absolute.add(offset)
        return start, start + (self.patch.unsigned_64(size) if size else 0)

    def keep_large_options(self, graph_at: int) -> None:
        """Options of custom operators may lie elsewhere in the file, too: their place moves."""
        for operator in map(self.patch.follow, self.slots(graph_at, OPERATORS)):
            slot = self.patch.field(operator, LARGE_OPTIONS_OFFSET)
            if slot and self.patch.unsigned_64(slot) > NO_PLACE:
                self.patch.absolute.add(slot)

    def count_buffer_users(self) -> Counter[int]:
        """How many tensors, of all subgraphs, and metadata refer to each buffer."""
        file, users = self.file, Counter[int]()
        for graph in map(file.Subgraphs, range(file.SubgraphsLength())):
            users.update(int(graph.Tensors(k).Buffer()) for k in range(graph.TensorsLength()))
        users.update(int(file.Metadata(k).Buffer()) for k in range(file.MetadataLength()))
        slot = self.patch.field(self.root, METADATA_BUFFER)
        users.update(map(self.patch.unsigned, self.patch.elements(slot) if slot else []))
        return users

    def kind(self, operator: int) -> str:
        """The schema's name of an operator."""
        if not 0 <= operator < len(self.operators):
            raise ModelError(f"the file has no operator {operator}")
        code = self.file.OperatorCodes(self.subgraph.Operators(operator).OpcodeIndex())
        return str(OP_NAMES.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "unknown"))

    def tensor(self, index: int) -> FileTensor:
        """The tensor as declared, changes included."""
        if (known := self.records.get(index) or self.overwritten.get(index)) is not None:
            return known
        if not 0 <= index < len(self.tensors):
            raise ModelError(f"the file has no tensor {index}")
        t = self.subgraph.Tensors(index)
        quant, found = t.Quantization(), None
        if quant is not None and quant.ScaleLength():
            scales = tuple(float(quant.Scale(k)) for k in range(quant.ScaleLength()))
            zero = int(quant.ZeroPoint(0)) if quant.ZeroPointLength() else 0
            axis = int(quant.QuantizedDimension()) if len(scales) > 1 else None
            found = QuantParams(scales, zero, axis)
        return FileTensor(
            t.Name() or b"", tuple(self.vector_of(t, "Shape")), int(t.Type()), int(t.Buffer()),
            found, tuple(self.vector_of(t, "ShapeSignature")), bool(t.IsVariable()),
            bool(t.HasRank()),
        )  # fmt: skip

    def contents(self, index: int, dtype: str) -> Array:
        """The data of a tensor as little-endian ``dtype``, flat; empty if it has none."""
        buffer = self.tensor(index).buffer
        raw = self.data.get(buffer)
        if raw is None:
            if buffer >= len(self.spans):
                raise ModelError(f"the file has no buffer {buffer}")
            start, end = self.spans[buffer]
            self.patch.check(start, end - start)
            raw = bytes(self.patch.old[start:end])
        if len(raw) % np.dtype(dtype).itemsize:
            raise ModelError(f"tensor {index} has {len(raw)} bytes, which are no {dtype}")
        return np.frombuffer(raw, dtype)

    def readers(self, tensor: int) -> list[int]:
        """The operators that read a tensor, once for each time."""
        return [k for k, inputs in enumerate(self.inputs) for t in inputs if t == tensor]

    def own_input(self, operator: int, position: int) -> int:
        """The constant at an input that no other reads; a copy takes its place if one does."""
        index = self.inputs[operator][position]
        edges = self.vector_of(self.subgraph, "Inputs") + self.vector_of(self.subgraph, "Outputs")
        if len(self.readers(index)) + edges.count(index) == 1:
            return index
        old = self.tensor(index)
        own = self.add_tensor(replace(old, name=old.name + f"_of_{operator}".encode()))
        self.buffer_users[old.buffer] += 1
        inputs = list(self.inputs[operator])
        inputs[position] = own
        self.set_inputs(operator, inputs)
        return own

    def add_tensor(self, tensor: FileTensor) -> int:
        """The index of a new tensor; its buffer's users are the caller's to count."""
        self.records[len(self.tensors)] = tensor
        self.tensors.append(tensor.piece())
        return len(self.tensors) - 1

    def change_tensor(self, index: int, tensor: FileTensor) -> None:
        """Declare a tensor anew; its data are set by ``set_data``."""
        self.records[index] = tensor

    def add_buffer(self, raw: bytes) -> int:
        self.buffers.append(data_buffer(raw))
        self.data[len(self.buffers) - 1] = raw
        return len(self.buffers) - 1

    def set_data(self, index: int, raw: bytes) -> None:
        """Give a tensor other data; other tensors that share its buffer keep theirs."""
        tensor = self.tensor(index)
        if self.is_shared(tensor.buffer):
            self.buffer_users[tensor.buffer] -= 1
            buffer = self.add_buffer(raw)
            self.buffer_users[buffer] = 1
            self.change_tensor(index, replace(tensor, buffer=buffer))
        else:
            self.set_buffer(tensor.buffer, raw)

    def is_shared(self, buffer: int) -> bool:
        """Whether another tensor, metadata or other bytes depend on the buffer."""
        if buffer == 0 or self.buffer_users[buffer] != 1:
            return True
        if buffer >= len(self.spans):
            return False
        start, end = self.spans[buffer]
        return any(start < e and s < end for k, (s, e) in enumerate(self.spans) if k != buffer)

    def set_buffer(self, buffer: int, raw: bytes) -> None:
        """Change a buffer that one tensor or metadata has: in place if there is room."""
        self.data[buffer] = raw
        start, end = self.spans[buffer] if buffer < len(self.spans) else (0, 0)
        at, room = self.buffers[buffer], end - start
        is_elsewhere = isinstance(at, int) and self.place(at) is not None
        if is_elsewhere and raw and len(raw) == room:
            self.patch.write(start, raw)
        elif raw and len(raw) <= room and isinstance(at, int) and not is_elsewhere:
            self.patch.write(start - 4, struct.pack("<I", len(raw)) + raw)
            self.spans[buffer] = (start, start + len(raw))
        else:
            self.buffers[buffer] = data_buffer(raw)

    def set_inputs(self, operator: int, inputs: Sequence[int]) -> None:
        slot = self.patch.field(self.operators[operator], OPERATOR_INPUTS)
        if not slot:
            raise ModelError(f"operator {operator} has no inputs")
        self.patch.point(slot, integers(inputs))
        self.inputs[operator] = list(inputs)

    def options_slot(self, operator: int) -> int:
        """Where the operator refers to its options; 0 if it has none."""
        return self.patch.field(self.operators[operator], OPERATOR_OPTIONS)

    def activation(self, operator: int) -> int:
        """The code of the fused activation; 0 is NONE."""
        slot, number = self.options_slot(operator), FUSED_ACTIVATION.get(self.kind(operator))
        at = self.patch.field(self.patch.follow(slot), number) if slot and number is not None else 0
        if at:
            self.patch.check(at, 1)
        return self.patch.old[at] if at else 0

    def drop_activation(self, operator: int) -> None:
        """The layer has the fused activation NONE."""
        if self.activation(operator):
            slot = self.options_slot(operator)
            options = self.patch.follow(slot)
            copy = self.patch.copied(options, {FUSED_ACTIVATION[self.kind(operator)]: b"\0"})
            self.patch.point(slot, copy)

    def new_shape(self, operator: int) -> list[int]:
        """The shape in a RESHAPE's options; [] if they have none."""
        options = self.subgraph.Operators(operator).BuiltinOptions()
        kind = self.subgraph.Operators(operator).BuiltinOptionsType()
        if options is None or kind != tflite.BuiltinOptions.ReshapeOptions:
            return []
        reshape = tflite.ReshapeOptions()
        reshape.Init(options.Bytes, options.Pos)
        return self.vector_of(reshape, "NewShape")

    def set_new_shape(self, operator: int, shape: Sequence[int]) -> None:
        """The shape in a RESHAPE's options."""
        self.patch.point(self.options_slot(operator), table({0: integers(shape)}))

    def set_metadata(self, name: str, raw: bytes | None) -> None:
        """Store metadata, in place of that of the same name; None takes it away."""
        found = [e for e in self.metadata if e.name == name.encode()]
        if len(found) == 1 and raw is not None and not self.is_shared(found[0].buffer):
            self.set_buffer(found[0].buffer, raw)
            return
        for old in found:
            if not self.is_shared(old.buffer):
                self.set_buffer(old.buffer, b"")
            self.metadata.remove(old)
        if raw is not None:
            buffer = self.add_buffer(raw)
            self.buffer_users[buffer] = 1
            number = struct.pack("<I", buffer)
            entry = table({0: string(name.encode()), 1: number})
            self.metadata.append(ParameterEntry(name.encode(), buffer, entry))

    def finish(self) -> bytes:
        """The new file. Raises ModelError if the old one leaves no way."""
        for index, tensor in self.records.items():
            self.tensors[index] = tensor.piece()
        tensors = self.new_vector(self.graph_at, 0, self.tensors)
        entries = [entry.target for entry in self.metadata]
        changes: dict[int, Piece] = {}
        if tensors:
            graph = self.moved(self.graph_at, {0: tensors}, SUBGRAPH_SCALARS, SUBGRAPH_FIELDS)
            changes[SUBGRAPHS] = offsets([graph, *self.other_graphs])
        for number, targets in ((BUFFERS, self.buffers), (METADATA, entries)):
            new = self.new_vector(self.root, number, targets)
            if new:
                changes[number] = new
        if not changes:
            return self.with_behind(self.patch.apply())
        root = self.moved(self.root, changes, MODEL_SCALARS, MODEL_FIELDS)
        return self.with_behind(self.patch.apply(root))

    def with_behind(self, model: bytes) -> bytes:
        """The new model, and behind it what was packed behind the old one."""
        return model + behind.moved(self.behind, len(self.patch.old), len(model))

    def new_vector(self, table_at: int, number: int, targets: list[Target]) -> Piece | None:
        """A vector of ``targets``; None if new ones could take the place of old ones in the old."""
        slots = self.slots(table_at, number)
        old = [self.patch.follow(slot) for slot in slots]
        if len(old) != len(targets) or any(
            isinstance(t, int) and t != at for t, at in zip(targets, old, strict=True)
        ):
            return offsets(targets)
        for slot, target in zip(slots, targets, strict=True):
            if isinstance(target, Piece):
                self.patch.point(slot, target)
        return None

    def moved(
        self, table_at: int, changes: dict[int, Piece], scalars: tuple[int, ...], known: int
    ) -> Piece:
        """A copy of a table for the front of the file, with some fields changed or added."""
        fields: dict[int, bytes | Target] = {}
        for number in range(self.patch.field_count(table_at)):
            slot = self.patch.field(table_at, number)
            if slot and number >= known:
                raise ModelError(
                    "the file has fields of a newer TFLite schema: it cannot be exported to"
                )
            if slot and number in scalars:
                fields[number] = struct.pack("<I", self.patch.unsigned(slot))
            elif slot:
                fields[number] = self.patch.follow(slot)
        return table(fields | changes)
