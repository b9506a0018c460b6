# SPDX-License-Identifier: Apache-2.0
"""A network of the corner cases of layers with weights."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import (
    Activation,
    AddOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    FullyConnectedOptions,
    Padding,
    Pool2DOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, write_model
from mcutrain.trainer.model import Model
from mcutrain.trainer.tflite.reader import parse
from tests.support.model_maker import Chance


def awkward_model() -> Model:
    """What the small network has not: no bias, one scale, dead channels, multipliers, reused
    tensors, a padded pool, a pool of overlaps, a head of rows."""
    c = Chance(np.random.RandomState(3))
    tensors: list[WriterTensor] = []
    ops: list[WriterOp] = []

    def activation(name: str, shape: tuple[int, ...], scale: float = 0.05, zero: int = -20) -> str:
        scale = float(np.float32(scale))
        tensors.append(WriterTensor(name, shape, "int8", QuantParams((scale,), zero)))
        return name

    def weights(name: str, shape: tuple[int, ...], scales: tuple[float, ...], axis: int) -> str:
        quant = QuantParams(tuple(float(np.float32(s)) for s in scales), 0, axis)
        data = c.rng.randint(-128, 128, shape).astype(np.int8)
        tensors.append(WriterTensor(name, shape, "int8", quant, data))
        return name

    def bias(name: str, *values: int) -> str:
        data = np.array(values, np.int32)
        tensors.append(WriterTensor(name, data.shape, "int32", None, data))
        return name

    activation("x", (1, 6, 5, 2), 0.03, 7)
    dead = (0.01, 1e-12, 0.02, 0.015)
    ops.append(WriterOp("CONV_2D", ("x", weights("w0", (4, 2, 3, 2), dead, 0), None),
                        (activation("a", (1, 6, 5, 4)),),
                        Conv2DOptions(fused_activation_function=Activation.RELU)))  # fmt: skip
    scales = (0.01, 0.02, 1e-9, 0.004, 0.005, 0.01, 0.02, 0.01)
    great = bias("b1", 100, -(2**31), 3, -500, 2**31 - 1, 0, 77, 2**30)
    twofold = DepthwiseConv2DOptions(stride_h=2, stride_w=2, depth_multiplier=2)
    ops.append(WriterOp("DEPTHWISE_CONV_2D", ("a", weights("w1", (1, 3, 2, 8), scales, 3), great),
                        (activation("b", (1, 3, 3, 8)),), twofold))  # fmt: skip
    # b is read four times: by an add of itself, by a pool, and by another add.
    ops.append(WriterOp("ADD", ("b", "b"), (activation("c", (1, 3, 3, 8), 0.08),), AddOptions()))
    ops.append(WriterOp("AVERAGE_POOL_2D", ("b",), (activation("d", (1, 3, 3, 8)),),
                        Pool2DOptions(Padding.SAME, 1, 1, 3, 3)))  # fmt: skip
    ops.append(WriterOp("ADD", ("d", "c"), (activation("e", (1, 3, 3, 8), 0.09, 5),),
                        AddOptions(Activation.RELU)))  # fmt: skip
    ops.append(WriterOp("ADD", ("e", "b"), (activation("f", (1, 3, 3, 8), 0.1, 0),), AddOptions()))
    ops.append(WriterOp("AVERAGE_POOL_2D", ("f",), (activation("g", (1, 2, 2, 8), 0.1, 0),),
                        Pool2DOptions(Padding.VALID, 1, 1, 2, 2)))  # fmt: skip
    head = weights("w2", (5, 32), (0.01,), 0)
    ops.append(WriterOp("FULLY_CONNECTED", ("g", head, bias("b2", 1, 2, 3, 4, 5)),
                        (activation("y", (1, 5), 0.2, 3),), FullyConnectedOptions()))  # fmt: skip
    return parse(write_model(tensors, ops, ["x"], ["y"]), "awkward")
