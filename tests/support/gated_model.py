# SPDX-License-Identifier: Apache-2.0
"""A network of every elementwise operator."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import (
    AddOptions,
    Conv2DOptions,
    FullyConnectedOptions,
    HardSwishOptions,
    LeakyReluOptions,
    MulOptions,
    Pool2DOptions,
    QuantizeOptions,
)
from mcutrain.trainer.making.writer import WriterOp, constant, write_model
from tests.support.small_models import CLASSES, SHAPE, activation, bias, weights

MAP, POINT = (1, 5, 4, 8), (1, 1, 1, 8)


def gated_model(seed: int = 0) -> bytes:
    """Squeeze and excite, then each elementwise operator in a row, and a head."""
    rng = np.random.default_rng(seed)
    shift = rng.integers(-128, 128, 8).astype(np.int8)
    tensors = [
        activation("x", SHAPE, 1 / 64, 3),
        weights("stem_w", (8, 3, 3, 3), 0, rng), bias("stem_b", 8, rng),
        activation("stem", MAP, 0.03, -9),
        activation("swish", MAP, 0.02, -110),
        activation("pool", POINT, 0.02, -110),
        weights("squeeze_w", (8, 1, 1, 8), 0, rng), bias("squeeze_b", 8, rng),
        activation("squeeze", POINT, 0.02, 4),
        activation("relu", POINT, 0.015, -128),
        weights("excite_w", (8, 1, 1, 8), 0, rng), bias("excite_b", 8, rng),
        activation("excite", POINT, 0.02, 4),
        activation("gate", POINT, 1 / 256, -128),
        activation("gated", MAP, 0.015, -100),
        activation("leaky", MAP, 0.01, -100),
        activation("square", MAP, 0.02, -120),
        activation("finer", MAP, 0.01, -60),
        constant("shift", shift, QuantParams((0.004,), 3)),
        activation("shifted", MAP, 0.012, -50),
        activation("lifted", MAP, 0.016, -30),
        activation("bent", MAP, 1 / 128, 0),
        activation("relu6", MAP, 1 / 128, 0),
        constant("factor", np.array(77, np.int8), QuantParams((0.02,), -5)),
        activation("scaled", MAP, 0.014, -100),
        weights("head_w", (CLASSES, 160), 0, rng), bias("head_b", CLASSES, rng),
        activation("logits", (1, CLASSES), 0.1, 5),
    ]  # fmt: skip
    ops = [
        WriterOp("CONV_2D", ("x", "stem_w", "stem_b"), ("stem",),
                 Conv2DOptions(stride_h=2, stride_w=2)),
        WriterOp("HARD_SWISH", ("stem",), ("swish",), HardSwishOptions()),
        WriterOp("AVERAGE_POOL_2D", ("swish",), ("pool",),
                 Pool2DOptions(filter_height=5, filter_width=4)),
        WriterOp("CONV_2D", ("pool", "squeeze_w", "squeeze_b"), ("squeeze",), Conv2DOptions()),
        WriterOp("RELU", ("squeeze",), ("relu",)),
        WriterOp("CONV_2D", ("relu", "excite_w", "excite_b"), ("excite",), Conv2DOptions()),
        WriterOp("LOGISTIC", ("excite",), ("gate",)),
        WriterOp("MUL", ("swish", "gate"), ("gated",), MulOptions()),
        WriterOp("LEAKY_RELU", ("gated",), ("leaky",), LeakyReluOptions(0.1)),
        WriterOp("MUL", ("leaky", "leaky"), ("square",), MulOptions()),
        WriterOp("QUANTIZE", ("square",), ("finer",), QuantizeOptions()),
        WriterOp("ADD", ("finer", "shift"), ("shifted",), AddOptions()),
        WriterOp("ADD", ("gate", "shifted"), ("lifted",), AddOptions()),
        WriterOp("TANH", ("lifted",), ("bent",)),
        WriterOp("RELU6", ("bent",), ("relu6",)),
        WriterOp("MUL", ("factor", "relu6"), ("scaled",), MulOptions()),
        WriterOp("FULLY_CONNECTED", ("scaled", "head_w", "head_b"), ("logits",),
                 FullyConnectedOptions()),
    ]  # fmt: skip
    return write_model(tensors, ops, ["x"], ["logits"])
