# SPDX-License-Identifier: Apache-2.0
"""A network of differences, choices, roots and further functions of one value."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import (
    AbsOptions,
    Conv2DOptions,
    DequantizeOptions,
    FullyConnectedOptions,
    GeluOptions,
    MaximumMinimumOptions,
    MulOptions,
    NegOptions,
    Pool2DOptions,
    QuantizeOptions,
    ReducerOptions,
    SquaredDifferenceOptions,
    SubOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, constant, write_model
from tests.support.small_models import CLASSES, SHAPE, activation, bias, weights

MAP, POINT, PLANE = (1, 5, 4, 8), (1, 1, 1, 8), (1, 5, 4, 1)
KEPT = ReducerOptions(keep_dims=True)


def compared_model(seed: int = 0) -> bytes:
    """The greater of two convolutions, less its mean by channel; then a layer normalisation by
    hand, and a head."""
    rng = np.random.default_rng(seed)
    limits = rng.integers(-20, 128, 8).astype(np.int8)
    slopes = rng.integers(-20, 100, (1, 1, 8)).astype(np.int8)
    tensors = [
        activation("x", SHAPE, 1 / 64, 3),
        weights("stem_w", (8, 3, 3, 3), 0, rng), bias("stem_b", 8, rng),
        activation("stem", MAP, 0.03, -9),
        weights("side_w", (8, 3, 3, 3), 0, rng), bias("side_b", 8, rng),
        activation("side", MAP, 0.03, -9),
        activation("greater", MAP, 0.03, -9),
        activation("pool", POINT, 0.03, -9),
        activation("centred", MAP, 0.025, 4),
        constant("slopes", slopes, QuantParams((0.01,), 0)),
        activation("bent", MAP, 0.02, -30),
        activation("gelu", MAP, 0.018, -100),
        constant("limit", np.array(110, np.int8), QuantParams((0.018,), -100)),
        activation("limited", MAP, 0.018, -100),
        WriterTensor("real", MAP, "float32"), WriterTensor("real_elu", MAP, "float32"),
        activation("elu", MAP, 0.015, -90),
        WriterTensor("axis", (1,), "int32", None, np.array([3], np.int32)),
        activation("mean", PLANE, 0.012, -100),
        activation("spread", MAP, 0.03, -128),
        activation("variance", PLANE, 0.02, -128),
        activation("root", PLANE, 0.03, -128),
        activation("normal", MAP, 0.03, -60),
        activation("abs", MAP, 0.025, -128),
        constant("limits", limits, QuantParams((0.025,), -128)),
        activation("smaller", MAP, 0.025, -128),
        activation("neg", MAP, 0.025, 127),
        activation("narrow", MAP, 1 / 120, 3),
        constant("one", np.array(127, np.int8), QuantParams((1 / 255,), -128)),
        activation("rest", MAP, 0.008, -128),
        weights("head_w", (CLASSES, 160), 0, rng), bias("head_b", CLASSES, rng),
        activation("logits", (1, CLASSES), 0.1, 5),
    ]  # fmt: skip
    strided = Conv2DOptions(stride_h=2, stride_w=2)
    ops = [
        WriterOp("CONV_2D", ("x", "stem_w", "stem_b"), ("stem",), strided),
        WriterOp("CONV_2D", ("x", "side_w", "side_b"), ("side",), strided),
        WriterOp("MAXIMUM", ("stem", "side"), ("greater",), MaximumMinimumOptions()),
        WriterOp("AVERAGE_POOL_2D", ("greater",), ("pool",),
                 Pool2DOptions(filter_height=5, filter_width=4)),
        WriterOp("SUB", ("greater", "pool"), ("centred",), SubOptions()),
        WriterOp("PRELU", ("centred", "slopes"), ("bent",)),
        WriterOp("GELU", ("bent",), ("gelu",), GeluOptions()),
        WriterOp("MINIMUM", ("gelu", "limit"), ("limited",), MaximumMinimumOptions()),
        WriterOp("DEQUANTIZE", ("limited",), ("real",), DequantizeOptions()),
        WriterOp("ELU", ("real",), ("real_elu",)),
        WriterOp("QUANTIZE", ("real_elu",), ("elu",), QuantizeOptions()),
        WriterOp("MEAN", ("elu", "axis"), ("mean",), KEPT),
        WriterOp("SQUARED_DIFFERENCE", ("elu", "mean"), ("spread",), SquaredDifferenceOptions()),
        WriterOp("MEAN", ("spread", "axis"), ("variance",), KEPT),
        WriterOp("RSQRT", ("variance",), ("root",)),
        WriterOp("MUL", ("elu", "root"), ("normal",), MulOptions()),
        WriterOp("ABS", ("normal",), ("abs",), AbsOptions()),
        WriterOp("MINIMUM", ("abs", "limits"), ("smaller",), MaximumMinimumOptions()),
        WriterOp("NEG", ("smaller",), ("neg",), NegOptions()),
        WriterOp("RELU_N1_TO_1", ("neg",), ("narrow",)),
        WriterOp("SUB", ("one", "narrow"), ("rest",), SubOptions()),
        WriterOp("FULLY_CONNECTED", ("rest", "head_w", "head_b"), ("logits",),
                 FullyConnectedOptions()),
    ]  # fmt: skip
    return write_model(tensors, ops, ["x"], ["logits"])
