# SPDX-License-Identifier: Apache-2.0
"""Conversions at a model's edges, and shapes that are computed: folded when a file is read."""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.graph.tensor import Array, QuantParams
from mcutrain.trainer.making.options import (
    Conv2DOptions,
    DequantizeOptions,
    FullyConnectedOptions,
    PackOptions,
    QuantizeOptions,
    ReshapeOptions,
    ShapeOptions,
    StridedSliceOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, constant, write_model
from mcutrain.trainer.model import Model
from mcutrain.trainer.tflite.folding import FOLDS
from mcutrain.trainer.tflite.reader import parse
from tests.support.micro import Micro
from tests.support.random_models import samples
from tests.tools.model_table import reference_outputs

X, A, Y = QuantParams((0.0625,), 5), QuantParams((0.03125,), -9), QuantParams((0.25,), 11)
IMAGE = (1, 3, 4, 2)


def flatten_model(
    source: str = "float32", sink: str = "float32", slice_options: StridedSliceOptions | None = None
) -> bytes:
    """QUANTIZE, convolution, a Keras Flatten of unknown batch, dense, DEQUANTIZE."""
    rng = np.random.default_rng(0)
    ints = {"begin": [0], "end": [1], "stride": [1]}
    in_quant = None if source == "float32" else QuantParams(X.scales, X.zero_point + 128)
    out_quant = None if sink == "float32" else QuantParams(Y.scales, Y.zero_point + 128)
    tensors = [
        WriterTensor("source", IMAGE, source, in_quant),
        WriterTensor("x", IMAGE, "int8", X),
        constant("w", rng.integers(-127, 128, (3, 1, 1, 2)).astype(np.int8), QuantParams((0.01,))),
        WriterTensor("a", (1, 3, 4, 3), "int8", A),
        WriterTensor("shape", (4,), "int32"),
        *(constant(name, np.array(v, np.int32)) for name, v in ints.items()),
        WriterTensor("batch", (), "int32"),
        constant("rest", np.array(36, np.int32)),
        WriterTensor("packed", (2,), "int32"),
        WriterTensor("flat", (1, 36), "int8", A),
        constant("v", rng.integers(-127, 128, (5, 36)).astype(np.int8), QuantParams((0.01,))),
        WriterTensor("y", (1, 5), "int8", Y),
        WriterTensor("sink", (1, 5), sink, out_quant),
    ]
    slice_options = slice_options or StridedSliceOptions(shrink_axis_mask=1)
    last = WriterOp("DEQUANTIZE", ("y",), ("sink",), DequantizeOptions())
    if sink != "float32":
        last = WriterOp("QUANTIZE", ("y",), ("sink",), QuantizeOptions())
    ops = [
        WriterOp("QUANTIZE", ("source",), ("x",), QuantizeOptions()),
        WriterOp("CONV_2D", ("x", "w", None), ("a",), Conv2DOptions()),
        WriterOp("SHAPE", ("a",), ("shape",), ShapeOptions()),
        WriterOp("STRIDED_SLICE", ("shape", "begin", "end", "stride"), ("batch",), slice_options),
        WriterOp("PACK", ("batch", "rest"), ("packed",), PackOptions(2, 0)),
        WriterOp("RESHAPE", ("a", "packed"), ("flat",), ReshapeOptions()),
        WriterOp("FULLY_CONNECTED", ("flat", "v"), ("y",), FullyConnectedOptions()),
        last,
    ]
    return write_model(tensors, ops, ["source"], ["sink"])


def as_source(model: Model, sample: Array, source: str) -> Array:
    """What the file's own input is where the int8 one is ``sample``."""
    if source == "uint8":
        return (sample.astype(np.int16) + 128).astype(np.uint8)
    quant = model.input.type
    return (quant.scale * (sample.astype(np.float32) - quant.zero_point)).astype(np.float32)


@pytest.mark.parametrize("source", ["float32", "uint8"])
@pytest.mark.parametrize("sink", ["float32", "uint8"])
def test_edges_and_shapes_fold_to_the_bits_of_tflite_micro(source: str, sink: str) -> None:
    data = flatten_model(source, sink)
    model, micro = parse(data, "flatten"), Micro(data)

    assert [node.index for node in model.graph.nodes] == [1, 5, 6]
    assert (model.input.label, model.logits.label) == ("x", "y")
    for sample in samples(IMAGE, 3, 1):
        micro.run(as_source(model, sample, source))
        np.testing.assert_array_equal(micro.tensor(model.input.file_index), sample)
        for node, output in reference_outputs(model, sample).items():
            expected = micro.tensor(node.output.file_index)
            np.testing.assert_array_equal(output.ravel(), expected.ravel())


def test_a_slice_that_keeps_its_axis_gives_a_vector() -> None:
    """PACK then gets a vector and a scalar, which have no common shape."""
    with pytest.raises(UnsupportedOpError, match="integers of one shape"):
        parse(flatten_model(slice_options=StridedSliceOptions()), "flatten")


def test_floats_inside_are_refused() -> None:
    """A QUANTIZE of the input that another operator reads too is no edge."""
    tensors = [WriterTensor("x", (1, 4), "float32"), WriterTensor("q", (1, 4), "int8", X),
               WriterTensor("y", (1, 4), "float32")]  # fmt: skip
    ops = [
        WriterOp("QUANTIZE", ("x",), ("q",), QuantizeOptions()),
        WriterOp("RELU", ("x",), ("y",)),
    ]
    with pytest.raises(ModelError, match="FLOAT32"):
        parse(write_model(tensors, ops, ["x"], ["y"]), "floats")


def test_activations_of_16_bits_are_refused_in_words() -> None:
    quant = QuantParams((0.001,), 0)
    tensors = [WriterTensor("x", (1, 4), "int16", quant), WriterTensor("y", (1, 4), "int16", quant)]
    ops = [WriterOp("RELU", ("x",), ("y",))]
    with pytest.raises(UnsupportedOpError, match="input is int16; int8 activations are supported"):
        parse(write_model(tensors, ops, ["x"], ["y"]), "wide")


def test_what_folds_is_named_among_what_is_supported() -> None:
    tensors = [WriterTensor(n, (1, 4), "int8", X) for n in ("x", "y")]
    data = write_model(tensors, [WriterOp("COS", ("x",), ("y",))], ["x"], ["y"])
    with pytest.raises(UnsupportedOpError) as refused:
        parse(data, "cos")
    assert all(kind in str(refused.value) for kind in FOLDS)
