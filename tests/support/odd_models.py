# SPDX-License-Identifier: Apache-2.0
"""A model of which only a part can be trained: around it lies what cannot be read."""

from __future__ import annotations

import copy

import numpy as np

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import (
    Activation,
    Conv2DOptions,
    FullyConnectedOptions,
    PackOptions,
    Padding,
    ReshapeOptions,
    ShapeOptions,
    SoftmaxOptions,
    StridedSliceOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, constant, write_model
from mcutrain.trainer.options import Section
from tests.support.mutations import packed, unpacked
from tests.support.small_models import activation, bias, weights

CLASSES = 4
LATENT = (1, 6, 5, 3)
TRAINABLE = Section("latent", "scores")


def tensors() -> list[WriterTensor]:
    rng = np.random.default_rng(5)
    return [
        WriterTensor("sound", (1, 90), "int16", QuantParams((0.01,), 0)),
        activation("other", (1, 90), 0.02, 1),
        WriterTensor("odd", (1, 90), "int16", QuantParams((0.01,), 0)),
        activation("latent", LATENT, 0.05, -7),
        WriterTensor("odd_shape", (2,), "int32"),
        *(constant(n, np.array([v], np.int32)) for n, v in (("first", 0), ("last", 1), ("by", 1))),
        WriterTensor("batch", (), "int32"),
        constant("rest", np.array(-1, np.int32)),
        WriterTensor("flat_shape", (2,), "int32"),
        weights("conv_w", (5, 3, 3, 3), 0, rng), bias("conv_b", 5, rng),
        activation("conv", (1, 4, 3, 5), 0.05, -128),
        activation("flat", (1, 60), 0.05, -128),
        weights("head_w", (CLASSES, 60), 0, rng), bias("head_b", CLASSES, rng),
        activation("logits", (1, CLASSES), 0.2, 3),
        activation("scores", (1, CLASSES), 1 / 256, -128),
        weights("size_w", (2, 60), 0, rng),
        activation("size", (1, 2), 0.2, 3),
        WriterTensor("real", (1, 90), "float32"),
    ]  # fmt: skip


def operators() -> list[WriterOp]:
    shrink, relu = StridedSliceOptions(shrink_axis_mask=1), Activation.RELU
    return [
        WriterOp("CUMSUM", ("sound", "rest"), ("odd",)),
        WriterOp("ROUND", ("odd",), ("latent",)),
        WriterOp("SHAPE", ("odd",), ("odd_shape",), ShapeOptions()),
        WriterOp("STRIDED_SLICE", ("odd_shape", "first", "last", "by"), ("batch",), shrink),
        WriterOp("CONV_2D", ("latent", "conv_w", "conv_b"), ("conv",),
                 Conv2DOptions(padding=Padding.VALID, fused_activation_function=relu)),
        WriterOp("PACK", ("batch", "rest"), ("flat_shape",), PackOptions(2)),
        WriterOp("RESHAPE", ("conv", "flat_shape"), ("flat",), ReshapeOptions()),
        WriterOp("FULLY_CONNECTED", ("flat", "head_w", "head_b"), ("logits",),
                 FullyConnectedOptions()),
        WriterOp("SOFTMAX", ("logits",), ("scores",), SoftmaxOptions()),
        WriterOp("FULLY_CONNECTED", ("flat", "size_w"), ("size",), FullyConnectedOptions()),
        WriterOp("DEQUANTIZE", ("other",), ("real",)),
    ]  # fmt: skip


def odd_model(subgraphs: int = 2) -> bytes:
    """Two inputs and an int16 prefix of unknown operators, up to ``latent``; a convolution, a
    RESHAPE whose shape is computed of the prefix's, a head and ``scores``; beside it another head,
    ``size``, and an output in floating point; and other subgraphs, which an operator calls."""
    outputs = ["scores", "size", "real"]
    file = unpacked(write_model(tensors(), operators(), ["sound", "other"], outputs))
    for _ in range(1, subgraphs):
        file.subgraphs.append(copy.deepcopy(file.subgraphs[0]))
    return packed(file)


def plain_model() -> bytes:
    """The part of it that can be trained, as a model of its own."""
    kinds = ("CONV_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX")
    ops = [op for op in operators() if op.kind in kinds and op.outputs != ("size",)]
    used = {name for op in ops for name in (*op.inputs, *op.outputs)}
    shape = constant("flat_shape", np.array([1, 60], np.int32))
    kept = [shape if t.name == shape.name else t for t in tensors() if t.name in used]
    return write_model(kept, ops, ["latent"], ["scores"])
