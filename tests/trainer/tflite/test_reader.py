# SPDX-License-Identifier: Apache-2.0
"""The importer: what it reads, what it refuses, and how it says so."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import (
    Activation,
    AddOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    FullyConnectedOptions,
    Padding,
    Pool2DOptions,
    SoftmaxOptions,
)
from mcutrain.trainer.making.writer import WriterOp
from mcutrain.trainer.ops.conv2d import Conv2D
from mcutrain.trainer.ops.softmax import Softmax
from mcutrain.trainer.tflite.reader import load, parse
from tests.support.file_parts import Parts, parts
from tests.support.small_models import residual_model


def test_reads_what_the_writer_wrote() -> None:
    model = parse(residual_model(), "Small net-2")

    assert model.name == "small_net_2"
    assert [type(n.op).__name__ for n in model.graph.nodes] == [
        "Conv2D", "DepthwiseConv2D", "Conv2D", "Add", "AveragePool2D", "Reshape",
        "FullyConnected", "Softmax",
    ]  # fmt: skip
    assert [n.index for n in model.graph.nodes] == list(range(8))
    stem = model.graph.nodes[0]
    assert isinstance(stem.op, Conv2D)
    assert (stem.op.stride, stem.op.padding) == ((2, 2), (1, 1))
    assert stem.output.label == "stem"
    assert stem.output.limits == (-128, 127)  # RELU at zero point -128
    assert model.graph.nodes[1].output.limits == (-128, 127)  # RELU6 at 6/255
    assert model.logits.label == "logits"
    assert model.output.label == "out"
    assert isinstance(model.graph.nodes[-1].op, Softmax)


def test_a_fused_activation_sets_limits_as_tflite_rounds_them() -> None:
    for activation, limits in (
        (Activation.NONE, (-128, 127)),
        (Activation.RELU, (3, 127)),
        (Activation.RELU6, (3, 51)),  # 3 + round(6 / 0.125)
    ):
        spec = parts()
        spec.op(0, options=Conv2DOptions(fused_activation_function=activation))
        spec.op(1, options=FullyConnectedOptions(activation))
        model = parse(spec.write(), "limits")

        assert [n.output.limits for n in model.graph.nodes] == [limits, limits]


# The message must hold every one of the words.
REFUSED: dict[str, tuple[type[ModelError], tuple[str, ...], Callable[[Parts], None]]] = {}


def refuses(*words: str, error: type[ModelError] = ModelError) -> Any:
    def register(spoil: Callable[[Parts], None]) -> Callable[[Parts], None]:
        REFUSED[spoil.__name__] = (error, words, spoil)
        return spoil

    return register


def unsupported(*words: str) -> Any:
    return refuses(*words, error=UnsupportedOpError)


@unsupported("operator 1", "EXP", "'y'", "take ELU, or another function")
def an_unknown_operator(p: Parts) -> None:
    p.op(1, kind="EXP", options=None)


@unsupported("operator 1", "CUSTOM")
def a_custom_operator(p: Parts) -> None:
    p.op(1, kind="CUSTOM", options=None)


@unsupported("'x'", "FLOAT32", "full-integer quantisation")
def a_float_model(p: Parts) -> None:
    p.change("x", dtype="float32", quant=None)


@unsupported("operator 0", "'a'", "int16")
def int16_activations(p: Parts) -> None:
    p.change("a", dtype="int16")


@unsupported("input", "uint8")
def a_uint8_input(p: Parts) -> None:
    p.change("x", dtype="uint8")


@unsupported("operator 0", "'w'", "not symmetric int8")
def uint8_weights(p: Parts) -> None:
    p.change("w", dtype="uint8", data=p.tensors["w"].data.view(np.uint8))


@unsupported("input", "without a scale")
def an_input_without_a_scale(p: Parts) -> None:
    p.change("x", quant=None)


@unsupported("operator 0", "'w'", "not symmetric int8")
def weights_with_a_zero_point(p: Parts) -> None:
    p.quantise("w", (0.01,) * 3, 1, 0)


@refuses("'a'", "unusable scales")
def a_scale_of_zero(p: Parts) -> None:
    p.quantise("a", (0.0,))


@refuses("'a'", "unusable scales")
def a_negative_scale(p: Parts) -> None:
    p.quantise("a", (-0.5,))


@refuses("'x'", "unusable scales")
def a_scale_of_nan(p: Parts) -> None:
    p.quantise("x", (math.nan,))


@refuses("'w'", "unusable scales")
def an_infinite_scale(p: Parts) -> None:
    p.quantise("w", (0.01, math.inf, 0.01), 0, 0)


@refuses("'a'", "unusable scales")
def a_subnormal_scale(p: Parts) -> None:
    p.quantise("a", (1e-40,))


@refuses("operator 0", "no single scale and int8 zero point")
def a_zero_point_beyond_int8(p: Parts) -> None:
    p.quantise("a", (0.125,), 300)


@refuses("operator 0", "no single scale")
def an_activation_with_many_scales(p: Parts) -> None:
    p.quantise("a", (0.125,) * 3, 0, 3)


@refuses("'w'", "2 scales", "axis 0")
def too_few_scales(p: Parts) -> None:
    p.quantise("w", (0.01, 0.01), 0, 0)


@refuses("'w'", "axis 7")
def scales_along_an_axis_that_is_not_there(p: Parts) -> None:
    p.quantise("w", (0.01,) * 3, 0, 7)


@unsupported("operator 0", "axis 1")
def scales_along_another_axis(p: Parts) -> None:
    p.quantise("w", (0.01,) * 3, 0, 1)


@refuses("operator 0", "factor")
def a_factor_beyond_any_multiplier(p: Parts) -> None:
    p.quantise("a", (1e-20,))


@refuses("'w'", "54 bytes", "has 0")
def weights_without_data(p: Parts) -> None:
    p.change("w", data=None)


@unsupported("operator 0", "'b'", "int32 of 3 channels")
def a_bias_of_another_size(p: Parts) -> None:
    p.change("b", shape=(4,), data=np.arange(4, dtype=np.int32))


@unsupported("operator 0", "'b'", "int32 of 3 channels")
def a_bias_of_int8(p: Parts) -> None:
    p.change("b", dtype="int8", data=np.arange(3, dtype=np.int8))


@refuses("2 inputs", "1 outputs")
def two_inputs(p: Parts) -> None:
    p.inputs = ["x", "a"]


@refuses("1 inputs", "2 outputs")
def two_outputs(p: Parts) -> None:
    p.outputs = ["y", "a"]


@refuses("batch is 2")
def a_batch_of_two(p: Parts) -> None:
    p.change("x", shape=(2, 4, 4, 2))


@unsupported("operator 0", "activation TANH", "RELU6")
def an_unknown_activation(p: Parts) -> None:
    p.op(0, options=Conv2DOptions(fused_activation_function=Activation.TANH))


@unsupported("operator 0", "dilated")
def dilation(p: Parts) -> None:
    p.op(0, options=Conv2DOptions(dilation_h_factor=2))


@refuses("operator 0", "padding 7")
def unknown_padding(p: Parts) -> None:
    p.op(0, options=Conv2DOptions(padding=7))  # type: ignore[arg-type]


@refuses("operator 0", "strides (0, 1)")
def a_stride_of_zero(p: Parts) -> None:
    p.op(0, options=Conv2DOptions(stride_h=0))


@refuses("operator 0", "declared as", "(1, 4, 4, 3)", "computes", "(1, 2, 4, 3)")
def a_declared_shape_that_is_not_computed(p: Parts) -> None:
    p.op(0, options=Conv2DOptions(stride_h=2))


@refuses("operator 0", "exceeds")
def a_valid_kernel_greater_than_its_input(p: Parts) -> None:
    p.op(0, options=Conv2DOptions(padding=Padding.VALID))
    p.change("x", shape=(1, 2, 4, 2))


@refuses("operator 0", "channels")
def weights_of_other_channels(p: Parts) -> None:
    p.change("x", shape=(1, 4, 4, 3))


@refuses("operator 1", "do not give")
def more_rows_than_declared(p: Parts) -> None:
    p.change("v", shape=(5, 24), data=p.tensors["v"].data[:, :24])


@refuses("operator 0", "no option")
def no_options(p: Parts) -> None:
    p.op(0, options=None)


@refuses("operator 0", "no option DilationHFactor")
def options_of_another_operator(p: Parts) -> None:
    p.op(0, options=AddOptions())


@unsupported("operator 0", "input 0")
def a_reference_forward(p: Parts) -> None:
    p.ops.reverse()


@unsupported("operator 0", "input 0", "written before")
def a_cycle(p: Parts) -> None:
    p.op(0, inputs=("a", "w", "b"))


@refuses("operator 1", "already there")
def a_tensor_written_twice(p: Parts) -> None:
    p.op(1, kind="ADD", inputs=("a", "a"), outputs=("a",), options=AddOptions())
    p.outputs = ["a"]


@refuses("operator 0", "already there")
def an_operator_that_writes_the_input(p: Parts) -> None:
    p.op(0, outputs=("x",))


@refuses("operator 0", "not one output")
def an_operator_with_two_outputs(p: Parts) -> None:
    p.op(0, outputs=("a", "y"))


@refuses("no operator writes the output")
def no_operators(p: Parts) -> None:
    p.ops.clear()


@refuses("no layer with weights")
def nothing_that_could_learn(p: Parts) -> None:
    p.ops[:] = [WriterOp("SOFTMAX", ("x",), ("y",), SoftmaxOptions())]
    p.change("y", shape=(1, 4, 4, 2), quant=QuantParams((1 / 256,), -128))


@refuses("no layer with weights")
def no_weights_before_the_logits(p: Parts) -> None:
    p.ops[1] = WriterOp("SOFTMAX", ("x",), ("y",), SoftmaxOptions())
    p.change("y", shape=(1, 4, 4, 2), quant=QuantParams((1 / 256,), -128))


@refuses("operator 1", "softmax")
def a_softmax_of_a_beta_of_nan(p: Parts) -> None:
    p.op(1, kind="SOFTMAX", inputs=("a",), options=SoftmaxOptions(math.nan))
    p.change("y", shape=(1, 4, 4, 3), quant=QuantParams((1 / 256,), -128))


@refuses("operator 1", "declared as", "zero point 4")
def a_softmax_with_another_output_type(p: Parts) -> None:
    p.op(1, kind="SOFTMAX", inputs=("a",), options=SoftmaxOptions())
    p.change("y", shape=(1, 4, 4, 3), quant=QuantParams((1 / 256,), 4))


@unsupported("operator 1", "up to 32x4096")
def a_vast_pool(p: Parts) -> None:
    p.op(1, kind="AVERAGE_POOL_2D", inputs=("a",),
         options=Pool2DOptions(Padding.SAME, 1, 1, 3, 2**31 - 1))  # fmt: skip
    p.change("y", shape=(1, 4, 4, 3))


@refuses("operator 1", "declared as", "scale 0.25")
def a_pool_that_changes_the_scale(p: Parts) -> None:
    p.op(1, kind="AVERAGE_POOL_2D", inputs=("a",), options=Pool2DOptions(Padding.SAME))
    p.change("y", shape=(1, 4, 4, 3), quant=QuantParams((0.25,), 3))


@refuses("operator 1", "shapes")
def an_add_of_two_shapes(p: Parts) -> None:
    p.op(1, kind="ADD", inputs=("a", "x"), options=AddOptions())


@refuses("operator 1", "multiple of 3 channels")
def a_depthwise_of_no_whole_multiplier(p: Parts) -> None:
    data = np.ones((1, 1, 1, 5), np.int8)
    p.change("v", shape=data.shape, data=data, quant=QuantParams((0.01,)))
    p.op(1, kind="DEPTHWISE_CONV_2D", options=DepthwiseConv2DOptions())


@refuses("'x'", "shape ()")
def a_scalar_input(p: Parts) -> None:
    p.change("x", shape=())


@refuses("'a'", "shape (1, 0, 4, 3)")
def an_empty_tensor(p: Parts) -> None:
    p.change("a", shape=(1, 0, 4, 3))


@refuses("'a'", "shape (1, 65536, 65536, 3)")
def a_vast_tensor(p: Parts) -> None:
    p.change("a", shape=(1, 65536, 65536, 3))


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    error, words, spoil = REFUSED[name]
    spec = parts()
    parse(spec.write(), "sound")  # as it is, it can be read
    spoil(spec)
    with pytest.raises(ModelError) as caught:
        parse(spec.write(), "spoilt", "spoilt.tflite")

    message = str(caught.value)
    assert type(caught.value) is error
    assert all(word in message for word in words), message
    assert message.startswith("spoilt.tflite"), message
    assert "\n" not in message


@pytest.mark.parametrize("data", [b"", b"TFL3", b"PK" * 40, bytes(4) + b"TFL3" + bytes(30)])
def test_refuses_what_is_no_tflite_file(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.tflite"):
        load(path)


def test_names_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read model .*gone\.tflite: No such file"):
        load(tmp_path / "gone.tflite")
    with pytest.raises(ModelError, match="cannot read model"):
        load(tmp_path)
