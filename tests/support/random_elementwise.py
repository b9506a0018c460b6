# SPDX-License-Identifier: Apache-2.0
"""Random models around the elementwise operators: functions of one value, products, sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import (
    AddOptions,
    HardSwishOptions,
    LeakyReluOptions,
    MulOptions,
    Pool2DOptions,
    QuantizeOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, constant
from tests.support.model_maker import ACTIVATIONS, ModelMaker

FIXED = {"LOGISTIC": QuantParams((1 / 256,), -128), "TANH": QuantParams((1 / 128,), 0)}
OPTIONS = {"QUANTIZE": QuantizeOptions(), "HARD_SWISH": HardSwishOptions()}


def features(make: ModelMaker) -> WriterTensor:
    """What a layer with weights wrote, of a scale that may be extreme."""
    x = make.activation("x", make.image(), make.c.quant())
    make.pointwise(x, "a", make.c.number(1, 6))
    reach = make.c.pick((0.002, 0.3), (0.002, 0.3), (1e-5, 5.0))
    quant = QuantParams((make.c.scale(*reach),), make.c.zero_point())
    make.tensors[-1] = replace(make.tensors[-1], quant=quant)
    return make.tensors[-1]


def function(kind: str) -> Callable[[ModelMaker], None]:
    def make_model(make: ModelMaker) -> None:
        a = features(make)
        assert a.quant is not None
        # HARD_SWISH takes outputs of 2**-7 to 2**9 times the input's scale.
        scales = np.clip((0.002, 0.3), a.quant.scale * 2.0**-6, a.quant.scale * 2.0**8)
        free = QuantParams((make.c.scale(*scales),), make.c.zero_point())
        quant = FIXED.get(kind, a.quant if kind == "RELU6" else free)
        options = OPTIONS.get(kind)
        if kind == "LEAKY_RELU":
            options = LeakyReluOptions(make.c.pick(0.01, 0.1, 0.2, 0.3, 1.0, make.c.scale(0.01, 4)))
        make.ops.append(WriterOp(kind, ("a",), ("y",), options))
        make.activation("y", a.shape, quant)

    return make_model


def operand(make: ModelMaker, a: WriterTensor) -> WriterTensor:
    """What is multiplied with or added to ``a``: repeated, a constant, or both."""
    channels = a.shape[3]
    shapes = [(channels,), (), (1,), (1, 1, 1, channels), a.shape, (*a.shape[:3], 1),
              (1, a.shape[1], 1, 1), (1, 1, a.shape[2], channels)]  # fmt: skip
    form = make.c.pick("constant", "constant", "gate", "map", "layer", "itself")
    if form == "constant":
        shape = shapes[make.c.number(0, len(shapes) - 1)]
        data = np.asarray(make.c.rng.randint(-128, 128, shape), np.int8)
        make.tensors.append(constant("b", data, make.c.quant()))
    elif form == "gate":
        options = Pool2DOptions(filter_height=a.shape[1], filter_width=a.shape[2])
        make.ops.append(WriterOp("AVERAGE_POOL_2D", ("a",), ("b",), options))
        assert a.quant is not None
        make.activation("b", (1, 1, 1, channels), a.quant)
    elif form == "map":
        make.pointwise(a, "b", 1)
    elif form == "layer":
        make.pointwise(a, "b", channels)
    return a if form == "itself" else make.tensors[-1]


def pair(kind: str) -> Callable[[ModelMaker], None]:
    def make_model(make: ModelMaker) -> None:
        a = make.pointwise(make.activation("x", make.image(), make.c.quant()), "a", 4)
        b = operand(make, a)
        options = {"MUL": MulOptions, "ADD": AddOptions}[kind](make.c.pick(*ACTIVATIONS))
        names = make.c.pick((a.name, b.name), (b.name, a.name))
        make.ops.append(WriterOp(kind, names, ("y",), options))
        make.activation("y", a.shape, make.c.quant())

    return make_model


# As MAKERS of random_models, which holds these too.
ELEMENTWISE: dict[str, tuple[Callable[[ModelMaker], None], int]] = {
    "RELU": (function("RELU"), 60),
    "RELU6": (function("RELU6"), 60),
    "LEAKY_RELU": (function("LEAKY_RELU"), 80),
    "HARD_SWISH": (function("HARD_SWISH"), 80),
    "LOGISTIC": (function("LOGISTIC"), 60),
    "TANH": (function("TANH"), 60),
    "QUANTIZE": (function("QUANTIZE"), 60),
    "MUL": (pair("MUL"), 120),
    "ADD, repeated": (pair("ADD"), 120),
}
