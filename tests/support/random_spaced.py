# SPDX-License-Identifier: Apache-2.0
"""Random models around convolutions whose taps or inputs lie apart, or that have groups, and
around pools of tall windows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mcutrain.trainer.making.options import (
    Conv2DOptions,
    DepthwiseConv2DOptions,
    Padding,
    Pool2DOptions,
    TransposeConvOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, constant
from tests.support.model_maker import ACTIVATIONS, ModelMaker, out_size


def image(make: ModelMaker, channels: int, most: int = 12) -> WriterTensor:
    shape = (1, make.c.number(1, most), make.c.number(1, most), channels)
    return make.activation("x", shape, make.c.quant())


def spans(make: ModelMaker, x: WriterTensor, padding: Padding) -> list[tuple[int, int]]:
    """(kernel, dilation) along height and width."""
    found = []
    for size in x.shape[1:3]:
        kernel, dilation = make.c.number(1, 4), make.c.number(1, 5)
        if padding == Padding.VALID and (kernel - 1) * dilation >= size:
            kernel = (size - 1) // dilation + 1
        found.append((kernel, dilation))
    return found


def layer(
    make: ModelMaker, kind: str, x: WriterTensor, name: str, groups: int, out_ch: int
) -> WriterTensor:
    """A CONV_2D or DEPTHWISE_CONV_2D that is dilated and has so many groups."""
    padding = make.c.pick(*Padding)
    (kernel_h, down), (kernel_w, right) = spans(make, x, padding)
    stride = make.c.number(1, 3), make.c.number(1, 3)
    is_conv = kind == "CONV_2D"
    window = (kernel_h, kernel_w)
    shape = (out_ch, *window, x.shape[3] // groups) if is_conv else (1, *window, out_ch)
    weights = make.c.weights(f"{name}_w", shape, 0 if is_conv else 3)
    assert x.quant is not None
    bias = make.c.bias(f"{name}_b", x.quant, weights, out_ch)
    make.tensors += [weights, *bias]
    activation = make.c.pick(*ACTIVATIONS)
    options = Conv2DOptions(padding, *stride, activation, down, right)
    if not is_conv:
        multiplier = out_ch // x.shape[3]
        options = DepthwiseConv2DOptions(padding, *stride, multiplier, activation, down, right)
    absent = (None,) if is_conv else ()
    inputs = (x.name, weights.name, *((bias[0].name,) if bias else absent))
    make.ops.append(WriterOp(kind, inputs, (name,), options))
    sizes = zip(x.shape[1:3], (kernel_h, kernel_w), (down, right), stride, strict=True)
    h, w = (out_size(n, (k - 1) * apart + 1, step, padding) for n, k, apart, step in sizes)
    return make.activation(name, (1, h, w, out_ch), make.c.quant())


def spaced_conv2d(make: ModelMaker) -> None:
    """With dilation, and mostly with groups."""
    groups = make.c.pick(1, 2, 3, 4)
    x = image(make, groups * make.c.number(1, 4), make.c.pick(7, 12))
    layer(make, "CONV_2D", x, "y", groups, groups * make.c.number(1, 4))


def dilated_depthwise(make: ModelMaker) -> None:
    x = image(make, make.c.number(1, 9))
    layer(make, "DEPTHWISE_CONV_2D", x, "y", 1, x.shape[3] * make.c.number(1, 3))


def transpose_conv(make: ModelMaker) -> None:
    transposed(make, image(make, make.c.number(1, 5), 5), "y")


def transposed(make: ModelMaker, x: WriterTensor, name: str) -> WriterTensor:
    padding = make.c.pick(*Padding)
    kernel = make.c.number(1, 5), make.c.number(1, 5)
    stride = make.c.number(1, 3), make.c.number(1, 3)
    sizes = []
    for size, k, step in zip(x.shape[1:3], kernel, stride, strict=True):
        rest = make.c.number(0, step - 1)
        sizes.append(
            size * step - rest if padding == Padding.SAME else (size - 1) * step + k + rest
        )
    shape = (1, *sizes, make.c.number(1, 5))
    weights = make.c.weights(f"{name}_w", (shape[3], *kernel, x.shape[3]), 0)
    assert x.quant is not None
    bias = make.c.bias(f"{name}_b", x.quant, weights, shape[3])
    make.tensors += [constant(f"{name}_shape", np.array(shape, np.int32)), weights, *bias]
    inputs = (f"{name}_shape", weights.name, x.name, *(b.name for b in bias))
    options = TransposeConvOptions(padding, *stride, make.c.pick(*ACTIVATIONS))
    make.ops.append(WriterOp("TRANSPOSE_CONV", inputs, (name,), options))
    return make.activation(name, shape, make.c.quant())


def spaced_trunk(seed: int) -> bytes:
    """A model of 3 to 6 layers, most of them spaced, behind an image, and one with 3 outputs."""
    make = ModelMaker(seed)
    x = image(make, make.c.pick(2, 4), 9)
    for k in range(make.c.number(3, 6)):
        name, kind = f"t{k}", make.c.number(0, 5)
        if kind == 0:
            x = make.layer(make.c.pick("CONV_2D", "DEPTHWISE_CONV_2D"), x, name)
        elif kind == 1 and x.shape[1] * x.shape[2] < 60:
            x = transposed(make, x, name)
        elif kind == 2:
            x = layer(make, "DEPTHWISE_CONV_2D", x, name, 1, x.shape[3])
        elif kind == 3 and x.shape[3] % 2 == 0:
            x = layer(make, "CONV_2D", x, name, 2, 2 * make.c.number(1, 3))
        else:
            x = layer(make, "CONV_2D", x, name, 1, make.c.pick(2, 3, 4))
    make.dense_of(x, "y", 3)
    return make.finish()


def tall_pool(make: ModelMaker) -> None:
    shape = (1, make.c.number(1, 90), make.c.number(1, 4), make.c.number(1, 5))
    x = make.activation("x", shape, make.c.quant())
    a, padding = make.pointwise(x, "a", make.c.number(1, 6)), make.c.pick(*Padding)
    kernel = [make.c.number(33, 100), make.c.number(1, 4)]
    if padding == Padding.VALID:
        kernel = [min(k, size) for k, size in zip(kernel, shape[1:3], strict=True)]
    stride = make.c.number(1, 40), make.c.number(1, 3)
    options = Pool2DOptions(padding, *stride, *kernel, make.c.pick(*ACTIVATIONS))
    kind = make.c.pick("AVERAGE_POOL_2D", "MAX_POOL_2D")
    make.ops.append(WriterOp(kind, ("a",), ("y",), options))
    h, w = (out_size(*size, padding) for size in zip(shape[1:3], kernel, stride, strict=True))
    assert a.quant is not None
    make.activation("y", (1, h, w, a.shape[3]), a.quant)


# As MAKERS of random_models, which holds these too.
SPACED: dict[str, tuple[Callable[[ModelMaker], None], int]] = {
    "CONV_2D spaced": (spaced_conv2d, 40),
    "DEPTHWISE_CONV_2D dilated": (dilated_depthwise, 25),
    "TRANSPOSE_CONV": (transpose_conv, 25),
    "MAX_POOL_2D or AVERAGE_POOL_2D, tall": (tall_pool, 20),
}
