# SPDX-License-Identifier: Apache-2.0
"""Models that the writer writes run in tflite-micro, and compute what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import tflite

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making import float_layers as fo
from mcutrain.trainer.making.options import (
    Activation,
    AddOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    FullyConnectedOptions,
    Padding,
    Pool2DOptions,
    ReshapeOptions,
    SoftmaxOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, constant, write_model


@pytest.fixture
def runtime() -> Any:
    return pytest.importorskip("tflite_micro.python.tflite_micro.runtime")


X = QuantParams((0.05,), 7)
Y = QuantParams((0.06,), -20)
RELU, RELU6 = Activation.RELU, Activation.RELU6


def random_s8(*shape: int) -> np.ndarray:
    return np.random.default_rng(list(shape)).integers(-128, 128, shape).astype(np.int8)


def real(q: np.ndarray, quant: QuantParams) -> np.ndarray:
    scales = np.array(quant.scales)
    if quant.axis is not None:
        scales = scales.reshape([-1 if k == quant.axis else 1 for k in range(q.ndim)])
    return (q.astype(np.float64) - quant.zero_point) * scales


def scales(channels: int, axis: int) -> QuantParams:
    return QuantParams(
        tuple(np.linspace(0.004, 0.02, channels, dtype=np.float32).tolist()), 0, axis
    )


@dataclass(frozen=True)
class Case:
    """One operator over input ``x``; ``meaning`` maps real operands to the real output."""

    name: str
    op: str
    options: object
    x: tuple[int, ...]
    constants: tuple[WriterTensor, ...]
    out: tuple[int, ...]
    meaning: Callable[..., np.ndarray]
    out_quant: QuantParams = Y
    limits: tuple[float, float] = (-np.inf, np.inf)


def conv_weights(quant: QuantParams, *shape: int) -> WriterTensor:
    return constant("w", random_s8(*shape), quant)


def bias(weight: QuantParams, channels: int) -> WriterTensor:
    """Int32, at input scale times weight scale."""
    values = np.random.default_rng(channels).integers(-3000, 3000, channels).astype(np.int32)
    axis = None if weight.axis is None else 0
    return constant("b", values, QuantParams(tuple(0.05 * s for s in weight.scales), 0, axis))


def weighted(kind: Callable[..., Any], *window: Any) -> Callable[..., np.ndarray]:
    def meaning(x: np.ndarray, w: np.ndarray, b: np.ndarray | float = 0.0) -> np.ndarray:
        return kind(*window).forward((x,), w, b)

    return meaning


PER_TENSOR = QuantParams((0.01,), 0)
SAME_5x4 = fo.same_window((5, 4), (3, 2), (2, 1))
VALID_5x4 = fo.valid_window((5, 4), (2, 2), (1, 2))
CASES = [
    Case(
        "conv same stride 2x1 per channel relu6",
        "CONV_2D",
        Conv2DOptions(Padding.SAME, 2, 1, RELU6),
        (1, 5, 4, 3),
        (conv_weights(scales(4, 0), 4, 3, 2, 3), bias(scales(4, 0), 4)),
        (1, 3, 4, 4),
        weighted(fo.Conv2D, SAME_5x4),
        QuantParams((0.03,), -128),
        (0, 6),
    ),
    Case(
        "conv valid without bias",
        "CONV_2D",
        Conv2DOptions(Padding.VALID, 1, 2),
        (1, 5, 4, 3),
        (conv_weights(scales(2, 0), 2, 2, 2, 3),),
        (1, 4, 2, 2),
        weighted(fo.Conv2D, VALID_5x4),
    ),
    Case(
        "depthwise multiplier 2 relu",
        "DEPTHWISE_CONV_2D",
        DepthwiseConv2DOptions(Padding.SAME, 2, 1, 2, RELU),
        (1, 5, 4, 3),
        (conv_weights(scales(6, 3), 1, 3, 2, 6), bias(scales(6, 3), 6)),
        (1, 3, 4, 6),
        weighted(fo.DepthwiseConv2D, SAME_5x4),
        limits=(0, np.inf),
    ),
    Case(
        "fully connected per tensor",
        "FULLY_CONNECTED",
        FullyConnectedOptions(RELU),
        (1, 9),
        (conv_weights(PER_TENSOR, 5, 9), bias(PER_TENSOR, 5)),
        (1, 5),
        weighted(fo.FullyConnected),
        limits=(0, np.inf),
    ),
    Case(
        "fully connected per channel without bias, of three rows",
        "FULLY_CONNECTED",
        FullyConnectedOptions(keep_num_dims=True),
        (1, 3, 9),
        (conv_weights(scales(5, 0), 5, 9),),
        (1, 3, 5),
        lambda x, w: x @ w.T,
    ),
    Case(
        "average pool same",
        "AVERAGE_POOL_2D",
        Pool2DOptions(Padding.SAME, 2, 1, 3, 2),
        (1, 5, 4, 3),
        (),
        (1, 3, 4, 3),
        lambda x: fo.AveragePool2D(SAME_5x4).forward((x,)),
        X,
    ),
    Case(
        "add a constant relu6",
        "ADD",
        AddOptions(RELU6),
        (1, 5, 4, 3),
        (constant("other", random_s8(1, 5, 4, 3), QuantParams((0.021,), 3)),),
        (1, 5, 4, 3),
        lambda x, other: x + other,
        limits=(0, 6),
    ),
    Case(
        "reshape",
        "RESHAPE",
        ReshapeOptions((1, 60)),
        (1, 5, 4, 3),
        (constant("shape", np.array([1, 60], np.int32)),),
        (1, 60),
        lambda x, shape: x.reshape(1, 60),
        X,
    ),
    Case(
        "softmax",
        "SOFTMAX",
        SoftmaxOptions(),
        (1, 7),
        (),
        (1, 7),
        lambda x: np.exp(x) / np.exp(x).sum(),
        QuantParams((1 / 256,), -128),
    ),
]


def model_of(case: Case) -> bytes:
    x = WriterTensor("x", case.x, quant=X)
    out = WriterTensor("out", case.out, quant=case.out_quant)
    operands = ("x", *(tensor.name for tensor in case.constants))
    op = WriterOp(case.op, operands, ("out",), case.options)
    return write_model([x, *case.constants, out], [op], ["x"], ["out"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_single_operator_models_compute_what_they_say(case: Case, runtime: Any) -> None:
    x = random_s8(*case.x)
    operands = [t.data if t.quant is None else real(t.data, t.quant) for t in case.constants]
    wanted = np.clip(case.meaning(real(x, X), *operands), *case.limits)
    scale, zero = case.out_quant.scale, case.out_quant.zero_point
    wanted = np.clip(wanted, (-128 - zero) * scale, (127 - zero) * scale)

    interpreter = runtime.Interpreter.from_bytes(model_of(case))
    interpreter.set_input(x, 0)
    interpreter.invoke()
    out = interpreter.get_output(0)

    assert out.shape == case.out
    assert out.std() > 0
    # Rounding is half a quantum; two roundings and fixed-point factors add less than another half.
    assert np.abs(real(out, case.out_quant) - wanted).max() <= scale


def test_a_chain_of_operators_with_an_absent_bias_runs(runtime: Any) -> None:
    w = constant("w", np.eye(3, dtype=np.int8) * 64, QuantParams((1 / 64,), 0))
    unit = QuantParams((1.0,), 0)
    tensors = [WriterTensor(name, (1, 3), quant=unit) for name in ("x", "h", "y")]
    ops = [
        WriterOp("FULLY_CONNECTED", ("x", "w", None), ("h",), FullyConnectedOptions()),
        WriterOp("ADD", ("h", "x"), ("y",), AddOptions()),
    ]
    interpreter = runtime.Interpreter.from_bytes(write_model([*tensors, w], ops, ["x"], ["y"]))

    interpreter.set_input(np.array([[1, -2, 50]], np.int8), 0)
    interpreter.invoke()

    assert interpreter.get_output(0).tolist() == [[2, -4, 100]]


def test_operators_without_an_options_class_and_float_tensors_can_be_written(runtime: Any) -> None:
    tensors = [WriterTensor(name, (1, 4), "float32") for name in ("x", "y")]
    model = write_model(tensors, [WriterOp("CEIL", ("x",), ("y",))], ["x"], ["y"])
    interpreter = runtime.Interpreter.from_bytes(model)

    interpreter.set_input(np.array([[-1.5, 2, -0.25, 0]], np.float32), 0)
    interpreter.invoke()

    assert interpreter.get_output(0).tolist() == [[-1, 2, 0, 0]]


def test_the_file_follows_the_schema() -> None:
    data = model_of(CASES[0])
    model = tflite.Model.GetRootAs(data, 0)
    code = model.OperatorCodes(0)
    address = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
    offsets = [
        model.Buffers(k).DataAsNumpy().__array_interface__["data"][0] - address
        for k in range(1, model.BuffersLength())
    ]

    assert data[4:8] == b"TFL3"
    assert (model.Version(), model.Description()) == (3, b"mcutrain")
    assert (code.BuiltinCode(), code.DeprecatedBuiltinCode(), code.Version()) == (3, 3, 3)
    assert model.Buffers(0).DataLength() == 0
    assert all(offset % 16 == 0 for offset in offsets)


@pytest.mark.parametrize(
    ("case", "version"),
    list(zip(CASES, (3, 3, 3, 4, 12, 2, 2, 1, 2), strict=True)),
    ids=[c.name for c in CASES],
)
def test_operator_versions_are_those_of_tflite(case: Case, version: int) -> None:
    assert tflite.Model.GetRootAs(model_of(case), 0).OperatorCodes(0).Version() == version


def test_the_same_input_gives_the_same_bytes() -> None:
    assert model_of(CASES[0]) == model_of(CASES[0])
