# SPDX-License-Identifier: Apache-2.0
"""Random networks of layers that go row by row, with tensors that are read several times."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.making.options import AddOptions, MulOptions, PadOptions, Pool2DOptions
from mcutrain.trainer.making.writer import WriterOp, WriterTensor
from tests.support.model_maker import ACTIVATIONS, ModelMaker


def random_trunk(seed: int) -> bytes:
    """A model of 3 to 8 such operators behind an image, and a layer with 3 outputs."""
    make = ModelMaker(seed)
    shape = (1, make.c.number(1, 14), make.c.number(1, 9), make.c.pick(1, 3, 8))
    tensors = [make.activation("x", shape, make.c.quant())]
    for k in range(make.c.number(3, 8)):
        source = make.c.pick(tensors[-1], tensors[-1], make.c.pick(*tensors))
        grow = make.c.pick(layer, layer, layer, pool, add, function, pad)
        tensors.append(grow(make, source, f"t{k}", tensors))
    last = make.dense_of(tensors[-1], "y", 3)
    assert last.name == "y"
    return make.finish()


def layer(
    make: ModelMaker, x: WriterTensor, name: str, tensors: list[WriterTensor]
) -> WriterTensor:
    return make.layer(make.c.pick("CONV_2D", "DEPTHWISE_CONV_2D"), x, name)


def pool(make: ModelMaker, x: WriterTensor, name: str, tensors: list[WriterTensor]) -> WriterTensor:
    window = make.window(x.shape)
    kind = make.c.pick("AVERAGE_POOL_2D", "MAX_POOL_2D")
    options = Pool2DOptions(
        window["padding"], *window["stride"], *window["kernel"], make.c.pick(*ACTIVATIONS)
    )
    make.ops.append(WriterOp(kind, (x.name,), (name,), options))
    assert x.quant is not None
    return make.activation(name, (1, *make.spatial(x.shape, window), x.shape[3]), x.quant)


def add(make: ModelMaker, x: WriterTensor, name: str, tensors: list[WriterTensor]) -> WriterTensor:
    """Of a tensor and another of its shape, or itself."""
    same = [t for t in tensors if t.shape == x.shape]
    other = make.c.pick(*same)
    kind = make.c.pick("ADD", "ADD", "MUL")
    options = (AddOptions if kind == "ADD" else MulOptions)(make.c.pick(*ACTIVATIONS))
    make.ops.append(WriterOp(kind, (x.name, other.name), (name,), options))
    return make.activation(name, x.shape, make.c.quant())


def function(
    make: ModelMaker, x: WriterTensor, name: str, tensors: list[WriterTensor]
) -> WriterTensor:
    make.ops.append(WriterOp("RELU", (x.name,), (name,), None))
    assert x.quant is not None
    return make.activation(name, x.shape, x.quant)


def pad(make: ModelMaker, x: WriterTensor, name: str, tensors: list[WriterTensor]) -> WriterTensor:
    widths = np.array([[0, 0], *([make.c.number(0, 2), make.c.number(0, 2)] for _ in range(3))])
    widths[3] = make.c.pick((0, 0), (0, 0), widths[3])
    sizes = tuple(int(n + sum(w)) for n, w in zip(x.shape, widths, strict=True))
    make.tensors.append(WriterTensor(f"{name}_w", (4, 2), "int32", None, widths.astype(np.int32)))
    make.ops.append(WriterOp("PAD", (x.name, f"{name}_w"), (name,), PadOptions()))
    assert x.quant is not None
    return make.activation(name, sizes, x.quant)
