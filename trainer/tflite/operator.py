# SPDX-License-Identifier: Apache-2.0
"""One operator of a model file, as the ``from_tflite`` rules read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import tflite

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, Role, Tensor
from mcutrain.trainer.model import State
from mcutrain.trainer.tflite.signed import centred
from mcutrain.trainer.tflite.tensors import FileTensors
from mcutrain.trainer.tflite.unread import INTERMEDIATES, unread

OPTION_NAMES = {v: k for k, v in vars(tflite.BuiltinOptions).items() if isinstance(v, int)}
ACTIVATION_NAMES = {
    v: k for k, v in vars(tflite.ActivationFunctionType).items() if isinstance(v, int)
}

# Fused activations: the least and the greatest real output.
ENDS: dict[int, tuple[float | None, float | None]] = {
    tflite.ActivationFunctionType.NONE: (None, None),
    tflite.ActivationFunctionType.RELU: (0.0, None),
    tflite.ActivationFunctionType.RELU_N1_TO_1: (-1.0, 1.0),
    tflite.ActivationFunctionType.RELU6: (0.0, 6.0),
}

# Options that are not named after their operator.
SHARED_OPTIONS = {
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "SUM": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "SVDF": "SVDFOptions",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTMOptions",
}


def options_of(kind: str) -> str:
    """The schema's name of an operator's options.

    >>> options_of("DEPTHWISE_CONV_2D"), options_of("MEAN")
    ('DepthwiseConv2DOptions', 'ReducerOptions')
    """
    return SHARED_OPTIONS.get(kind, kind.title().replace("_", "") + "Options")


@dataclass(frozen=True)
class FileOperator:
    """One operator of the file: the ``OperatorSource`` of its Op's ``from_tflite`` rule."""

    reader: FileTensors
    operator: Any
    kind: str
    site: str
    index: int
    is_last: bool  # whether its output is the model's, or is converted to it
    graph: Graph  # what ``add`` appends to
    asked: set[str | int] = field(default_factory=set)  # options by name, inputs by position
    added: list[Tensor] = field(default_factory=list)
    beyond: list[Array] = field(default_factory=list)  # what weights of uint8 lack as int8

    @property
    def name(self) -> str:
        """The start of the names of its tensors."""
        return f"{self.kind.lower()}_{self.index}"

    @cached_property
    def outs(self) -> tuple[Tensor, ...]:
        """All outputs as declared."""
        indices = map(self.operator.Outputs, range(self.operator.OutputsLength()))
        return tuple(self.reader.read_tensor(k, self.name, Role.ACTIVATION) for k in indices)

    @property
    def out(self) -> Tensor:
        """The one output as declared. Raises ModelError."""
        if len(self.outs) != 1:
            raise ModelError(f"{self} has not one output, but {len(self.outs)}")
        return self.outs[0]

    def add(self, op: Op, *inputs: Tensor) -> Tensor:
        """Append a node and return its output. The first has the operator's name."""
        name = f"{self.name}_{len(self.added)}" if self.added else self.name
        try:
            out, *kept = self.graph.add(op, *inputs, name=name, index=self.index)
        except ModelError as err:
            remedy = "quantise the model again, with samples like those that it will meet"
            raise ModelError(f"{self.reader.where}: {err}", remedy) from err
        out.label = name
        states = (State(inputs[k], new) for k, new in zip(op.keeps, kept, strict=True))
        self.reader.states += states
        self.added.append(out)
        return out

    @property
    def inputs(self) -> int:
        """How many inputs the operator has."""
        return int(self.operator.InputsLength())

    def __str__(self) -> str:
        return f"{self.reader.where}: {self.site}"

    def option(self, name: str) -> Any:
        """A field of the operator's options, by the schema's accessor name."""
        table = self.operator.BuiltinOptions()
        kind = OPTION_NAMES.get(self.operator.BuiltinOptionsType(), "")
        if table is None or not hasattr(getattr(tflite, kind, None), name):
            raise ModelError(f"{self} has no option {name}")
        if kind != options_of(self.kind):
            raise ModelError(f"{self} has {kind}, which are another operator's")
        self.asked.add(name)
        options = getattr(tflite, kind)()
        options.Init(table.Bytes, table.Pos)
        return getattr(options, name)()

    def activation(self, position: int) -> Tensor:
        """Input ``position``, which an earlier operator must have written."""
        index = self.input_index(position)
        if index not in self.reader.tensors:
            raise UnsupportedOpError(
                f"{self}: input {position} is not an activation written before it"
            )
        return self.reader.tensors[index]

    def shape(self, position: int) -> tuple[int, ...]:
        """The shape of input ``position``, as declared."""
        return self.reader.shape_of(self.input_index(position))

    def is_activation(self, position: int) -> bool:
        """Whether input ``position`` is an activation, and no constant."""
        return self.input_index(position) in self.reader.tensors

    def has_input(self, position: int) -> bool:
        """Whether input ``position`` is there."""
        return self.input_index(position) >= 0

    def input_index(self, position: int) -> int:
        """The file's index of the tensor at input ``position``; -1 if there is none."""
        self.asked.add(position)
        return int(self.operator.Inputs(position)) if position < self.inputs else -1

    def operand(self, position: int) -> Tensor:
        """Input ``position``: an activation, or an int8 constant with one scale."""
        index = self.input_index(position)
        if index in self.reader.tensors or index < 0:
            return self.activation(position)
        name = f"{self.name}_in{position}"
        tensor = self.reader.read_tensor(index, name, Role.CONST)
        self.reader.require_int8(tensor, f"{self.site}, input {position}")
        return tensor

    def int8_scalar(self, position: int) -> tuple[int, QuantParams | None]:
        """Input ``position``: a constant int8 of one element, and its quantisation."""
        index = self.input_index(position)
        if index < 0:
            raise ModelError(f"{self}: input {position} is missing")
        return self.reader.read_int8_scalar(index)

    def integers(self, position: int) -> Array:
        """Input ``position``: constant integers, as int64; a scalar has no dimensions."""
        index = self.input_index(position)
        if index < 0:
            raise ModelError(f"{self}: input {position} is missing")
        return self.reader.read_integers(index)

    def weights(
        self,
        position: int = 1,
        dtypes: tuple[DType, ...] = (DType.S8,),
        *,
        may_be_int4: bool = False,
    ) -> Tensor:
        """Input ``position``: symmetric weights of one of ``dtypes``; those that may be INT4, and
        are, are int8 within -8..7."""
        name = f"{self.name}_w" if position == 1 else f"{self.name}_w{position}"
        index = self.input_index(position)
        if index < 0:
            raise ModelError(f"{self} has no weights at input {position}")
        reads_int4 = may_be_int4 and not self.reader.is_unsigned
        w = self.reader.read_tensor(index, name, Role.CONST, may_be_int4=reads_int4)
        if self.reader.is_unsigned and w.type.dtype is DType.S8 and w.type.quant is not None:
            w, rest = centred(self, self.activation(0), w)
            self.beyond.append(rest)
        if w.type.dtype not in dtypes or w.type.quant is None or w.type.zero_point != 0:
            wanted = " or ".join(dtype.np.name for dtype in dtypes)
            raise UnsupportedOpError(f"{self}: the weights '{w.label}' are not symmetric {wanted}")
        return w

    def bias(self, out_ch: int, position: int = 2) -> tuple[Tensor, ...]:
        """Input ``position``: (the int32 bias,), or () where there is none."""
        index = self.input_index(position)
        if index == -1:
            return ()
        name = f"{self.name}_b" if position == 2 else f"{self.name}_b{position}"
        b = self.reader.read_tensor(index, name, Role.CONST)
        if b.type.dtype is not DType.S32 or b.type.size != out_ch:
            raise UnsupportedOpError(
                f"{self}: the bias '{b.label}' is not int32 of {out_ch} channels"
            )
        return (b,)

    def state(self, position: int, dtype: DType) -> Tensor:
        """Input ``position``: a variable that only this operator has, with its initial value."""
        index = self.input_index(position)
        if index < 0:
            raise ModelError(f"{self} has no state at input {position}")
        return self.reader.read_variable(index, f"{self.name}_state{position}", dtype, self.site)

    def pass_over_intermediates(self) -> None:
        """Leave out what the operator says of the values inside it."""
        self.asked.add(INTERMEDIATES)

    def limits(self) -> tuple[int, int]:
        """Output limits of the fused activation (TFLite CalculateActivationRangeQuantized)."""
        code = self.option("FusedActivationFunction")
        quant, low, high = self.out.type.quant, -128, 127
        assert quant is not None
        if code not in ENDS:
            raise UnsupportedOpError(
                f"{self} has the fused activation {ACTIVATION_NAMES.get(code, code)}; NONE, RELU, "
                "RELU_N1_TO_1 and RELU6 are supported",
                "let the activation be one of them, or an operator of its own",
            )
        least, greatest = ENDS[code]
        if least is not None:
            low = max(low, quant.nearest(least))
        if greatest is not None:
            high = min(high, quant.nearest(greatest))
        return low, high

    def is_same_padding(self) -> bool:
        padding = self.option("Padding")
        if padding not in (tflite.Padding.SAME, tflite.Padding.VALID):
            raise ModelError(f"{self} has the unknown padding {padding}")
        return bool(padding == tflite.Padding.SAME)

    def require_all_read(self) -> None:
        """Raises UnsupportedOpError for what the operator says and nobody asked for."""
        options = {name for name in self.asked if isinstance(name, str)}
        for what in unread(self.operator, options_of(self.kind), options):
            raise UnsupportedOpError(f"{self} {what}", "convert the model without it")
        for position in range(self.inputs):
            if position not in self.asked and self.operator.Inputs(position) != -1:
                raise UnsupportedOpError(f"{self} has an input {position}, which is not known")
