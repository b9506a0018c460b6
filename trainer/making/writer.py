# SPDX-License-Identifier: Apache-2.0
"""Writes ``.tflite`` files from plain data, with the schema's own builder functions.

Any builtin operator can be written, with an options class of ``tflite_options``. Same input, same
bytes out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
import tflite

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.int4 import paired

SCHEMA_VERSION = 3
FILE_IDENTIFIER = b"TFL3"
INT4 = "int4"
DATA_ALIGNMENT = 16  # TFLite schema: Buffer.data has force_align: 16


@dataclass(frozen=True)
class WriterTensor:
    """One tensor of the file: constant if it has ``data``, else computed, an input, or a variable.

    ``dtype`` is NumPy's name of it ("int8", "int32", "float32", ...), "int4" for ``data`` of int8
    within -8..7, or "resource".
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "int8"
    quant: QuantParams | None = None
    data: npt.NDArray[Any] | None = None
    is_variable: bool = False


@dataclass(frozen=True)
class WriterOp:
    """One operator: ``kind`` as in the schema ("CONV_2D"), tensors by name, None where absent.

    ``version`` 0 means the one that TFLite asks for in an int8 model.
    """

    kind: str
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    options: Any = None
    version: int = 0


# Versions by which TFLite marks int8 support of each builtin (its op_version.cc).
_INT8_VERSIONS = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "TRANSPOSE_CONV": 3,
    "FULLY_CONNECTED": 4,
    "AVERAGE_POOL_2D": 2,
    "MAX_POOL_2D": 2,
    "ADD": 2,
    "SOFTMAX": 2,
    "PAD": 2,
    "MEAN": 2,
    "LOGISTIC": 2,
    "CONCATENATION": 2,
    "TRANSPOSE": 2,
    "MUL": 2,
    "SVDF": 3,
}


@dataclass(frozen=True)
class WriterGraph:
    """A subgraph without inputs and outputs, such as CALL_ONCE runs."""

    tensors: Sequence[WriterTensor]
    ops: Sequence[WriterOp]


def constant(name: str, data: npt.NDArray[Any], quant: QuantParams | None = None) -> WriterTensor:
    """A tensor that holds ``data``."""
    return WriterTensor(name, data.shape, data.dtype.name, quant, data)


def write_model(
    tensors: Sequence[WriterTensor],
    ops: Sequence[WriterOp],
    inputs: Sequence[str],
    outputs: Sequence[str],
    description: str = "mcutrain",
    others: Sequence[WriterGraph] = (),
) -> bytes:
    """The bytes of a ``.tflite`` file with one subgraph, and ``others`` behind it; operators run in
    the order given."""
    graphs = [WriterGraph(tensors, ops), *others]
    builder = flatbuffers.Builder(1024)
    constants = [tensor for graph in graphs for tensor in graph.tensors if tensor.data is not None]
    # Buffer 0 is empty by convention, and stands for every tensor without data.
    buffers = _vector(builder, [_buffer(builder, None), *(_buffer(builder, t) for t in constants)])
    buffer_of = {id(tensor): i for i, tensor in enumerate(constants, 1)}
    codes = list(dict.fromkeys(_code(op, graph) for graph in graphs for op in graph.ops))
    ends = [(inputs, outputs), *[((), ())] * len(others)]
    subgraphs = [
        _subgraph(builder, graph, *end, buffer_of, codes)
        for graph, end in zip(graphs, ends, strict=True)
    ]
    model = _table(
        builder,
        "Model",
        version=SCHEMA_VERSION,
        description=builder.CreateString(description),
        operator_codes=_vector(builder, [_operator_code(builder, *code) for code in codes]),
        subgraphs=_vector(builder, subgraphs),
        buffers=buffers,
    )
    builder.Finish(model, FILE_IDENTIFIER)
    return bytes(builder.Output())


def _subgraph(
    builder: Any,
    graph: WriterGraph,
    inputs: Sequence[str],
    outputs: Sequence[str],
    buffer_of: dict[int, int],
    codes: list[tuple[str, int]],
) -> int:
    index = _index(graph)
    return _table(
        builder,
        "SubGraph",
        name=builder.CreateString("main"),
        tensors=_vector(
            builder, [_tensor(builder, t, buffer_of.get(id(t), 0)) for t in graph.tensors]
        ),
        inputs=_int32s(builder, [index[name] for name in inputs]),
        outputs=_int32s(builder, [index[name] for name in outputs]),
        operators=_vector(
            builder,
            [_operator(builder, op, index, codes.index(_code(op, graph))) for op in graph.ops],
        ),
    )


def _index(graph: WriterGraph) -> dict[str, int]:
    index = {tensor.name: i for i, tensor in enumerate(graph.tensors)}
    assert len(index) == len(graph.tensors), "tensor names must be unique"
    return index


def _code(op: WriterOp, graph: WriterGraph) -> tuple[str, int]:
    return op.kind, _version(op, graph.tensors, _index(graph))


