# SPDX-License-Identifier: Apache-2.0
"""Reads an int8 .tflite into a forward Model. Files are hostile: everything is checked here."""

from __future__ import annotations

import math
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import tflite

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Role, Tensor, TensorType
from mcutrain.trainer.model import Model, trim
from mcutrain.trainer.ops.softmax import Softmax
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.tflite.bounds import (
    MAX_ELEMENTS,
    MAX_OPERANDS,
    MAX_OPERATORS,
    MAX_RANK,
    require_bounded,
)
from mcutrain.trainer.tflite.folding import FOLDS
from mcutrain.trainer.tflite.operator import FileOperator

MAX_FILE_BYTES = 256 << 20
MAX_METADATA = 1 << 12  # entries
TRAINING_STATE = "mcutrain.training_state"  # name of the metadata that an export holds
MAX_INTEGERS = 1 << 12  # elements of a shape, of axes or the like
MAX_NAME = 1 << 10  # bytes; converters join the names of what they fuse
MIN_SCALE = 2.0**-100  # quotients of scales stay far inside float32
DTYPES = {
    tflite.TensorType.INT8: DType.S8,
    tflite.TensorType.INT16: DType.S16,
    tflite.TensorType.INT32: DType.S32,
    tflite.TensorType.UINT8: DType.U8,
}
INTEGERS = {tflite.TensorType.INT32: np.int32, tflite.TensorType.INT64: np.int64}
EDGE_TYPES = (tflite.TensorType.FLOAT32, tflite.TensorType.UINT8)
TYPE_NAMES = {v: k for k, v in vars(tflite.TensorType).items() if isinstance(v, int)}
OP_NAMES = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
# What the flatbuffer reader raises on offsets that lead nowhere.
READER_ERRORS = (struct.error, IndexError, TypeError, ValueError, AttributeError, OverflowError)


def load(path: str | Path) -> Model:
    """The forward model of an int8 ``.tflite`` file.

    Raises ModelError if the file is not one, UnsupportedOpError (naming operator, index
    and tensor) for what is not supported.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB")
        data = path.read_bytes()
    except OSError as err:
        raise ModelError(f"cannot read model {path}: {err.strerror}") from err
    return parse(data, path.stem, str(path))


def parse(data: bytes, name: str, where: str = "the model") -> Model:
    """As ``load``, from the file's bytes."""
    if len(data) < 16 or data[4:8] != b"TFL3":
        raise ModelError(f"{where} is not a .tflite file (no TFL3 identifier)")
    try:
        return Reader(data, identifier(name), where).model()
    except READER_ERRORS as err:
        raise ModelError(f"{where} is damaged or truncated: {err}") from err


def output_tensors(path: Path) -> list[int]:
    """The index of the tensor that each operator of the file writes."""
    subgraph = tflite.Model.GetRootAsModel(path.read_bytes(), 0).Subgraphs(0)
    return [subgraph.Operators(k).Outputs(0) for k in range(subgraph.OperatorsLength())]


def input_tensor(path: Path) -> int:
    """The index of the file's tensor that is the model's input, behind an edge from float too."""
    reader = Reader(path.read_bytes(), path.stem, str(path))
    return reader.inner_input(reader.subgraph.Inputs(0))


def identifier(name: str) -> str:
    """``name`` as the start of C identifiers that no symbol of the firmware has.

    >>> identifier("mcunet-5fps_int8"), identifier("5 fps")
    ('mcunet_5fps_int8', 'm_5_fps')
    """
    cleaned = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower() or "model"
    is_taken = cleaned.startswith("mct")
    return cleaned if cleaned[0].isalpha() and not is_taken else f"m_{cleaned}"


def importers(base: type[Op] = Op) -> dict[str, type[Op]]:
    """The operators that can be read, by their name in the TFLite schema."""
    found = {base.tflite_name: base} if "tflite_name" in vars(base) and base.tflite_name else {}
    for kind in base.__subclasses__():
        found |= importers(kind)
    return found


