# SPDX-License-Identifier: Apache-2.0
"""Remakes the golden files: ``python -m tests.tools.make_golden``. Their README tells more."""

from __future__ import annotations

import json

import numpy as np

from mcutrain.codegen.emit import emit_source
from mcutrain.codegen.program import lay_out
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.tensor import DType, QuantParams, Role, Tensor, TensorType, constant
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.conv2d import Conv2D
from mcutrain.trainer.ops.fully_connected import FullyConnected
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from tests.support.conformance import reference_lines
from tests.support.op_reference import op_hashes
from tests.support.paths import GOLDEN, VECTORS
from tests.support.random_models import samples
from tests.support.small_models import CLASSES, residual_model

UPDATES = ("head", "last:2", "bias", "full")
RATE = LearningRate(128, 11)


def tiny_model() -> Model:
    """A convolution and a fully connected layer: as little as trains."""
    graph = Graph()
    x = Tensor("input", TensorType((1, 3, 3, 1), DType.S8, QuantParams((0.05,), -3)), Role.INPUT)
    w = constant("conv_w", np.arange(-4, 4, dtype=np.int8).reshape(2, 2, 2, 1),
                 QuantParams((0.01, 0.02), 0, 0))  # fmt: skip
    b = constant("conv_b", np.array([100, -200], np.int32))
    conv = Conv2D(QuantParams((0.02,), -128), (1, 2, 2, 2), act_min=-128)
    (a,) = graph.add(conv, x, w, b, name="conv", index=0)
    v = constant("fc_w", np.arange(-12, 12, dtype=np.int8).reshape(3, 8), QuantParams((0.03,)))
    c = constant("fc_b", np.array([1, 2, 3], np.int32))
    dense = FullyConnected(QuantParams((0.1,), 5), (1, 3))
    (y,) = graph.add(dense, a, v, c, name="fc", index=1)
    return Model("tiny", graph, x, y, y)


def tiny_source() -> str:
    return emit_source(lay_out(make_plan(tiny_model(), PlanOptions("full"))))


def digests() -> str:
    """A line per scheme: the digest after each of 20 steps of the small residual model."""
    lines = []
    for update in UPDATES:
        plan = make_plan(parse(residual_model(), "small"), PlanOptions(update))
        reference = Interpreter(plan, seed=7)
        reference.set_learning_rate(RATE)
        found = []
        for label, sample in enumerate(samples(plan.task.input.type.shape, 17, seed=1)):
            reference.step(sample, label % CLASSES)
            found.append(f"{reference.digest():08x}")
        lines.append(f"{update:8} {' '.join(found)}")
    return "\n".join(lines) + "\n"


def vectors() -> str:
    return "".join(json.dumps(line) + "\n" for line in reference_lines())


FILES = {
    GOLDEN / "tiny.c": tiny_source,
    GOLDEN / "digests.txt": digests,
    GOLDEN / "op_hashes.txt": op_hashes,
    VECTORS / "expected.jsonl": vectors,
}

if __name__ == "__main__":
    for path, make in FILES.items():
        path.write_text(make())