def _camel(snake: str) -> str:
    """
    >>> _camel("dilation_h_factor")
    'DilationHFactor'
    """
    return "".join(part.capitalize() for part in snake.split("_"))


def _table(builder: Any, table: str, **fields: Any) -> int:
    """Adds ``table`` of the schema; vectors, strings and tables in it must already be there."""
    getattr(tflite, f"{table}Start")(builder)
    for name, value in fields.items():
        getattr(tflite, f"{table}Add{_camel(name)}")(builder, value)
    return int(getattr(tflite, f"{table}End")(builder))


def _vector(builder: Any, offsets: Iterable[int]) -> int:
    return _fill(builder, list(offsets), 4, builder.PrependUOffsetTRelative)


def _int32s(builder: Any, values: Iterable[int]) -> int:
    return _fill(builder, list(values), 4, builder.PrependInt32)


def _fill(builder: Any, values: Sequence[Any], item_bytes: int, add: Callable[[Any], None]) -> int:
    builder.StartVector(item_bytes, len(values), item_bytes)
    for value in reversed(values):
        add(value)
    return int(builder.EndVector())


def _buffer(builder: Any, tensor: WriterTensor | None) -> int:
    if tensor is None:
        return _table(builder, "Buffer")
    assert tensor.data is not None
    assert tensor.data.shape == tensor.shape, f"{tensor.name}: data of another shape"
    if tensor.dtype == INT4:
        raw = paired(tensor.data.reshape(-1)).tobytes()
    else:
        raw = tensor.data.astype(np.dtype(tensor.dtype).newbyteorder("<")).tobytes()
    return _table(builder, "Buffer", data=_aligned_bytes(builder, raw))


def _aligned_bytes(builder: Any, data: bytes) -> int:
    """A vector of bytes at DATA_ALIGNMENT, which CreateByteVector does not offer."""
    builder.StartVector(1, len(data), DATA_ALIGNMENT)
    builder.head -= len(data)
    builder.Bytes[builder.head : builder.head + len(data)] = data
    return int(builder.EndVector())


def _tensor(builder: Any, tensor: WriterTensor, buffer: int) -> int:
    fields: dict[str, Any] = {
        "name": builder.CreateString(tensor.name),
        "shape": _int32s(builder, tensor.shape),
        "type": getattr(tflite.TensorType, tensor.dtype.upper()),
        "buffer": buffer,
    }
    if tensor.quant is not None:
        fields["quantization"] = _quantization(builder, tensor.quant)
    if tensor.is_variable:
        fields["is_variable"] = True
    return _table(builder, "Tensor", **fields)


def _quantization(builder: Any, quant: QuantParams) -> int:
    zero_points = [quant.zero_point] * len(quant.scales)
    scale = _fill(builder, quant.scales, 4, builder.PrependFloat32)
    zero_point = _fill(builder, zero_points, 8, builder.PrependInt64)
    return _table(
        builder,
        "QuantizationParameters",
        scale=scale,
        zero_point=zero_point,
        quantized_dimension=quant.axis or 0,
    )


def _version(op: WriterOp, tensors: Sequence[WriterTensor], index: dict[str, int]) -> int:
    if op.version:
        return op.version
    if op.kind == "FULLY_CONNECTED":
        weight = tensors[index[op.inputs[1] or ""]]
        if weight.quant is not None and weight.quant.axis is not None:
            return 12
        if len(op.inputs) < 3 or op.inputs[2] is None:
            return 6
        if getattr(op.options, "keep_num_dims", False):
            return 5
    return _INT8_VERSIONS.get(op.kind, 1)


def _operator_code(builder: Any, kind: str, version: int) -> int:
    code = getattr(tflite.BuiltinOperator, kind)
    # Readers older than TFLite 2.4 know only the int8 field, which stops at 127.
    return _table(
        builder,
        "OperatorCode",
        deprecated_builtin_code=min(code, 127),
        version=version,
        builtin_code=code,
    )


def _operator(builder: Any, op: WriterOp, index: dict[str, int], opcode_index: int) -> int:
    fields: dict[str, Any] = {
        "opcode_index": opcode_index,
        "inputs": _int32s(builder, [-1 if n is None else index[n] for n in op.inputs]),
        "outputs": _int32s(builder, [index[n] for n in op.outputs]),
    }
    if op.options is not None:
        table = type(op.options).__name__
        fields["builtin_options_type"] = getattr(tflite.BuiltinOptions, table)
        fields["builtin_options"] = _options(builder, table, op.options)
    return _table(builder, "Operator", **fields)


def _options(builder: Any, table: str, options: Any) -> int:
    values = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    vectors = {n: _int32s(builder, v) for n, v in values.items() if isinstance(v, tuple)}
    strings = {n: builder.CreateString(v) for n, v in values.items() if isinstance(v, str)}
    return _table(builder, table, **{**values, **vectors, **strings})