class Reader:
    def __init__(self, data: bytes, name: str, where: str) -> None:
        self.name, self.where = name, where
        self.file = tflite.Model.GetRootAsModel(data, 0)
        if self.file.SubgraphsLength() != 1:
            raise ModelError(
                f"{where} has {self.file.SubgraphsLength()} subgraphs; one is supported"
            )
        self.subgraph = self.file.Subgraphs(0)
        self.graph = Graph()
        self.tensors: dict[int, Tensor] = {}
        self.folded: dict[int, Array] = {}
        self.edges: set[int] = set()
        self.last_index = -1

    def model(self) -> Model:
        g = self.subgraph
        if g.InputsLength() != 1 or g.OutputsLength() != 1:
            raise ModelError(
                f"{self.where} has {g.InputsLength()} inputs and {g.OutputsLength()} outputs; "
                "models with one of each are supported"
            )
        if g.OperatorsLength() > MAX_OPERATORS:
            raise ModelError(
                f"{self.where} has {g.OperatorsLength()} operators; {MAX_OPERATORS} are supported"
            )
        first_index = self.inner_input(g.Inputs(0))
        self.last_index = self.inner_output(g.Outputs(0))
        source = self.read_tensor(first_index, "input", Role.INPUT)
        self.require_int8(source, "input")
        if source.type.shape[0] != 1:
            raise ModelError(f"{self.where}: the input's batch is {source.type.shape[0]}; use 1")
        for index in range(g.OperatorsLength()):
            if index not in self.edges:
                self.add_operator(index)
        output = self.tensors.get(self.last_index)
        if output is None or not self.graph.nodes:
            raise ModelError(f"{self.where}: no operator writes the output")
        last = self.graph.producer(output)
        logits = last.inputs[0] if last and isinstance(last.op, Softmax) else output
        require_bounded(self.graph, self.where)
        model = Model(
            self.name, self.graph, source, logits, output, self.training_state(),
            self.pixels(g.Inputs(0)), self.tied(),
        )  # fmt: skip
        if not trim(model).weighted:
            raise ModelError(f"{self.where} has no layer with weights: nothing can learn")
        return model

    def pixels(self, index: int) -> QuantParams | None:
        """The quantisation of the file's input ``index``, if it is uint8."""
        if self.type_of(index) != tflite.TensorType.UINT8:
            return None
        table = self.subgraph.Tensors(index)
        quant = self.read_quant(table, self.label(index), self.shape_of(index))
        return quant if quant is not None and len(quant.scales) == 1 else None

    def tied(self) -> tuple[tuple[int, ...], ...]:
        """The operators that have one buffer of weights, each time they are several."""
        readers: dict[int, list[int]] = {}
        for node in self.graph.nodes:
            if isinstance(node.op, Weighted):
                weights = self.inputs_of(node.index)[1]
                buffer = int(self.subgraph.Tensors(weights).Buffer())
                readers.setdefault(buffer, []).append(node.index)
        return tuple(tuple(found) for found in readers.values() if len(found) > 1)

    def training_state(self) -> bytes | None:
        """The bytes of a TrainingState, unchecked; None if the file has none."""
        if self.file.MetadataLength() > MAX_METADATA:
            raise ModelError(f"{self.where} has {self.file.MetadataLength()} metadata entries")
        for entry in map(self.file.Metadata, range(self.file.MetadataLength())):
            if entry.Name() == TRAINING_STATE.encode():
                if entry.Buffer() >= self.file.BuffersLength():
                    raise ModelError(f"{self.where}: the metadata {TRAINING_STATE} has no buffer")
                data = self.file.Buffers(entry.Buffer()).DataAsNumpy()
                return None if isinstance(data, int) else bytes(data.tobytes())
        return None

    def inner_input(self, index: int) -> int:
        """The tensor that stands for the file's input: behind a QUANTIZE from float32 or uint8."""
        readers = [k for k in range(self.subgraph.OperatorsLength()) if index in self.inputs_of(k)]
        if self.type_of(index) in EDGE_TYPES and [self.kind(k) for k in readers] == ["QUANTIZE"]:
            self.edges.add(readers[0])
            return self.output_of(readers[0])
        return index

    def inner_output(self, index: int) -> int:
        """The tensor that stands for the file's output: before a conversion to float32 or uint8."""
        for k in range(self.subgraph.OperatorsLength()):
            converts = self.kind(k) in ("DEQUANTIZE", "QUANTIZE") and len(self.inputs_of(k)) == 1
            if converts and self.output_of(k) == index and self.type_of(index) in EDGE_TYPES:
                self.edges.add(k)
                return self.inputs_of(k)[0]
        return index

    def type_of(self, index: int) -> int:
        self.label(index)  # checks the index
        return int(self.subgraph.Tensors(index).Type())

    def inputs_of(self, index: int) -> list[int]:
        operator = self.subgraph.Operators(index)
        if operator.InputsLength() > MAX_OPERANDS:
            raise UnsupportedOpError(
                f"{self.where}: operator {index} has {operator.InputsLength()} inputs; "
                f"{MAX_OPERANDS} are supported"
            )
        return [int(operator.Inputs(k)) for k in range(operator.InputsLength())]

    def shape_of(self, index: int) -> tuple[int, ...]:
        label, table = self.label(index), self.subgraph.Tensors(index)
        if table.ShapeLength() > MAX_RANK:
            raise ModelError(
                f"{self.where}: tensor '{label}' has {table.ShapeLength()} dimensions; "
                f"{MAX_RANK} are supported"
            )
        return tuple(int(table.Shape(k)) for k in range(table.ShapeLength()))

    def output_of(self, index: int) -> int:
        operator = self.subgraph.Operators(index)
        if operator.OutputsLength() != 1:
            kind = self.kind(index)
            raise ModelError(f"{self.where}: operator {index} ({kind}) has not one output")
        return int(operator.Outputs(0))

    def kind(self, index: int) -> str:
        """The schema's name of an operator."""
        code = self.subgraph.Operators(index).OpcodeIndex()
        if code >= self.file.OperatorCodesLength():
            raise ModelError(f"{self.where}: operator {index} has no operator code")
        table = self.file.OperatorCodes(code)
        builtin = max(table.BuiltinCode(), table.DeprecatedBuiltinCode())
        return str(OP_NAMES.get(builtin, f"builtin {builtin}"))

    def add_operator(self, index: int) -> None:
        kind, out_index = self.kind(index), self.output_of(index)
        site = f"operator {index} ({kind}, output '{self.label(out_index)}')"
        known = importers()
        if kind not in known and kind not in FOLDS:
            names = ", ".join(sorted({*known, *FOLDS}))
            raise UnsupportedOpError(
                f"{self.where}: {site} is not supported; supported are {names}"
            )
        if out_index in self.tensors or out_index in self.folded:
            raise ModelError(f"{self.where}: {site} writes a tensor that is already there")
        name = f"{kind.lower()}_{index}"
        source = FileOperator(self, self.subgraph.Operators(index), kind, site, name)
        if kind in FOLDS:
            self.folded[out_index] = FOLDS[kind](source)
            return
        self.require_int8(source.out, site)
        op, inputs = known[kind].from_tflite(source)
        try:
            (out,) = self.graph.add(op, *inputs, name=name, index=index)
        except ModelError as err:
            raise ModelError(f"{self.where}: {err}") from err
        declared = source.out.type
        if out.type.shape != declared.shape or out.type.quant != declared.quant:
            raise ModelError(
                f"{self.where}: {site} is declared as {describe(declared)}, "
                f"but computes {describe(out.type)}"
            )
        out.label = source.out.label
        self.tensors[out_index] = out

    def label(self, index: int) -> str:
        if not 0 <= index < self.subgraph.TensorsLength():
            raise ModelError(f"{self.where}: there is no tensor {index}")
        name = self.subgraph.Tensors(index).Name() or b""
        if len(name) > MAX_NAME:
            raise ModelError(
                f"{self.where}: tensor {index} has a name of {len(name)} bytes; "
                f"{MAX_NAME} are supported"
            )
        text = name.decode("utf-8", "replace")
        return "".join(c if c.isprintable() else "?" for c in text) or f"tensor {index}"

    def read_tensor(self, index: int, name: str, role: Role) -> Tensor:
        """The declared tensor ``index``: type, role and data checked against its buffer."""
        label = self.label(index)
        table = self.subgraph.Tensors(index)
        shape = self.shape_of(index)
        if role is Role.CONST:
            shape = shape or (1,)  # a scalar
        if not shape or min(shape) < 1 or math.prod(shape) > MAX_ELEMENTS:
            raise ModelError(f"{self.where}: tensor '{label}' has the shape {shape}")
        if table.Type() not in DTYPES:
            raise UnsupportedOpError(
                f"{self.where}: tensor '{label}' is {TYPE_NAMES.get(table.Type(), 'unknown')}; "
                "an int8 model is needed: convert it with full-integer quantisation"
            )
        type_ = TensorType(shape, DTYPES[table.Type()], self.read_quant(table, label, shape))
        data = self.read_buffer(table.Buffer(), type_, label) if role is Role.CONST else None
        tensor = Tensor(name, type_, role, data, label)
        if role is not Role.CONST and self.has_data(table.Buffer()):
            raise ModelError(f"{self.where}: tensor '{label}' is computed, yet it has data")
        if role is Role.INPUT:
            tensor.name = "input"
            self.tensors[index] = tensor
        return tensor

    def read_quant(self, table: Any, label: str, shape: tuple[int, ...]) -> QuantParams | None:
        quant = table.Quantization()
        if quant is None or quant.ScaleLength() == 0:
            return None
        most = max(1, *shape) if shape else 1
        is_whole = quant.ZeroPointLength() in (1, quant.ScaleLength())
        if quant.ScaleLength() > most or not is_whole:
            raise ModelError(
                f"{self.where}: tensor '{label}' of shape {shape} has {quant.ScaleLength()} scales "
                f"and {quant.ZeroPointLength()} zero points"
            )
        scales = tuple(float(quant.Scale(k)) for k in range(quant.ScaleLength()))
        zeros = {int(quant.ZeroPoint(k)) for k in range(quant.ZeroPointLength())}
        if not all(MIN_SCALE < s < 1 / MIN_SCALE for s in scales) or len(zeros) != 1:
            raise ModelError(f"{self.where}: tensor '{label}' has unusable scales or zero points")
        if len(scales) == 1:
            return QuantParams(scales, zeros.pop())
        axis = int(quant.QuantizedDimension()) if len(shape) > 1 else 0
        if not 0 <= axis < len(shape) or shape[axis] != len(scales):
            raise ModelError(
                f"{self.where}: tensor '{label}' of shape {shape} has {len(scales)} scales "
                f"along axis {axis}"
            )
        return QuantParams(scales, zeros.pop(), axis)

    def has_data(self, buffer: int) -> bool:
        is_there = buffer < self.file.BuffersLength()
        return bool(is_there and self.file.Buffers(buffer).DataLength())

    def read_buffer(self, index: int, type_: TensorType, label: str) -> Array:
        return self.read_array(index, type_.shape, type_.dtype.np, label)

    def read_array(
        self, index: int, shape: tuple[int, ...], dtype: np.dtype[Any], label: str
    ) -> Array:
        if index >= self.file.BuffersLength():
            raise ModelError(f"{self.where}: tensor '{label}' has no buffer")
        data = self.file.Buffers(index).DataAsNumpy()
        raw = b"" if isinstance(data, int) else data.tobytes()
        nbytes = math.prod(shape) * dtype.itemsize
        if len(raw) != nbytes:
            raise ModelError(
                f"{self.where}: tensor '{label}' needs {nbytes} bytes of data, "
                f"its buffer has {len(raw)}"
            )
        return np.frombuffer(raw, dtype.newbyteorder("<")).reshape(shape).astype(dtype)

    def read_integers(self, index: int) -> Array:
        """A constant of int32 or int64 as int64: a shape, axes, widths; a scalar too."""
        if index in self.folded:
            return self.folded[index]
        label, table = self.label(index), self.subgraph.Tensors(index)
        shape = self.shape_of(index)
        is_small = all(d >= 0 for d in shape) and math.prod(shape) <= MAX_INTEGERS
        if table.Type() not in INTEGERS or not is_small:
            name = TYPE_NAMES.get(table.Type(), "unknown")
            raise UnsupportedOpError(
                f"{self.where}: tensor '{label}' is {name} {shape}; a few integers are expected"
            )
        dtype = np.dtype(INTEGERS[table.Type()])
        return self.read_array(table.Buffer(), shape, dtype, label).astype(np.int64)

    def read_int8_scalar(self, index: int) -> tuple[int, QuantParams | None]:
        """A constant int8 of one element, with or without dimensions, and its quantisation."""
        label, table = self.label(index), self.subgraph.Tensors(index)
        shape = self.shape_of(index)
        if table.Type() != tflite.TensorType.INT8 or any(d != 1 for d in shape):
            name = TYPE_NAMES.get(table.Type(), "unknown")
            raise UnsupportedOpError(
                f"{self.where}: tensor '{label}' is {name} {shape}; one int8 constant is expected"
            )
        value = self.read_array(table.Buffer(), (1,), np.dtype(np.int8), label)
        return int(value[0]), self.read_quant(table, label, shape)

    def require_int8(self, tensor: Tensor, what: str) -> None:
        if tensor.type.dtype is not DType.S8 or tensor.type.quant is None:
            raise UnsupportedOpError(
                f"{self.where}: {what} is {tensor.type.dtype.np.name}"
                f"{'' if tensor.type.quant else ' without a scale'}; int8 activations are supported"
            )
        if len(tensor.type.quant.scales) != 1 or not -128 <= tensor.type.zero_point <= 127:
            raise ModelError(f"{self.where}: {what} has no single scale and int8 zero point")


def describe(type_: TensorType) -> str:
    quant = type_.quant
    scale = f", scale {quant.scales[0]:.6g}, zero point {quant.zero_point}" if quant else ""
    return f"{type_.dtype.np.name} {type_.shape}{scale}"
