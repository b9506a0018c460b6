# SPDX-License-Identifier: Apache-2.0
"""Single-operator ``.tflite`` models with random options, sizes, scales and zero points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mcutrain.trainer.graph.tensor import Array, QuantParams
from mcutrain.trainer.making.options import ReshapeOptions, SoftmaxOptions
from mcutrain.trainer.making.writer import WriterOp, WriterTensor
from tests.support.model_maker import ModelMaker
from tests.support.random_elementwise import ELEMENTWISE
from tests.support.random_moves import MOVES
from tests.support.random_structural import STRUCTURAL

Maker = Callable[[ModelMaker], None]


def image(make: ModelMaker) -> WriterTensor:
    return make.activation("x", make.image(), make.c.quant())


def fully_connected(make: ModelMaker) -> None:
    shape = make.c.pick((1, make.c.number(1, 70)), make.image())
    make.dense(make.activation("x", shape, make.c.quant()), "y")


def conv2d(make: ModelMaker) -> None:
    make.layer("CONV_2D", image(make), "y")


def depthwise_conv2d(make: ModelMaker) -> None:
    make.layer("DEPTHWISE_CONV_2D", image(make), "y")


def average_pool2d(make: ModelMaker) -> None:
    make.average(make.pointwise(image(make), "a", make.c.number(1, 5)))


def add(make: ModelMaker) -> None:
    x = image(make)
    make.add(make.pointwise(x, "a", x.shape[3]))


def reshape(make: ModelMaker) -> None:
    a = make.pointwise(image(make), "a", 2)
    shape = (1, int(np.prod(a.shape)))
    make.tensors.append(WriterTensor("s", (2,), "int32", None, np.array(shape, np.int32)))
    make.ops.append(WriterOp("RESHAPE", ("a", "s"), ("y",), ReshapeOptions(shape)))
    assert a.quant is not None
    make.activation("y", shape, a.quant)


def softmax(make: ModelMaker) -> None:
    logits = make.dense(image(make), "a")
    make.ops.append(WriterOp("SOFTMAX", ("a",), ("y",), SoftmaxOptions(make.c.pick(1.0, 0.5))))
    make.activation("y", logits.shape, QuantParams((1 / 256,), -128))


# How each operator's model is made, by the schema's name of it (and what is special, if there
# are several), and how many are tried.
MAKERS: dict[str, tuple[Maker, int]] = {
    "CONV_2D": (conv2d, 120),
    "DEPTHWISE_CONV_2D": (depthwise_conv2d, 100),
    "FULLY_CONNECTED": (fully_connected, 80),
    "AVERAGE_POOL_2D": (average_pool2d, 60),
    "ADD": (add, 60),
    "SOFTMAX": (softmax, 40),
    "RESHAPE": (reshape, 5),
    **STRUCTURAL,
    **MOVES,
    **ELEMENTWISE,
}


def random_model(kind: str, seed: int) -> bytes:
    """A model around one operator of ``kind``, which is the schema's name of it."""
    make = ModelMaker(seed)
    MAKERS[kind][0](make)
    return make.finish()


def samples(shape: tuple[int, ...], count: int, seed: int) -> list[Array]:
    """All least, all greatest, corners, then uniform int8 values."""
    rng = np.random.RandomState(seed)
    corners = np.where(rng.randint(2, size=shape) == 0, -128, 127).astype(np.int8)
    uniform = [rng.randint(-128, 128, shape).astype(np.int8) for _ in range(count)]
    return [np.full(shape, -128, np.int8), np.full(shape, 127, np.int8), corners, *uniform]
