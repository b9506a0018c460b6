# SPDX-License-Identifier: Apache-2.0
"""Reads an int8 .tflite into a forward Model. Files are hostile: everything is checked here."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tflite

from trainer.errors import ModelError, UnsupportedOpError
from trainer.graph import Graph
from trainer.model import Model, trim
from trainer.ops.base import Op
from trainer.ops.softmax import Softmax
from trainer.tensor import Array, DType, QuantParams, Role, Tensor, TensorType

MAX_FILE_BYTES = 256 << 20
MAX_ELEMENTS = 1 << 26
MIN_SCALE = 2.0**-100  # quotients of scales stay far inside float32
DTYPES = {
    tflite.TensorType.INT8: DType.S8,
    tflite.TensorType.INT16: DType.S16,
    tflite.TensorType.INT32: DType.S32,
    tflite.TensorType.UINT8: DType.U8,
}
TYPE_NAMES = {v: k for k, v in vars(tflite.TensorType).items() if isinstance(v, int)}
OP_NAMES = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
OPTION_NAMES = {v: k for k, v in vars(tflite.BuiltinOptions).items() if isinstance(v, int)}
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
        return _Reader(data, identifier(name), where).model()
    except READER_ERRORS as err:
        raise ModelError(f"{where} is damaged or truncated: {err}") from err


def output_tensors(path: Path) -> list[int]:
    """The index of the tensor that each operator of the file writes."""
    subgraph = tflite.Model.GetRootAsModel(path.read_bytes(), 0).Subgraphs(0)
    return [subgraph.Operators(k).Outputs(0) for k in range(subgraph.OperatorsLength())]


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


class _Reader:
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

    def model(self) -> Model:
        g = self.subgraph
        if g.InputsLength() != 1 or g.OutputsLength() != 1:
            raise ModelError(
                f"{self.where} has {g.InputsLength()} inputs and {g.OutputsLength()} outputs; "
                "models with one of each are supported"
            )
        source = self.read_tensor(g.Inputs(0), "input", Role.INPUT)
        self.require_int8(source, "input")
        if source.type.shape[0] != 1:
            raise ModelError(f"{self.where}: the input's batch is {source.type.shape[0]}; use 1")
        for index in range(g.OperatorsLength()):
            self.add_operator(index)
        output = self.tensors.get(g.Outputs(0))
        if output is None or not self.graph.nodes:
            raise ModelError(f"{self.where}: no operator writes the output")
        last = self.graph.producer(output)
        logits = last.inputs[0] if last and isinstance(last.op, Softmax) else output
        model = Model(self.name, self.graph, source, logits, output)
        if not trim(model).weighted:
            raise ModelError(f"{self.where} has no layer with weights: nothing can learn")
        return model

    def add_operator(self, index: int) -> None:
        operator = self.subgraph.Operators(index)
        if operator.OpcodeIndex() >= self.file.OperatorCodesLength():
            raise ModelError(f"{self.where}: operator {index} has no operator code")
        code = self.file.OperatorCodes(operator.OpcodeIndex())
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        kind = OP_NAMES.get(builtin, f"builtin {builtin}")
        if operator.OutputsLength() != 1:
            raise ModelError(f"{self.where}: operator {index} ({kind}) has not one output")
        out_index = operator.Outputs(0)
        site = f"operator {index} ({kind}, output '{self.label(out_index)}')"
        known = importers()
        if kind not in known:
            raise UnsupportedOpError(
                f"{self.where}: {site} is not supported; supported are {', '.join(sorted(known))}"
            )
        if out_index in self.tensors:
            raise ModelError(f"{self.where}: {site} writes a tensor that is already there")
        name = f"{kind.lower()}_{index}"
        declared = self.read_tensor(out_index, name, Role.ACTIVATION)
        self.require_int8(declared, site)
        source = OperatorSource(self, operator, site, name, declared)
        op, inputs = known[kind].from_tflite(source)
        try:
            (out,) = self.graph.add(op, *inputs, name=name, index=index)
        except ModelError as err:
            raise ModelError(f"{self.where}: {err}") from err
        if out.type.shape != declared.type.shape or out.type.quant != declared.type.quant:
            raise ModelError(
                f"{self.where}: {site} is declared as {describe(declared.type)}, "
                f"but computes {describe(out.type)}"
            )
        out.label = declared.label
        self.tensors[out_index] = out

    def label(self, index: int) -> str:
        if not 0 <= index < self.subgraph.TensorsLength():
            raise ModelError(f"{self.where}: there is no tensor {index}")
        name = self.subgraph.Tensors(index).Name()
        return name.decode("utf-8", "replace") if name else f"tensor {index}"

    def read_tensor(self, index: int, name: str, role: Role) -> Tensor:
        """The declared tensor ``index``: type, role and data checked against its buffer."""
        label = self.label(index)
        table = self.subgraph.Tensors(index)
        shape = tuple(int(table.Shape(k)) for k in range(table.ShapeLength()))
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
        if role is Role.INPUT:
            tensor.name = "input"
            self.tensors[index] = tensor
        return tensor

    def read_quant(self, table: Any, label: str, shape: tuple[int, ...]) -> QuantParams | None:
        quant = table.Quantization()
        if quant is None or quant.ScaleLength() == 0:
            return None
        scales = tuple(float(quant.Scale(k)) for k in range(quant.ScaleLength()))
        zeros = {int(quant.ZeroPoint(k)) for k in range(quant.ZeroPointLength())} or {0}
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

    def read_buffer(self, index: int, type_: TensorType, label: str) -> Array:
        if index >= self.file.BuffersLength():
            raise ModelError(f"{self.where}: tensor '{label}' has no buffer")
        data = self.file.Buffers(index).DataAsNumpy()
        raw = b"" if isinstance(data, int) else data.tobytes()
        if len(raw) != type_.nbytes:
            raise ModelError(
                f"{self.where}: tensor '{label}' needs {type_.nbytes} bytes of data, "
                f"its buffer has {len(raw)}"
            )
        return (
            np.frombuffer(raw, type_.dtype.np.newbyteorder("<"))
            .reshape(type_.shape)
            .astype(type_.dtype.np)
        )

    def require_int8(self, tensor: Tensor, what: str) -> None:
        if tensor.type.dtype is not DType.S8 or tensor.type.quant is None:
            raise UnsupportedOpError(
                f"{self.where}: {what} is {tensor.type.dtype.np.name}"
                f"{'' if tensor.type.quant else ' without a scale'}; int8 activations are supported"
            )
        if len(tensor.type.quant.scales) != 1 or not -128 <= tensor.type.zero_point <= 127:
            raise ModelError(f"{self.where}: {what} has no single scale and int8 zero point")


@dataclass(frozen=True)
class OperatorSource:
    """One operator of the file, as an Op's ``from_tflite`` rule reads it.

    ``out`` is the output as declared; ``str(source)`` says where the operator stands.
    """

    reader: _Reader
    operator: Any
    site: str
    name: str
    out: Tensor

    def __str__(self) -> str:
        return f"{self.reader.where}: {self.site}"

    @property
    def is_last(self) -> bool:
        """Whether its output is the model's."""
        return bool(self.operator.Outputs(0) == self.reader.subgraph.Outputs(0))

    def option(self, name: str) -> Any:
        """A field of the operator's options, by the schema's accessor name."""
        table = self.operator.BuiltinOptions()
        kind = OPTION_NAMES.get(self.operator.BuiltinOptionsType(), "")
        if table is None or not hasattr(getattr(tflite, kind, None), name):
            raise ModelError(f"{self} has no option {name}")
        options = getattr(tflite, kind)()
        options.Init(table.Bytes, table.Pos)
        return getattr(options, name)()

    def activation(self, position: int) -> Tensor:
        """Input ``position``, which an earlier operator must have written."""
        index = self.operator.Inputs(position) if position < self.operator.InputsLength() else -1
        if index not in self.reader.tensors:
            raise UnsupportedOpError(
                f"{self}: input {position} is not an activation written before it"
            )
        return self.reader.tensors[index]

    def weights(self) -> Tensor:
        """Input 1: symmetric int8 weights."""
        w = self.reader.read_tensor(self.operator.Inputs(1), f"{self.name}_w", Role.CONST)
        if w.type.dtype is not DType.S8 or w.type.quant is None or w.type.zero_point != 0:
            raise UnsupportedOpError(f"{self}: the weights '{w.label}' are not symmetric int8")
        return w

    def bias(self, out_ch: int) -> tuple[Tensor, ...]:
        """Input 2: (the int32 bias,), or () where there is none."""
        if self.operator.InputsLength() < 3 or self.operator.Inputs(2) == -1:
            return ()
        b = self.reader.read_tensor(self.operator.Inputs(2), f"{self.name}_b", Role.CONST)
        if b.type.dtype is not DType.S32 or b.type.size != out_ch:
            raise UnsupportedOpError(
                f"{self}: the bias '{b.label}' is not int32 of {out_ch} channels"
            )
        return (b,)

    def limits(self) -> tuple[int, int]:
        """Output limits of the fused activation (TFLite CalculateActivationRangeQuantized)."""
        code, kinds = self.option("FusedActivationFunction"), tflite.ActivationFunctionType
        low, high = -128, 127
        if code in (kinds.RELU, kinds.RELU6):
            low = max(low, self._quantised(0.0))
        elif code != kinds.NONE:
            raise UnsupportedOpError(
                f"{self} has the fused activation {code}; NONE, RELU and RELU6 are supported"
            )
        if code == kinds.RELU6:
            high = min(high, self._quantised(6.0))
        return low, high

    def is_same_padding(self) -> bool:
        padding = self.option("Padding")
        if padding not in (tflite.Padding.SAME, tflite.Padding.VALID):
            raise ModelError(f"{self} has the unknown padding {padding}")
        return bool(padding == tflite.Padding.SAME)

    def _quantised(self, real: float) -> int:
        """In float32 and half away from zero, as tflite-micro rounds."""
        assert self.out.type.quant is not None
        scaled = float(np.float32(real) / np.float32(self.out.type.quant.scale))
        return self.out.type.zero_point + math.floor(scaled + 0.5)


def describe(type_: TensorType) -> str:
    quant = type_.quant
    scale = f", scale {quant.scales[0]:.6g}, zero point {quant.zero_point}" if quant else ""
    return f"{type_.dtype.np.name} {type_.shape}{scale}"
