# SPDX-License-Identifier: Apache-2.0
"""Functions that tflite-micro has no int8 form of give the bits of LiteRT's reference kernels
(tests/golden/litert_tables.txt)."""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.trainer.graph.tensor import DType, QuantParams, TensorType
from mcutrain.trainer.ops.gelu import Gelu
from mcutrain.trainer.ops.lookup import Lookup
from mcutrain.trainer.ops.relu import Relu0To1, Relu6, ReluN1To1
from tests.tools.litert_tables import KINDS, ROWS, TABLES

LINES = TABLES.read_text().splitlines()


def function(kind: str, out: QuantParams) -> Lookup:
    if kind.startswith("GELU"):
        return Gelu(out, approximate="approximate" in kind)
    kinds = {"RELU6": Relu6, "RELU_N1_TO_1": ReluN1To1, "RELU_0_TO_1": Relu0To1}
    return kinds[kind](out)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.split(":")[0])
def test_a_table_is_litert_s(line: str) -> None:
    kind, rest = line.split(": ")
    s_x, z_x, s_y, z_y, outputs = rest.split()
    x = TensorType((256,), DType.S8, QuantParams((float(s_x),), int(z_x)))
    op = function(kind, QuantParams((float(s_y),), int(z_y)))

    np.testing.assert_array_equal(op.table(x), np.frombuffer(bytes.fromhex(outputs), np.int8))


def test_there_are_tables_of_each_kind() -> None:
    assert [line.split(":")[0] for line in LINES] == [kind for kind in KINDS for _ in range(ROWS)]
