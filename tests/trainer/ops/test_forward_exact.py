# SPDX-License-Identifier: Apache-2.0
"""The forward pass equals tflite-micro in every bit: options swept, and real models."""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.trainer.graph.tensor import Array, QuantParams
from mcutrain.trainer.making.options import Activation, Conv2DOptions, FullyConnectedOptions
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, write_model
from mcutrain.trainer.model import Model
from mcutrain.trainer.tflite.reader import parse
from tests.support.micro import Micro
from tests.support.random_models import MAKERS, random_model, samples
from tests.support.random_moves import NOT_IN_MICRO
from tests.tools.model_table import reference_outputs


def assert_equal_everywhere(model: Model, micro: Micro, sample: Array) -> None:
    micro.run(sample)
    for node, output in reference_outputs(model, sample).items():
        expected = micro.tensor(node.output.file_index)
        np.testing.assert_array_equal(output.ravel(), expected.ravel(), repr(node))


@pytest.mark.parametrize("kind", [kind for kind in MAKERS if kind not in NOT_IN_MICRO])
def test_reference_equals_tflite_micro_over_options(kind: str, thorough: bool) -> None:
    for seed in range(MAKERS[kind][1] if thorough else -(-MAKERS[kind][1] // 3)):
        data = random_model(kind, seed)
        model, micro = parse(data, f"{kind} {seed}"), Micro(data)
        for sample in samples(model.input.type.shape, 2, seed):
            assert_equal_everywhere(model, micro, sample)


@pytest.mark.parametrize("kind", ["FULLY_CONNECTED", "CONV_2D"])
@pytest.mark.parametrize("filters", ["one scale", "a scale each"])
def test_scales_are_multiplied_in_float64(kind: str, filters: str) -> None:
    """Biases between the rounding edges of the two products: float32 is off by one in each."""
    s_x, s_w, s_y = (float(np.float32(s)) for s in (0.0123, 0.00516, 523.0))
    narrow, wide = float(np.float32(s_x) * np.float32(s_w)), s_x * s_w
    edges = [[(k + 0.5) * s_y / product for product in (narrow, wide)] for k in range(20, 120)]
    b = np.array([np.mean(pair) for pair in edges]).round().astype(np.int32)
    assert min(abs(first - second) for first, second in edges) > 8
    count = len(b) if filters == "a scale each" else 1
    axis = 0 if count > 1 else None
    dims = (1, 1) if kind == "CONV_2D" else ()
    w = np.zeros((len(b), *dims, 1), np.int8)
    b_quant = QuantParams((float(np.float32(narrow)),) * count, 0, axis)
    tensors = [
        WriterTensor("x", (1, *dims, 1), "int8", QuantParams((s_x,), 0)),
        WriterTensor("w", w.shape, "int8", QuantParams((s_w,) * count, 0, axis), w),
        WriterTensor("b", b.shape, "int32", b_quant, b),
        WriterTensor("y", (1, *dims, len(b)), "int8", QuantParams((s_y,), 0)),
    ]
    options = Conv2DOptions() if kind == "CONV_2D" else FullyConnectedOptions()
    op = WriterOp(kind, ("x", "w", "b"), ("y",), options)
    data = write_model(tensors, [op], ["x"], ["y"])
    model, micro = parse(data, "edges"), Micro(data)
    sample = np.zeros(model.input.type.shape, np.int8)

    assert_equal_everywhere(model, micro, sample)
    assert (micro.run(sample)[0].ravel() == np.floor(b * wide / s_y + 0.5)).all()
    assert (micro.run(sample)[0].ravel() != np.floor(b * narrow / s_y + 0.5)).all()


def test_the_limit_of_relu6_is_divided_in_float32() -> None:
    """Scales whose 6 / s lies below a half in float64, and is rounded to it in float32."""
    found = 0
    for k in (3, 14, 27, 40, 50):
        at = np.float32(6 / (k + 0.5))
        for scale in (at, np.nextafter(at, np.float32(9)), np.nextafter(at, np.float32(0))):
            if 6 / float(scale) >= k + 0.5 or np.float32(6) / scale < k + 0.5:
                continue
            unit, y = QuantParams((1.0,), 0), QuantParams((float(scale),), -128)
            tensors = [
                WriterTensor("x", (1, 1), "int8", unit),
                WriterTensor("w", (1, 1), "int8", unit, np.zeros((1, 1), np.int8)),
                WriterTensor("b", (1,), "int32", unit, np.array([100000], np.int32)),
                WriterTensor("y", (1, 1), "int8", y),
            ]
            options = FullyConnectedOptions(Activation.RELU6)
            op = WriterOp("FULLY_CONNECTED", ("x", "w", "b"), ("y",), options)
            data = write_model(tensors, [op], ["x"], ["y"])
            model, micro = parse(data, "relu6"), Micro(data)
            found += 1

            assert_equal_everywhere(model, micro, np.zeros((1, 1), np.int8))
            assert model.output.limits == (-128, k + 1 - 128)
    assert found >= 5
