# SPDX-License-Identifier: Apache-2.0
"""The forward pass equals tflite-micro in every bit: options swept, and real models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tflite

from tests.native import NativeModel
from tests.random_models import MAKERS, random_model, samples
from trainer.graph import Node
from trainer.model import Model
from trainer.plan import make_plan
from trainer.tensor import Array, QuantParams, Tensor
from trainer.tflite import load, parse
from trainer.tflite_options import (
    Activation,
    Conv2DOptions,
    FullyConnectedOptions,
)
from trainer.tflite_writer import (
    WriterOp,
    WriterTensor,
    write_model,
)

runtime = pytest.importorskip(
    "tflite_micro.python.tflite_micro.runtime",
    reason="tflite-micro, the forward reference, has wheels for Linux x86-64 only",
)

MODELS = [
    "mlperf-tiny/ad01_int8", "mlperf-tiny/kws_ref_model", "mlperf-tiny/pretrainedResnet_quant",
    "mlperf-tiny/vww_96_int8", "tflite-micro/person_detect",
]  # fmt: skip


class Micro:
    """tflite-micro on one model, with every operator's output readable."""

    def __init__(self, data: bytes) -> None:
        graph = tflite.Model.GetRootAsModel(data, 0).Subgraphs(0)
        self.outputs = [graph.Operators(k).Outputs(0) for k in range(graph.OperatorsLength())]
        self.interpreter = runtime.Interpreter.from_bytes(
            data,
            intrepreter_config=runtime.InterpreterConfig.kPreserveAllTensors,
            arena_size=16 << 20,
        )

    def run(self, sample: Array) -> list[Array]:
        """The output of each operator, by its index in the file."""
        self.interpreter.set_input(sample, 0)
        self.interpreter.invoke()
        return [np.array(self.interpreter.GetTensor(t, 0)["tensor_data"]) for t in self.outputs]


def forward(model: Model, sample: Array) -> dict[Node, Array]:
    """Every node's output in the NumPy reference."""
    values: dict[Tensor, Array] = {t: t.data for t in model.graph.tensors if t.data is not None} | {
        model.input: sample
    }
    found = {}
    for node in model.graph.nodes:
        (values[node.output],) = node.op.reference(node, *(values[t] for t in node.inputs))
        found[node] = values[node.output]
    return found


def assert_equal_everywhere(model: Model, micro: Micro, sample: Array) -> None:
    expected = micro.run(sample)
    for node, output in forward(model, sample).items():
        np.testing.assert_array_equal(output.ravel(), expected[node.index].ravel(), repr(node))


@pytest.mark.parametrize("kind", MAKERS)
def test_reference_equals_tflite_micro_over_options(kind: str) -> None:
    for seed in range(MAKERS[kind][1]):
        data = random_model(kind, seed)
        model, micro = parse(data, f"{kind} {seed}"), Micro(data)
        for sample in samples(model.input.type.shape, 2, seed):
            assert_equal_everywhere(model, micro, sample)


@pytest.mark.parametrize("name", MODELS)
def test_every_operator_of_a_real_model_equals_tflite_micro(name: str, models: Path) -> None:
    path = models / f"{name}.tflite"
    model, micro = load(path), Micro(path.read_bytes())
    for sample in samples(model.input.type.shape, 1, seed=1)[1:]:
        assert_equal_everywhere(model, micro, sample)


@pytest.mark.parametrize("name", [n for n in MODELS if "ad01" not in n])
def test_logits_of_generated_c_equal_the_references(
    name: str, models: Path, tmp_path: Path
) -> None:
    model = load(models / f"{name}.tflite")
    plan = make_plan(model, "head")
    device = NativeModel(plan, tmp_path)
    for sample in samples(model.input.type.shape, 1, seed=2):
        expected = forward(model, sample)[model.graph.producer(model.logits)]

        np.testing.assert_array_equal(device.infer(sample), expected.ravel())


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
