# SPDX-License-Identifier: Apache-2.0
"""Random models around layers with state, and around variables that a model reads and assigns."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import (
    Activation,
    FullyConnectedOptions,
    ReshapeOptions,
    SVDFOptions,
    UnidirectionalSequenceLSTMOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor
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


RECURRENT = {"UNIDIRECTIONAL_SEQUENCE_LSTM": (lstm, 40), "SVDF": (svdf, 60)}
