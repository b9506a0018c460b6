# SPDX-License-Identifier: Apache-2.0
"""tflite-micro, the forward reference of the tests; it has wheels for Linux x86-64 only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tflite

from mcutrain.trainer.graph.tensor import Array

RESOURCE = tflite.TensorType.RESOURCE
NOTHING = np.zeros(0, np.int8)  # of an operator without an output of values

runtime = pytest.importorskip(
    "tflite_micro.python.tflite_micro.runtime",
    reason="tflite-micro, the forward reference, has wheels for Linux x86-64 only",
)


def output_of(graph: Any, operator: int) -> int | None:
    """The first output of an operator; None if it is no tensor of values."""
    found = graph.Operators(operator)
    if not found.OutputsLength() or graph.Tensors(found.Outputs(0)).Type() == RESOURCE:
        return None
    return int(found.Outputs(0))


class Micro:
    """tflite-micro on one model, with every operator's output readable."""

    def __init__(self, data: bytes) -> None:
        graph = tflite.Model.GetRootAsModel(data, 0).Subgraphs(0)
        self.outputs = [output_of(graph, k) for k in range(graph.OperatorsLength())]
        tensors = map(graph.Tensors, range(graph.TensorsLength()))
        self.keeps_state = any(t.IsVariable() or t.Type() == RESOURCE for t in tensors)
        self.data = data
        self.begin()

    def begin(self) -> None:
        """Set the initial state: a reset does not run again what runs once."""
        self.interpreter = runtime.Interpreter.from_bytes(
            self.data,
            intrepreter_config=runtime.InterpreterConfig.kPreserveAllTensors,
            arena_size=16 << 20,
        )

    def run(self, sample: Array) -> list[Array]:
        """The output of each operator, by its index in the file; of a fresh interpreter."""
        if self.keeps_state:
            self.begin()
        return self.go_on(sample)

    def go_on(self, sample: Array) -> list[Array]:
        """As ``run``, from the state that the last sample left."""
        self.interpreter.set_input(sample, 0)
        self.interpreter.invoke()
        return [NOTHING if t is None else self.tensor(t) for t in self.outputs]

    def tensor(self, index: int) -> Array:
        """The tensor of this index in the file, of the last run."""
        return np.array(self.interpreter.GetTensor(index, 0)["tensor_data"])
