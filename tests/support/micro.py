# SPDX-License-Identifier: Apache-2.0
"""tflite-micro, the forward reference of the tests; it has wheels for Linux x86-64 only."""

from __future__ import annotations

import numpy as np
import pytest
import tflite

from mcutrain.trainer.graph.tensor import Array

runtime = pytest.importorskip(
    "tflite_micro.python.tflite_micro.runtime",
    reason="tflite-micro, the forward reference, has wheels for Linux x86-64 only",
)


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
        return [self.tensor(t) for t in self.outputs]

    def tensor(self, index: int) -> Array:
        """The tensor of this index in the file, of the last run."""
        return np.array(self.interpreter.GetTensor(index, 0)["tensor_data"])
