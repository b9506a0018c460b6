# SPDX-License-Identifier: Apache-2.0
"""Small models whose heads are followed by what real files have there."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import tflite

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import (
    Activation,
    Conv2DOptions,
    FullyConnectedOptions,
    PackOptions,
    Padding,
    Pool2DOptions,
    ReducerOptions,
    ReshapeOptions,
    ShapeOptions,
    SoftmaxOptions,
    SqueezeOptions,
    StridedSliceOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, write_model
from tests.support.small_models import activation, bias, residual_model, weights


def conv_head(with_bias: bool, in_options: bool, code: Activation) -> bytes:
    """CONV_2D head with an activation, RESHAPE, SOFTMAX."""
    rng = np.random.default_rng(1)
    shape = np.array([-1, 4], np.int32)
    tensors = [
        activation("x", (1, 4, 3, 5), 0.05, -3),
        weights("stem_w", (6, 4, 3, 5), 0, rng), bias("stem_b", 6, rng),
        activation("stem", (1, 1, 1, 6), 0.1, -7),
        weights("head_w", (4, 1, 1, 6), 0, rng), bias("head_b", 4, rng),
        activation("head", (1, 1, 1, 4), 0.12, -20),
        WriterTensor("shape", (2,), "int32", None, shape),
        activation("logits", (1, 4), 0.12, -20),
        activation("out", (1, 4), 1 / 256, -128),
    ]  # fmt: skip
    head = ("stem", "head_w", "head_b" if with_bias else None)
    reshape = (("head",), ReshapeOptions((1, 4))) if in_options else (("head", "shape"), None)
    ops = [
        WriterOp("CONV_2D", ("x", "stem_w", "stem_b"), ("stem",), Conv2DOptions(padding=1)),
        WriterOp("CONV_2D", head, ("head",), Conv2DOptions(fused_activation_function=code)),
        WriterOp("RESHAPE", reshape[0], ("logits",), reshape[1]),
        WriterOp("SOFTMAX", ("logits",), ("out",), SoftmaxOptions()),
    ]
    return write_model(tensors, ops, ["x"], ["out"])


def pooled_head(kind: str) -> bytes:
    """A fully convolutional network: CONV_2D head, a pool over all positions, RESHAPE, SOFTMAX."""
    rng = np.random.default_rng(4)
    out_quant = (0.07, 5) if kind == "MEAN" else (0.12, -20)
    tensors = [
        activation("x", (1, 6, 5, 3), 0.05, -3),
        weights("stem_w", (6, 3, 3, 3), 0, rng), bias("stem_b", 6, rng),
        activation("stem", (1, 6, 5, 6), 0.1, -128),
        weights("head_w", (4, 1, 1, 6), 0, rng), bias("head_b", 4, rng),
        activation("head", (1, 6, 5, 4), 0.12, -20),
        WriterTensor("axes", (2,), "int32", None, np.array([1, 2], np.int32)),
        activation("pool", (1, 1, 1, 4), *out_quant),
        WriterTensor("shape", (2,), "int32", None, np.array([1, 4], np.int32)),
        activation("logits", (1, 4), *out_quant),
        activation("out", (1, 4), 1 / 256, -128),
    ]  # fmt: skip
    pool = Pool2DOptions(Padding.VALID, 6, 5, 6, 5)
    is_mean = kind == "MEAN"
    inputs, options = (("head", "axes"), ReducerOptions(True)) if is_mean else (("head",), pool)
    ops = [
        WriterOp("CONV_2D", ("x", "stem_w", "stem_b"), ("stem",), Conv2DOptions()),
        WriterOp("CONV_2D", ("stem", "head_w", "head_b"), ("head",), Conv2DOptions()),
        WriterOp(kind, inputs, ("pool",), options),
        WriterOp("RESHAPE", ("pool", "shape"), ("logits",), ReshapeOptions((1, 4))),
        WriterOp("SOFTMAX", ("logits",), ("out",), SoftmaxOptions()),
    ]
    return write_model(tensors, ops, ["x"], ["out"])


def keras_tail(tail: str) -> bytes:
    """A CONV_2D head behind which the shape is squeezed or computed; the output is uint8."""
    rng = np.random.default_rng(3)

    def integers(name: str, *values: int) -> WriterTensor:
        data = np.array(values, np.int32)
        return WriterTensor(name, data.shape, "int32", None, data)

    batch, classes = (
        WriterTensor(name, (), "int32", None, data)
        for name, data in (("batch", None), ("classes", np.array(4, np.int32)))
    )
    quant = QuantParams((float(np.float32(0.12)),), 108)
    tensors = [
        activation("x", (1, 1, 1, 6), 0.1, -7),
        weights("w", (4, 1, 1, 6), 0, rng), bias("b", 4, rng),
        activation("head", (1, 1, 1, 4), 0.12, -20),
        WriterTensor("dims", (4,), "int32"), integers("zero", 0), integers("one", 1), batch,
        classes, WriterTensor("shape", (2,), "int32"),
        activation("logits", (1, 4), 0.12, -20), WriterTensor("y", (1, 4), "uint8", quant),
    ]  # fmt: skip
    head = [WriterOp("CONV_2D", ("x", "w", "b"), ("head",), Conv2DOptions())]
    if tail == "SQUEEZE":
        head.append(WriterOp("SQUEEZE", ("head",), ("logits",), SqueezeOptions((1, 2))))
    else:
        head += [
            WriterOp("SHAPE", ("head",), ("dims",), ShapeOptions()),
            WriterOp("STRIDED_SLICE", ("dims", "zero", "one", "one"), ("batch",),
                     StridedSliceOptions(shrink_axis_mask=1)),
            WriterOp("PACK", ("batch", "classes"), ("shape",), PackOptions(2)),
            WriterOp("RESHAPE", ("head", "shape"), ("logits",)),
        ]  # fmt: skip
    return write_model(tensors, [*head, WriterOp("QUANTIZE", ("logits",), ("y",))], ["x"], ["y"])


def float_edges() -> bytes:
    """QUANTIZE, a dense head without bias input, SOFTMAX, DEQUANTIZE."""
    rng = np.random.default_rng(2)
    tensors = [
        WriterTensor("x", (1, 7), "float32"), activation("q", (1, 7), 0.05, -3),
        weights("w", (4, 7), 0, rng), activation("logits", (1, 4), 0.1, 5),
        activation("p", (1, 4), 1 / 256, -128), WriterTensor("y", (1, 4), "float32"),
    ]  # fmt: skip
    ops = [
        WriterOp("QUANTIZE", ("x",), ("q",)),
        WriterOp("FULLY_CONNECTED", ("q", "w"), ("logits",), FullyConnectedOptions()),
        WriterOp("SOFTMAX", ("logits",), ("p",), SoftmaxOptions()),
        WriterOp("DEQUANTIZE", ("p",), ("y",)),
    ]
    return write_model(tensors, ops, ["x"], ["y"])


def described_model(schema: Any) -> bytes:
    """The small model with a description, metadata, a signature and shape signatures."""
    import flatbuffers

    model = schema.ModelT.InitFromPackedBuf(residual_model(), 0)
    model.description = "made by a test"
    entry, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data = list(b"1.14.0")
    entry.name, entry.buffer = "min_runtime_version", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [entry]
    signature, source, result = schema.SignatureDefT(), schema.TensorMapT(), schema.TensorMapT()
    graph = model.subgraphs[0]
    source.name, source.tensorIndex = "image", graph.inputs[0]
    result.name, result.tensorIndex = "classes", graph.outputs[0]
    signature.signatureKey, signature.inputs, signature.outputs = "serve", [source], [result]
    model.signatureDefs = [signature]
    for tensor in graph.tensors:
        if len(tensor.shape) > 1:
            tensor.shapeSignature = [-1, *tensor.shape[1:]]
        tensor.hasRank = True
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def share_tensor(data: bytes, operator: int, position: int, tensor: int) -> bytes:
    """The file whose operator reads ``tensor`` at an input."""
    tab = tflite.Model.GetRootAsModel(data, 0).Subgraphs(0).Operators(operator)._tab
    changed = bytearray(data)
    struct.pack_into("<i", changed, tab.Vector(tab.Offset(6)) + 4 * position, tensor)
    return bytes(changed)
