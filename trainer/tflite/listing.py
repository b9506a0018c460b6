# SPDX-License-Identifier: Apache-2.0
"""The operators of a model file as they are listed: kind, inputs, outputs, conversions at edges.

What is asked here always has an answer; ``require_sound`` says what is wrong with an operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import tflite

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.tflite.bounds import MAX_OPERANDS
from mcutrain.trainer.tflite.tensors import OLDER, FileTensors
from mcutrain.trainer.tflite.unread import VERSIONS, newer_fields

SCHEMA_VERSION = 3
WIDE_TYPES = (tflite.TensorType.INT16, tflite.TensorType.INT32)
EDGE_TYPES = (tflite.TensorType.FLOAT32, tflite.TensorType.UINT8, *WIDE_TYPES)
FLOATS = (tflite.TensorType.FLOAT16, tflite.TensorType.FLOAT32, tflite.TensorType.FLOAT64)
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
SCORES = ("SOFTMAX", "LOG_SOFTMAX")
OP_NAMES = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}


class Listing:
    """The operators of a subgraph, and of these the ones that are ``read``. ``edges`` are those
    that convert its input or its output."""

    def __init__(self, declared: FileTensors) -> None:
        self.declared = declared
        self.where, self.file = declared.where, declared.file
        self.subgraph = declared.subgraph
        self.edges: set[int] = set()
        self.read: Sequence[int] = range(len(self))

    def __len__(self) -> int:
        return int(self.subgraph.OperatorsLength())

    def operator(self, index: int) -> Any:
        return self.subgraph.Operators(index)

    def code(self, index: int) -> Any:
        """The operator's code; None if the file has none for it."""
        code = self.operator(index).OpcodeIndex()
        return self.file.OperatorCodes(code) if code < self.file.OperatorCodesLength() else None

    def kind(self, index: int) -> str:
        """The schema's name of an operator."""
        if (code := self.code(index)) is None:
            return "unknown"
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        return str(OP_NAMES.get(builtin, f"builtin {builtin}"))

    def inputs_of(self, index: int) -> list[int]:
        """The first MAX_OPERANDS inputs."""
        operator = self.operator(index)
        count = min(operator.InputsLength(), MAX_OPERANDS)
        return [int(operator.Inputs(k)) for k in range(count)]

    def outputs_of(self, index: int) -> list[int]:
        """The first MAX_OPERANDS outputs."""
        operator = self.operator(index)
        count = min(operator.OutputsLength(), MAX_OPERANDS)
        return [int(operator.Outputs(k)) for k in range(count)]

    def output_of(self, index: int) -> int:
        """The one output of a conversion. Raises ModelError."""
        outputs = self.outputs_of(index)
        if len(outputs) != 1:
            raise ModelError(
                f"{self.where}: {self.site(index)} has not one output, but {len(outputs)}"
            )
        return outputs[0]

    def site(self, index: int) -> str:
        """Where an operator stands, for messages."""
        kind, outputs = self.kind(index), self.outputs_of(index)
        if kind == "CUSTOM" and (code := self.code(index)) is not None and code.CustomCode():
            kind = f"CUSTOM {code.CustomCode().decode('utf-8', 'replace')[:64]}"
        first = f"'{self.declared.label(outputs[0])}'" if outputs else "none"
        if len(outputs) > 1:
            return f"operator {index} ({kind}, outputs {first} and {len(outputs) - 1} more)"
        return f"operator {index} ({kind}, output {first})"

    def require_sound(self, index: int) -> None:
        """Raises ModelError for an operator that cannot be one, or is of a newer schema."""
        operator, code = self.operator(index), self.code(index)
        if code is None:
            raise ModelError(f"{self.where}: operator {index} has no operator code")
        for count, what in (
            (operator.InputsLength(), "inputs"), (operator.OutputsLength(), "outputs"),
        ):  # fmt: skip
            if count > MAX_OPERANDS:
                raise UnsupportedOpError(
                    f"{self.where}: operator {index} has {count} {what}; {MAX_OPERANDS} are "
                    "supported"
                )
        newest = VERSIONS.get(self.kind(index))
        if newest is not None and code.Version() > newest:
            raise UnsupportedOpError(
                f"{self.where}: {self.site(index)} has version {code.Version()}; {newest} is the "
                "newest that is known",
                OLDER,
            )

    def require_known_file(self) -> None:
        """Raises ModelError for a schema that is not known."""
        if self.file.Version() != SCHEMA_VERSION or newer_fields(self.file, "Model"):
            raise UnsupportedOpError(
                f"{self.where} is of version {self.file.Version()} of the TFLite schema, or has "
                f"fields that are not known; version {SCHEMA_VERSION} is supported",
                OLDER,
            )
        if newer_fields(self.subgraph, "SubGraph"):
            raise UnsupportedOpError(f"{self.where} has fields of a newer TFLite schema", OLDER)

    def inner_input(self, index: int) -> int:
        """The tensor that stands for the file's input: behind a QUANTIZE from another type."""
        readers = [k for k in self.read if index in self.inputs_of(k)]
        converts = [self.kind(k) for k in readers] == ["QUANTIZE"]
        if converts and self.declared.type_of(index) in EDGE_TYPES:
            self.edges.add(readers[0])
            return self.output_of(readers[0])
        return index

    def inner_output(self, index: int) -> int:
        """The tensor that stands for the file's output: before a conversion to another type, before
        scores in float32, and before a SOFTMAX of more than int8, which training leaves out."""
        for k in range(len(self)):
            converts = self.kind(k) in CONVERSIONS and len(self.inputs_of(k)) == 1
            is_its = converts and self.outputs_of(k) == [index]
            if is_its and self.declared.type_of(index) in EDGE_TYPES:
                self.edges.add(k)
                return self.before_wide_softmax(self.inputs_of(k)[0])
        scores = self.float_scores(index)
        self.edges.update(scores)
        return self.inputs_of(scores[0])[0] if scores else self.before_wide_softmax(index)

    def before_wide_softmax(self, index: int) -> int:
        """What the SOFTMAX reads that writes ``index`` wider than int8; else ``index``."""
        writer = self.unary_writer(index, len(self))
        if writer is None or self.kind(writer) != "SOFTMAX":
            return index
        (logits,) = self.inputs_of(writer)
        types = self.declared.type_of(index), self.declared.type_of(logits)
        if types[0] not in WIDE_TYPES or types[1] != tflite.TensorType.INT8:
            return index
        self.edges.add(writer)
        return logits

    def float_scores(self, tensor: int) -> tuple[int, ...]:
        """(DEQUANTIZE, operator) where ``tensor`` is the scores in float that it makes of one
        tensor; () where it is not."""
        last = self.unary_writer(tensor, len(self))
        if last is None or self.kind(last) not in SCORES:
            return ()
        first = self.unary_writer(self.inputs_of(last)[0], last)
        return (first, last) if first is not None and self.kind(first) == "DEQUANTIZE" else ()

    def unary_writer(self, tensor: int, before: int) -> int | None:
        """The operator before ``before`` that makes a tensor, and nothing else, of one other."""
        found = self.declared.writers.get(tensor)
        if found is None or found >= before or len(self.inputs_of(found)) != 1:
            return None
        return found if self.outputs_of(found) == [tensor] else None

    def is_float(self, index: int) -> bool:
        """Whether an operator reads or writes an activation in floating point."""
        return bool(self.floats_of(index))

    def floats_of(self, index: int) -> list[int]:
        """The activations in floating point that an operator reads or writes."""
        tensors = [*self.inputs_of(index), *self.outputs_of(index)]
        there = [t for t in tensors if 0 <= t < self.subgraph.TensorsLength()]
        return [
            t for t in there if self.subgraph.Tensors(t).Type() in FLOATS and not self.is_held(t)
        ]

    def is_held(self, tensor: int) -> bool:
        """Whether the file holds the tensor's data."""
        return self.declared.has_data(self.subgraph.Tensors(tensor).Buffer())

    @cached_property
    def is_float_model(self) -> bool:
        """Whether none of the operators that are read computes in integers."""
        return all(map(self.is_float, self.read))
