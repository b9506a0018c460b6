# SPDX-License-Identifier: Apache-2.0
"""Random models around differences, choices, slopes by channel and further functions of one value.

Those of ``WITHOUT_MICRO`` hold operators that tflite-micro has no int8 form of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import (
    AbsOptions,
    DequantizeOptions,
    GeluOptions,
    MaximumMinimumOptions,
    NegOptions,
    QuantizeOptions,
    SquaredDifferenceOptions,
    SubOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, constant
from mcutrain.trainer.ops.float_function import FLOAT_FUNCTIONS
from tests.support.model_maker import ACTIVATIONS, ModelMaker
from tests.support.random_elementwise import features, operand

FLOAT_OPTIONS = {"DEQUANTIZE": DequantizeOptions(), "NEG": NegOptions(), "ABS": AbsOptions()}
Maker = Callable[[ModelMaker], None]


def difference(kind: str) -> Maker:
    def make_model(make: ModelMaker) -> None:
        a = make.pointwise(make.activation("x", make.image(), make.c.quant()), "a", 4)
        b = operand(make, a)
        options = SquaredDifferenceOptions()
        if kind == "SUB":
            options = SubOptions(make.c.pick(*ACTIVATIONS))
        names = make.c.pick((a.name, b.name), (b.name, a.name))
        make.ops.append(WriterOp(kind, names, ("y",), options))
        make.activation("y", a.shape, make.c.quant())

    return make_model


def choice(kind: str) -> Maker:
    """Of two operands of one quantisation."""

    def make_model(make: ModelMaker) -> None:
        a = make.pointwise(make.activation("x", make.image(), make.c.quant()), "a", 4)
        b = operand(make, a)
        if b is not a:
            make.tensors[make.tensors.index(b)] = replace(b, quant=a.quant)
        names = make.c.pick((a.name, b.name), (b.name, a.name))
        make.ops.append(WriterOp(kind, names, ("y",), MaximumMinimumOptions()))
        assert a.quant is not None
        make.activation("y", a.shape, a.quant)

    return make_model


def prelu(make: ModelMaker) -> None:
    a = features(make)
    _, h, w, channels = a.shape
    shape = make.c.pick((1, 1, channels), (channels,), (h, w, channels), (h, w, 1), (1,))
    data = np.asarray(make.c.rng.randint(-128, 128, shape), np.int8)
    make.tensors.append(constant("alpha", data, make.c.quant()))
    make.ops.append(WriterOp("PRELU", ("a", "alpha"), ("y",)))
    make.activation("y", a.shape, make.c.quant())


def curve(kind: str) -> Maker:
    options = {"ABS": AbsOptions(), "NEG": NegOptions()}.get(kind)

    def make_model(make: ModelMaker) -> None:
        a = features(make)
        assert a.quant is not None
        quant = QuantParams((make.c.scale(),), make.c.zero_point())
        if kind == "RSQRT":  # tflite-micro stops at what is below 0
            a = replace(a, quant=QuantParams(a.quant.scales, -128))
            make.tensors[-1] = a
        own = GeluOptions(make.c.pick(False, True)) if kind == "GELU" else options
        make.ops.append(WriterOp(kind, ("a",), ("y",), own))
        make.activation("y", a.shape, quant)

    return make_model


def in_float(make: ModelMaker) -> None:
    """Functions of one value between conversions from int8 and back."""
    a = features(make)
    kinds = [make.c.pick(*FLOAT_FUNCTIONS) for _ in range(make.c.number(0, 3))]
    # Where the greatest is no int32 in quanta, tflite-micro converts what it has no number for.
    kinds = [k for k in kinds if k != "EXP" or (a.quant is not None and a.quant.scale < 0.05)]
    names = ["a", *(f"f{k}" for k in range(len(kinds) + 1))]
    pairs = zip(["DEQUANTIZE", *kinds], pairwise(names), strict=True)
    for kind, (x, y) in pairs:
        make.ops.append(WriterOp(kind, (x,), (y,), FLOAT_OPTIONS.get(kind)))
        make.tensors.append(WriterTensor(y, a.shape, "float32"))
    make.ops.append(WriterOp("QUANTIZE", (names[-1],), ("y",), QuantizeOptions()))
    make.activation("y", a.shape, make.c.quant())


# As MAKERS of random_models, which holds these too.
PAIRS: dict[str, tuple[Maker, int]] = {
    "SUB": (difference("SUB"), 40),
    "SQUARED_DIFFERENCE": (difference("SQUARED_DIFFERENCE"), 30),
    "MINIMUM": (choice("MINIMUM"), 20),
    "MAXIMUM": (choice("MAXIMUM"), 20),
    "PRELU": (prelu, 30),
    "ABS": (curve("ABS"), 12),
    "RSQRT": (curve("RSQRT"), 30),
    "ELU": (curve("ELU"), 20),
    "DEQUANTIZE, functions in float": (in_float, 40),
}
WITHOUT_MICRO: dict[str, tuple[Maker, int]] = {
    kind: (curve(kind), 20) for kind in ("NEG", "GELU", "RELU_N1_TO_1", "RELU_0_TO_1")
}
