# SPDX-License-Identifier: Apache-2.0
"""The tensors of a model file, as its operators read them: types and data are checked here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tflite

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Role, Tensor, TensorType
from mcutrain.trainer.int4 import unpaired
from mcutrain.trainer.model import State
from mcutrain.trainer.tflite.bounds import MAX_ELEMENTS, MAX_RANK
from mcutrain.trainer.tflite.buffers import contents, has_contents
from mcutrain.trainer.tflite.remedies import STATE
from mcutrain.trainer.tflite.signed import signed
from mcutrain.trainer.tflite.unread import is_in_another_file, newer_fields

MAX_INTEGERS = 1 << 12  # elements of a shape, of axes or the like
MAX_NAME = 1 << 10  # bytes; converters join the names of what they fuse
BLOCKWISE = 2  # of the schema's QuantizationDetails
MIN_SCALE = 2.0**-100  # quotients of scales stay far inside float32
DTYPES = {
    tflite.TensorType.INT8: DType.S8,
    tflite.TensorType.INT16: DType.S16,
    tflite.TensorType.INT32: DType.S32,
    tflite.TensorType.UINT8: DType.U8,
}
BYTE = np.dtype(np.uint8)
INTEGERS = {tflite.TensorType.INT32: np.int32, tflite.TensorType.INT64: np.int64}
TYPE_NAMES = {v: k for k, v in vars(tflite.TensorType).items() if isinstance(v, int)}
OLDER = "convert it with a TFLite converter of the schema that is known here, or an older one"
FULL_INTEGER = "convert the model with full-integer quantisation, to int8"
INT16 = (
    "convert it to int8, or train the int8 tail behind a tensor (--from TENSOR); docs/int16.md "
    "says what int16 would take"
)


class FileTensors:
    """What the subgraph of a file declares. ``tensors`` are the activations that were read so far,
    ``folded`` the integers that were computed, ``writers`` has the operator that writes each,
    ``variables`` the operator that each variable is the state of, ``states`` all that is kept.
    ``is_unsigned``: what is uint8 is read as int8 (trainer.tflite.unsigned)."""

    def __init__(self, file: Any, subgraph: Any, where: str) -> None:
        self.file, self.subgraph, self.where = file, subgraph, where
        self.tensors: dict[int, Tensor] = {}
        self.folded: dict[int, Array] = {}
        self.writers: dict[int, int] = {}
        self.variables: dict[int, str] = {}
        self.states: list[State] = []
        self.is_unsigned = False

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

    def type_of(self, index: int) -> int:
        self.label(index)  # checks the index
        return int(self.subgraph.Tensors(index).Type())

    def open_axes(self, index: int) -> list[int]:
        """The axes whose size the file leaves open."""
        table = self.subgraph.Tensors(index)
        count = min(table.ShapeSignatureLength(), MAX_RANK)
        return [k for k in range(count) if table.ShapeSignature(k) < 0]

    def shape_of(self, index: int) -> tuple[int, ...]:
        label, table = self.label(index), self.subgraph.Tensors(index)
        if table.ShapeLength() > MAX_RANK:
            raise ModelError(
                f"{self.where}: tensor '{label}' has {table.ShapeLength()} dimensions; "
                f"{MAX_RANK} are supported"
            )
        return tuple(int(table.Shape(k)) for k in range(table.ShapeLength()))

    def read_tensor(
        self, index: int, name: str, role: Role, *, may_be_int4: bool = False
    ) -> Tensor:
        """The declared tensor ``index``: type, role and data checked against its buffer.

        A constant of INT4, where it may be one, is int8 here, within its range."""
        label = self.label(index)
        table = self.subgraph.Tensors(index)
        shape = self.shape_of(index)
        if role is Role.CONST:
            shape = shape or (1,)  # a scalar
        if not shape or min(shape) < 1 or math.prod(shape) > MAX_ELEMENTS:
            raise ModelError(f"{self.where}: tensor '{label}' has the shape {shape}")
        is_int4 = table.Type() == tflite.TensorType.INT4 and may_be_int4 and role is Role.CONST
        if table.Type() not in DTYPES and not is_int4:
            raise UnsupportedOpError(
                f"{self.where}: tensor '{label}' is {TYPE_NAMES.get(table.Type(), 'unknown')}; "
                "an int8 model is needed",
                FULL_INTEGER,
            )
        self.require_plain(table, label)
        if role is Role.CONST:
            self.require_constant(index)
        dtype = DType.S8 if is_int4 else DTYPES[table.Type()]
        type_ = TensorType(shape, dtype, self.read_quant(table, label, shape))
        data = None
        if is_int4:
            both = self.read_array(table.Buffer(), (-(-type_.size // 2),), BYTE, label)
            data = unpaired(both, type_.size).reshape(shape)
        elif role is Role.CONST:
            data = self.read_buffer(table.Buffer(), type_, label)
        if self.is_unsigned and type_.dtype is DType.U8:
            type_, data = signed(type_, data)
        tensor = Tensor(name, type_, role, data, label, file_index=index)
        if role is not Role.CONST and self.has_data(table.Buffer()):
            raise ModelError(f"{self.where}: tensor '{label}' is computed, yet it has data")
        if role is Role.INPUT:
            tensor.name = "input"
            self.tensors[index] = tensor
        return tensor

    def read_variable(self, index: int, name: str, dtype: DType, site: str) -> Tensor:
        """The variable ``index`` as the state of the operator at ``site``, with its initial value:
        0 in reals, as tflite-micro sets it. Raises ModelError."""
        label, table, shape = self.label(index), self.subgraph.Tensors(index), self.shape_of(index)
        if not table.IsVariable() or self.has_data(table.Buffer()) or index in self.writers:
            raise ModelError(
                f"{self.where}: '{label}' is the state of {site}, yet no variable without a value"
            )
        if self.variables.setdefault(index, site) != site:
            raise ModelError(
                f"{self.where}: '{label}' is the state of {self.variables[index]} and of {site}"
            )
        self.require_plain(table, label, is_variable=True)
        quant = self.read_quant(table, label, shape)
        is_whole = quant is not None and len(quant.scales) == 1
        if DTYPES.get(table.Type()) is not dtype or quant is None or not is_whole:
            raise UnsupportedOpError(
                f"{self.where}: the state '{label}' of {site} is no {dtype.np.name} of one scale",
                FULL_INTEGER,
            )
        if not shape or min(shape) < 1 or math.prod(shape) > MAX_ELEMENTS:
            raise ModelError(f"{self.where}: tensor '{label}' has the shape {shape}")
        reach = 128 if dtype is DType.S8 else 0
        if not -reach <= quant.zero_point <= max(0, reach - 1):
            raise ModelError(f"{self.where}: the state '{label}' has no {dtype.np.name} zero point")
        data = np.full(shape, quant.zero_point, dtype.np)
        return Tensor(name, TensorType(shape, dtype, quant), Role.CONST, data, label)

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

    def require_plain(self, table: Any, label: str, is_variable: bool = False) -> None:
        """Raises UnsupportedOpError for what a tensor may declare beside its type and its data."""
        quant = table.Quantization()
        for is_there, what, remedy in (
            (table.Sparsity(), "is sparse", "convert the model without sparse tensors"),
            (
                table.IsVariable() and not is_variable,
                "is a variable, which keeps its value between inferences",
                STATE,
            ),
            (table.VariantTensorsLength(), "is of a variant type", FULL_INTEGER),
            (
                is_in_another_file(table),
                "has its data in another file, an external buffer",
                "convert the model to one file",
            ),
            (
                quant is not None and quant.DetailsType() == BLOCKWISE,
                "is quantised by blocks",
                "quantise it with a scale for the tensor, or for each channel",
            ),
            (
                quant is not None and quant.DetailsType(),
                "has a custom quantisation",
                "quantise it with scales and zero points",
            ),
            (newer_fields(table, "Tensor"), "has fields of a newer TFLite schema", OLDER),
        ):
            if is_there:
                raise UnsupportedOpError(f"{self.where}: tensor '{label}' {what}", remedy)

    def require_constant(self, index: int) -> None:
        """Raises UnsupportedOpError for a tensor that is computed, where the file must hold it."""
        if (writer := self.writers.get(index)) is not None:
            raise UnsupportedOpError(
                f"{self.where}: tensor '{self.label(index)}' is computed, by operator {writer}, "
                "where a constant is needed",
                "let the file hold its value: what is computed has no weights that could learn",
            )

    def has_data(self, buffer: int) -> bool:
        return has_contents(self.file, buffer)

    def read_buffer(self, index: int, type_: TensorType, label: str) -> Array:
        return self.read_array(index, type_.shape, type_.dtype.np, label)

    def read_array(
        self, index: int, shape: tuple[int, ...], dtype: np.dtype[Any], label: str
    ) -> Array:
        raw = contents(self.file, index, f"{self.where}: tensor '{label}'")
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
        self.require_constant(index)
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
        self.require_constant(index)
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
                f"{'' if tensor.type.quant else ' without a scale'}; "
                "int8 activations are supported",
                INT16 if tensor.type.dtype is DType.S16 else FULL_INTEGER,
            )
        if len(tensor.type.quant.scales) != 1 or not -128 <= tensor.type.zero_point <= 127:
            raise ModelError(f"{self.where}: {what} has no single scale and int8 zero point")
