# SPDX-License-Identifier: Apache-2.0
"""Small int8 models and data sets that the tests of the host share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import (
    Activation,
    AddOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    FullyConnectedOptions,
    Pool2DOptions,
    ReshapeOptions,
    SoftmaxOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, write_model

CLASSES = 4
SHAPE = (1, 9, 7, 3)


def weights(name: str, shape: tuple[int, ...], axis: int, rng: np.random.Generator) -> WriterTensor:
    scales = tuple(float(np.float32(s)) for s in rng.uniform(0.004, 0.02, shape[axis]))
    data = rng.integers(-127, 128, shape).astype(np.int8)
    return WriterTensor(name, shape, "int8", QuantParams(scales, 0, axis), data)


def bias(name: str, size: int, rng: np.random.Generator) -> WriterTensor:
    data = rng.integers(-900, 900, size).astype(np.int32)
    return WriterTensor(name, (size,), "int32", None, data)


def activation(name: str, shape: tuple[int, ...], scale: float, zero: int) -> WriterTensor:
    return WriterTensor(name, shape, "int8", QuantParams((float(np.float32(scale)),), zero))


def residual_model(seed: int = 0) -> bytes:
    """Convolution, depthwise, pointwise, residual add, uneven average pool, head, softmax."""
    rng = np.random.default_rng(seed)
    tensors = [
        activation("x", SHAPE, 1 / 64, 3),
        weights("stem_w", (8, 3, 3, 3), 0, rng), bias("stem_b", 8, rng),
        activation("stem", (1, 5, 4, 8), 0.03, -128),
        weights("dw_w", (1, 3, 3, 8), 3, rng), bias("dw_b", 8, rng),
        activation("dw", (1, 5, 4, 8), 6 / 255, -128),
        weights("pw_w", (8, 1, 1, 8), 0, rng), bias("pw_b", 8, rng),
        activation("pw", (1, 5, 4, 8), 0.05, 4),
        activation("sum", (1, 5, 4, 8), 0.06, -9),
        activation("pool", (1, 1, 1, 8), 0.06, -9),
        WriterTensor("shape", (2,), "int32", None, np.array([1, 8], np.int32)),
        activation("flat", (1, 8), 0.06, -9),
        weights("head_w", (CLASSES, 8), 0, rng), bias("head_b", CLASSES, rng),
        activation("logits", (1, CLASSES), 0.1, 5),
        activation("out", (1, CLASSES), 1 / 256, -128),
    ]  # fmt: skip
    relu, relu6 = Activation.RELU, Activation.RELU6
    ops = [
        WriterOp("CONV_2D", ("x", "stem_w", "stem_b"), ("stem",),
                 Conv2DOptions(stride_h=2, stride_w=2, fused_activation_function=relu)),
        WriterOp("DEPTHWISE_CONV_2D", ("stem", "dw_w", "dw_b"), ("dw",),
                 DepthwiseConv2DOptions(fused_activation_function=relu6)),
        WriterOp("CONV_2D", ("dw", "pw_w", "pw_b"), ("pw",), Conv2DOptions()),
        WriterOp("ADD", ("stem", "pw"), ("sum",), AddOptions()),
        WriterOp("AVERAGE_POOL_2D", ("sum",), ("pool",),
                 Pool2DOptions(filter_height=5, filter_width=4, stride_h=5, stride_w=4)),
        WriterOp("RESHAPE", ("pool", "shape"), ("flat",), ReshapeOptions((1, 8))),
        WriterOp("FULLY_CONNECTED", ("flat", "head_w", "head_b"), ("logits",),
                 FullyConnectedOptions()),
        WriterOp("SOFTMAX", ("logits",), ("out",), SoftmaxOptions()),
    ]  # fmt: skip
    return write_model(tensors, ops, ["x"], ["out"])


def float_model() -> bytes:
    """A model in floating point, which cannot be trained."""
    tensors = [WriterTensor(n, (1, 4), "float32") for n in ("x", "y")]
    return write_model(tensors, [WriterOp("RELU", ("x",), ("y",))], ["x"], ["y"])


def drawn_samples(
    per_class: int, classes: int = CLASSES, seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Noisy copies of one random pattern per class, as int8: to train with, and three to test."""
    rng = np.random.default_rng(seed)
    patterns = rng.integers(-100, 101, (classes, *SHAPE[1:]))

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        y = np.repeat(np.arange(classes), count)
        x = patterns[y] + rng.integers(-40, 41, (len(y), *SHAPE[1:]))
        return np.clip(x, -128, 127).astype(np.int8), y

    return [draw(per_class), draw(3)]


def write_dataset(path: Path, classes: int = CLASSES, per_class: int = 8, seed: int = 0) -> Path:
    (x_train, y_train), (x_test, y_test) = drawn_samples(per_class, classes, seed)
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return path
