# SPDX-License-Identifier: Apache-2.0
"""A network of every structural operator."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import (
    Activation,
    ConcatenationOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    ExpandDimsOptions,
    FullyConnectedOptions,
    Padding,
    PadOptions,
    Pool2DOptions,
    ReducerOptions,
    ResizeNearestNeighborOptions,
    SqueezeOptions,
    TransposeOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, constant, write_model
from tests.support.small_models import activation, bias, weights

SCALE, ZERO = 0.04, -100  # of all that is joined


def integers(name: str, *values: object) -> WriterTensor:
    return constant(name, np.array(values, np.int32))


def branches(name: str, *shape: int) -> WriterTensor:
    return activation(name, shape, SCALE, ZERO)


def structural_model() -> bytes:
    """Every structural operator between a convolution and the head."""
    rng = np.random.default_rng(5)
    fixed = rng.integers(-128, 128, (1, 7, 6, 1)).astype(np.int8)
    quant = QuantParams((float(np.float32(SCALE)),), ZERO)
    tensors = [
        activation("x", (1, 7, 6, 3), 1 / 64, 3),
        integers("widths", (0, 0), (1, 1), (0, 2), (0, 0)),
        activation("padded", (1, 9, 8, 3), 1 / 64, 3),
        weights("a_w", (4, 3, 3, 3), 0, rng), bias("a_b", 4, rng), branches("a", 1, 7, 6, 4),
        branches("near", 1, 7, 6, 4),
        integers("order", 0, 2, 1, 3), branches("turned", 1, 6, 7, 4),
        weights("b_w", (4, 1, 1, 4), 0, rng), bias("b_b", 4, rng), branches("b", 1, 6, 7, 4),
        branches("back", 1, 7, 6, 4), constant("fixed", fixed, quant),
        branches("joined", 1, 7, 6, 13), branches("halved", 1, 3, 3, 13),
        integers("size", 5, 4), branches("resized", 1, 5, 4, 13),
        weights("c_w", (1, 3, 3, 13), 3, rng), bias("c_b", 13, rng),
        activation("c", (1, 5, 4, 13), 0.06, -3),
        integers("axes", 1, 2), activation("mean", (1, 13), 0.03, 4),
        integers("axis", 1), activation("wide", (1, 1, 13), 0.03, 4),
        activation("flat", (1, 13), 0.03, 4),
        weights("d_w", (4, 13), 0, rng), bias("d_b", 4, rng), activation("y", (1, 4), 0.1, 0),
    ]  # fmt: skip
    valid, relu = Padding.VALID, Activation.RELU
    ops = [
        WriterOp("PAD", ("x", "widths"), ("padded",), PadOptions()),
        WriterOp("CONV_2D", ("padded", "a_w", "a_b"), ("a",), Conv2DOptions(valid, 1, 1, relu)),
        WriterOp("MAX_POOL_2D", ("a",), ("near",), Pool2DOptions(Padding.SAME, 1, 1, 3, 3)),
        WriterOp("TRANSPOSE", ("a", "order"), ("turned",), TransposeOptions()),
        WriterOp("CONV_2D", ("turned", "b_w", "b_b"), ("b",), Conv2DOptions()),
        WriterOp("TRANSPOSE", ("b", "order"), ("back",), TransposeOptions()),
        WriterOp("CONCATENATION", ("near", "back", "fixed", "near"), ("joined",),
                 ConcatenationOptions(3)),
        WriterOp("MAX_POOL_2D", ("joined",), ("halved",), Pool2DOptions(valid, 2, 2, 2, 2)),
        WriterOp("RESIZE_NEAREST_NEIGHBOR", ("halved", "size"), ("resized",),
                 ResizeNearestNeighborOptions()),
        WriterOp("DEPTHWISE_CONV_2D", ("resized", "c_w", "c_b"), ("c",), DepthwiseConv2DOptions()),
        WriterOp("MEAN", ("c", "axes"), ("mean",), ReducerOptions()),
        WriterOp("EXPAND_DIMS", ("mean", "axis"), ("wide",), ExpandDimsOptions()),
        WriterOp("SQUEEZE", ("wide",), ("flat",), SqueezeOptions((1,))),
        WriterOp("FULLY_CONNECTED", ("flat", "d_w", "d_b"), ("y",), FullyConnectedOptions()),
    ]  # fmt: skip
    return write_model(tensors, ops, ["x"], ["y"])
