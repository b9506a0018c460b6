# SPDX-License-Identifier: Apache-2.0
"""Random networks of inverted bottlenecks: a wide tensor or two between narrow ones."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.making.options import (
    Conv2DOptions,
    DepthwiseConv2DOptions,
    FullyConnectedOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, write_model
from mcutrain.trainer.options import Scheme
from tests.support.model_maker import ModelMaker
from tests.support.random_trunks import add
from tests.support.small_models import activation, bias, weights


def random_blocks(seed: int) -> tuple[bytes, int]:
    """A model of 1 to 3 blocks behind an image, and a layer with 3 outputs; how many layers."""
    make = ModelMaker(seed)
    x = make.activation("x", (1, make.c.number(2, 8), make.c.number(2, 7), 3), make.c.quant())
    x = make.layer("CONV_2D", x, "stem", make.c.number(2, 5))
    layers = 1
    for k in range(make.c.number(1, 3)):
        x, more = block(make, x, f"t{k}")
        layers += more
    make.dense_of(x, "y", 3)
    return make.finish(), layers + 1


def block(make: ModelMaker, x: WriterTensor, name: str) -> tuple[WriterTensor, int]:
    """Expansion, none to two depthwise layers, projection, and sometimes a sum with the input."""
    wide = make.c.number(5, 19)
    narrow, depth = x.shape[3], make.c.pick(0, 1, 1, 1, 2)
    hidden = make.layer("CONV_2D", x, f"{name}_a", wide)
    for k in range(depth):
        wide *= make.c.pick(1, 1, 1, 1, 2)
        hidden = make.layer("DEPTHWISE_CONV_2D", hidden, f"{name}_b{k}", wide)
    out = make.layer("CONV_2D", hidden, f"{name}_c", narrow)
    if out.shape == x.shape and make.c.pick(True, True, False):
        out = add(make, out, f"{name}_d", [x])
    return out, depth + 2


def random_scheme(seed: int, layers: int) -> Scheme:
    """Of each layer's weights and biases all, none or, of weights, a part learn."""
    c = ModelMaker(seed).c
    ratios = {k: c.pick(0.3, 0.6, 1.0, 1.0) for k in range(layers) if c.pick(True, True, False)}
    biases = {k for k in range(layers) if k in ratios or c.pick(True, False)}
    return Scheme("random", {**ratios, layers - 1: 1.0}, frozenset(biases | {layers - 1}))


def large_block() -> bytes:
    """A stem, a block of more positions than a band has (SPEC 1.4), and a layer with 2 outputs."""
    rng, side = np.random.default_rng(3), 66
    shapes = {"stem": (3, 1, 1, 2), "a": (9, 3, 3, 3), "b": (1, 3, 3, 9), "c": (3, 1, 1, 9)}
    tensors, ops = [activation("x", (1, side, side, 2), 1 / 64, 3)], []
    for name, shape in shapes.items():
        is_conv = name != "b"
        channels = shape[0] if is_conv else shape[3]
        parts = [
            weights(f"{name}_w", shape, 0 if is_conv else 3, rng),
            bias(f"{name}_b", channels, rng),
        ]
        inputs = (tensors[-1].name, *(part.name for part in parts))
        kind, options = (
            ("CONV_2D", Conv2DOptions) if is_conv else ("DEPTHWISE_CONV_2D", DepthwiseConv2DOptions)
        )
        ops.append(WriterOp(kind, inputs, (name,), options()))
        tensors += [*parts, activation(name, (1, side, side, channels), 0.04, -5)]
    tensors += [weights("head_w", (2, side * side * 3), 0, rng), bias("head_b", 2, rng)]
    ops.append(
        WriterOp("FULLY_CONNECTED", ("c", "head_w", "head_b"), ("y",), FullyConnectedOptions())
    )
    tensors.append(activation("y", (1, 2), 0.5, 0))
    return write_model(tensors, ops, ["x"], ["y"])
