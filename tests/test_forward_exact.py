# SPDX-License-Identifier: Apache-2.0
"""The forward pass equals tflite-micro in every bit: options swept, and real models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tflite

from tests.native import NativeModel
from tests.random_models import random_model, samples
from trainer.graph import Node
from trainer.model import Model
from trainer.plan import make_plan
from trainer.tensor import Array, QuantParams, Tensor
from trainer.tflite import load, parse
from trainer.tflite_writer import FullyConnectedOptions, WriterOp, WriterTensor, write_model

runtime = pytest.importorskip(
    "tflite_micro.python.tflite_micro.runtime",
    reason="tflite-micro, the forward reference, has wheels for Linux x86-64 only",
)

KINDS = {
    "CONV_2D": 120, "DEPTHWISE_CONV_2D": 100, "FULLY_CONNECTED": 80, "AVERAGE_POOL_2D": 60,
    "ADD": 60, "SOFTMAX": 40, "RESHAPE": 5,
}  # fmt: skip
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


@pytest.mark.parametrize("kind", KINDS)
def test_reference_equals_tflite_micro_over_options(kind: str) -> None:
    for seed in range(KINDS[kind]):
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


def test_a_fully_connected_layer_of_one_scale_multiplies_its_scales_in_float32() -> None:
    """Biases between the rounding edges of the two products: float64 is off by one in each."""
    s_x, s_w, s_y = (float(np.float32(s)) for s in (0.0123, 0.00516, 523.0))
    narrow, wide = float(np.float32(s_x) * np.float32(s_w)), s_x * s_w
    edges = [[(k + 0.5) * s_y / product for product in (narrow, wide)] for k in range(20, 120)]
    b = np.array([np.mean(pair) for pair in edges]).round().astype(np.int32)
    assert min(abs(first - second) for first, second in edges) > 8
    w = np.zeros((len(b), 1), np.int8)
    tensors = [
        WriterTensor("x", (1, 1), "int8", QuantParams((s_x,), 0)),
        WriterTensor("w", w.shape, "int8", QuantParams((s_w,), 0), w),
        WriterTensor("b", b.shape, "int32", QuantParams((float(np.float32(narrow)),), 0), b),
        WriterTensor("y", (1, len(b)), "int8", QuantParams((s_y,), 0)),
    ]
    op = WriterOp("FULLY_CONNECTED", ("x", "w", "b"), ("y",), FullyConnectedOptions())
    data = write_model(tensors, [op], ["x"], ["y"])
    found = Micro(data).run(np.zeros((1, 1), np.int8))[0].ravel().astype(int)
    in_float64 = np.floor(b * wide / s_y + 0.5)

    assert_equal_everywhere(parse(data, "edges"), Micro(data), np.zeros((1, 1), np.int8))
    assert (found != in_float64).all()
