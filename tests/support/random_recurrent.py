# SPDX-License-Identifier: Apache-2.0
"""Random models around layers with state, and around variables that a model reads and assigns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import (
    Activation,
    AssignVariableOptions,
    CallOnceOptions,
    ConcatenationOptions,
    Conv2DOptions,
    FullyConnectedOptions,
    Padding,
    ReadVariableOptions,
    ReshapeOptions,
    StridedSliceOptions,
    SVDFOptions,
    UnidirectionalSequenceLSTMOptions,
    VarHandleOptions,
)
from mcutrain.trainer.making.writer import WriterGraph, WriterOp, WriterTensor
from tests.support.model_maker import ModelMaker


def random_weights(
    make: ModelMaker, name: str, shape: tuple[int, ...], scale: float, dtype: str = "int8"
) -> WriterTensor:
    """Symmetric weights of one scale."""
    info = np.iinfo(dtype)
    data = make.c.rng.randint(info.min, info.max + 1, shape).astype(dtype)
    make.tensors.append(WriterTensor(name, shape, dtype, QuantParams((scale,)), data))
    return make.tensors[-1]


def random_bias(make: ModelMaker, name: str, size: int, scale: float) -> str:
    data = make.c.rng.randint(-(2**12), 2**12, size).astype(np.int32)
    quant = QuantParams((float(np.float32(scale)),))
    make.tensors.append(WriterTensor(name, (size,), "int32", quant, data))
    return name


def variable(
    make: ModelMaker, name: str, shape: tuple[int, ...], dtype: str, quant: QuantParams
) -> str:
    make.tensors.append(WriterTensor(name, shape, dtype, quant, is_variable=True))
    return name


def lstm(make: ModelMaker) -> None:
    """An LSTM and the dense layer that every model must have."""
    steps, depth, cells = make.c.number(1, 6), make.c.number(1, 9), make.c.number(1, 7)
    is_time_major = make.c.pick(False, False, True)
    shape = (steps, 1, depth) if is_time_major else (1, steps, depth)
    # The model's input has a batch of 1; a time axis in front comes of a reshape.
    x = make.activation("x", (1, steps, depth), make.c.quant())
    assert x.quant is not None
    if is_time_major:
        make.tensors.append(WriterTensor("shape", (3,), "int32", None, np.array(shape, np.int32)))
        make.ops.append(WriterOp("RESHAPE", ("x", "shape"), ("turned",), ReshapeOptions(shape)))
        x = make.activation("turned", shape, x.quant)
    names: list[str | None] = [x.name]
    scales = [make.c.scale(0.001, 0.02) for _ in range(8)]
    for k in range(8):
        size = depth if k < 4 else cells
        names.append(random_weights(make, f"w{k}", (cells, size), scales[k]).name)
    assert x.quant is not None
    biases = [random_bias(make, f"b{k}", cells, x.quant.scale * scales[k]) for k in range(4)]
    hidden = QuantParams((make.c.scale(0.004, 0.01),), make.c.number(-9, 9))
    cell = QuantParams((2.0 ** make.c.number(-15, -6),))
    h = variable(make, "h", (1, cells), "int8", hidden)
    c = variable(make, "c", (1, cells), "int16", cell)
    inputs = (*names, *[None] * 3, *biases, None, None, h, c, *[None] * 4)
    clip = make.c.pick(0.0, 10.0, make.c.scale(0.1, 100.0))
    options = UnidirectionalSequenceLSTMOptions(cell_clip=clip, time_major=is_time_major)
    make.ops.append(WriterOp("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, ("y",), options, 3))
    make.activation("y", (*shape[:2], cells), hidden)
    behind(make, steps * cells, hidden)


def behind(make: ModelMaker, size: int, quant: QuantParams) -> None:
    """A dense layer, with which something can learn."""
    options = FullyConnectedOptions()
    weights = random_weights(make, "head_w", (3, size), make.c.scale(0.001, 0.02))
    make.ops.append(WriterOp("FULLY_CONNECTED", ("y", weights.name), ("z",), options))
    make.activation("z", (1, 3), make.c.quant())


def svdf(make: ModelMaker) -> None:
    depth, units, memory = make.c.number(1, 30), make.c.number(1, 6), make.c.number(1, 9)
    rank = make.c.number(1, 3)
    x = make.activation("x", (1, depth), make.c.quant())
    assert x.quant is not None
    wide = make.c.pick(False, False, True)
    dtype = "int16" if wide else "int8"
    random_weights(make, "features", (units * rank, depth), make.c.scale(0.001, 0.02))
    times = random_weights(
        make,
        "times",
        (units * rank, memory),
        make.c.scale(0.001, 0.02) / (256 if wide else 1),
        dtype,
    )
    state = QuantParams(
        (make.c.scale(0.01, 1.0) / (256 if wide else 1),), 0 if wide else make.c.zero_point()
    )
    assert times.quant is not None
    bias_scale = float(np.float32(state.scale) * np.float32(times.quant.scale))
    b = random_bias(make, "bias", units, bias_scale)
    a = variable(make, "state", (1, units * rank * memory), dtype, state)
    out = QuantParams((make.c.scale(0.01, 0.5),), make.c.zero_point())
    options = SVDFOptions(rank, make.c.pick(Activation.RELU, Activation.NONE))
    make.ops.append(WriterOp("SVDF", ("x", "features", "times", b, a), ("y",), options))
    make.activation("y", (1, units), out)
    behind(make, units, out)


def streaming(make: ModelMaker) -> None:
    """A convolution over this input and the last rows of those before it, which a variable keeps,
    and maybe a second one behind it; some have values that run once."""
    depth = make.c.number(1, 4)
    x = make.activation("x", (1, make.c.number(1, 3), 1, depth), make.c.quant())
    for stage in range(make.c.pick(1, 1, 2)):
        x = stream_stage(make, x, stage)
    size = int(np.prod(x.shape))
    assert x.quant is not None
    weights = random_weights(make, "head_w", (3, size), make.c.scale(0.001, 0.02))
    options = FullyConnectedOptions()
    make.ops.append(WriterOp("FULLY_CONNECTED", (x.name, weights.name), ("z",), options))
    make.activation("z", (1, 3), make.c.quant())


def stream_stage(make: ModelMaker, x: WriterTensor, stage: int) -> WriterTensor:
    """READ_VARIABLE, CONCATENATION, STRIDED_SLICE, ASSIGN_VARIABLE, CONV_2D."""
    quant, kept, name = x.quant, make.c.number(1, 5), f"v{stage}"
    assert quant is not None
    rows, depth = x.shape[1], x.shape[3]
    shape, joined = (1, kept, 1, depth), (1, kept + rows, 1, depth)
    add_handle(make.tensors, make.ops, name)
    if make.c.pick(True, True, False):
        run_once(make, name, WriterTensor(
            "first", shape, "int8", quant, make.c.rng.randint(-128, 128, shape).astype(np.int8)
        ))  # fmt: skip
    make.ops.append(WriterOp("READ_VARIABLE", (name,), (f"{name}_old",), ReadVariableOptions()))
    make.activation(f"{name}_old", shape, quant)
    inputs = (f"{name}_old", x.name)
    make.ops.append(WriterOp("CONCATENATION", inputs, (f"{name}_all",), ConcatenationOptions(1)))
    make.activation(f"{name}_all", joined, quant)
    ends = {"begin": (0, rows, 0, 0), "end": joined, "step": (1, 1, 1, 1)}
    for end, values in ends.items():
        data = np.array(values, np.int32)
        make.tensors.append(WriterTensor(f"{name}_{end}", (4,), "int32", None, data))
    inputs = (f"{name}_all", *(f"{name}_{end}" for end in ends))
    make.ops.append(WriterOp("STRIDED_SLICE", inputs, (f"{name}_new",), StridedSliceOptions()))
    make.activation(f"{name}_new", shape, quant)
    assign = WriterOp("ASSIGN_VARIABLE", (name, f"{name}_new"), (), AssignVariableOptions())
    make.ops.append(assign)
    weights = random_weights(make, f"{name}_w", (3, joined[1], 1, depth), 0.01)
    inputs = (f"{name}_all", weights.name, None)
    options = Conv2DOptions(padding=Padding.VALID)
    make.ops.append(WriterOp("CONV_2D", inputs, (f"{name}_out",), options))
    return make.activation(f"{name}_out", (1, 1, 1, 3), make.c.quant())


def add_handle(tensors: list[WriterTensor], ops: list[WriterOp], name: str) -> None:
    tensors.append(WriterTensor(name, (), "resource"))
    ops.append(WriterOp("VAR_HANDLE", (), (name,), VarHandleOptions(shared_name=name)))


def run_once(make: ModelMaker, name: str, first: WriterTensor) -> None:
    """CALL_ONCE of a subgraph that assigns a constant."""
    tensors, ops = [first], list[WriterOp]()
    add_handle(tensors, ops, name)
    ops.append(WriterOp("ASSIGN_VARIABLE", (name, first.name), (), AssignVariableOptions()))
    make.others.append(WriterGraph(tensors, ops))
    make.ops.append(WriterOp("CALL_ONCE", (), (), CallOnceOptions(len(make.others))))


def two_layers_around_svdf() -> bytes:
    """FULLY_CONNECTED, SVDF, FULLY_CONNECTED."""
    make = ModelMaker(4)
    svdf(make)
    x = make.tensors[0]
    assert x.quant is not None
    weights = random_weights(make, "first_w", (x.shape[1], x.shape[1]), 0.01)
    inputs = (x.name, weights.name)
    make.ops.insert(0, WriterOp("FULLY_CONNECTED", inputs, ("first",), FullyConnectedOptions()))
    make.activation("first", x.shape, x.quant)
    make.ops[1] = replace(make.ops[1], inputs=("first", *make.ops[1].inputs[1:]))
    return make.finish()


RECURRENT = {
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (lstm, 25),
    "SVDF": (svdf, 30),
    "READ_VARIABLE": (streaming, 20),
}
