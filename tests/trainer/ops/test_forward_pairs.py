# SPDX-License-Identifier: Apache-2.0
"""Where the bits of a difference tell in which precision its factors were prepared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from mcutrain.trainer.fixedpoint import Requant
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.tensor import (
    Array,
    DType,
    QuantParams,
    Role,
    Tensor,
    TensorType,
    constant,
)
from mcutrain.trainer.making.options import SubOptions
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, write_model
from mcutrain.trainer.making.writer import constant as written
from mcutrain.trainer.ops.add import LEFT_SHIFT
from mcutrain.trainer.ops.sub import Sub
from tests.support.micro import Micro

ALL = np.arange(-128, 128).astype(np.int8)


@dataclass(frozen=True)
class Narrow(Sub):
    """A difference whose factors are quotients of float32."""

    def requants(self, a: TensorType, b: TensorType) -> tuple[Requant, Requant, Requant]:
        s_a, s_b, s_out = (np.float32(s) for s in (a.scale, b.scale, self.out_quant.scale))
        most = np.float32(2) * max(s_a, s_b)
        factors = s_a / most, s_b / most, most / (s_out * np.float32(2**LEFT_SHIFT))
        first, second, out = (Requant.from_real(float(f)) for f in factors)
        return first, second, out


def of_all_pairs(op: Sub, a: QuantParams, b: QuantParams) -> Array:
    """(256, 256): the difference of each byte and each byte."""
    graph = Graph()
    x = Tensor("x", TensorType((256, 1), DType.S8, a), Role.INPUT)
    graph.add(op, x, constant("b", ALL, b), name="y", index=0)
    return op.reference(graph.nodes[0], ALL[:, None], ALL)[0]


@pytest.mark.parametrize("seed", [26, 40, 43])
def test_the_factors_of_a_difference_are_quotients_of_float64(seed: int) -> None:
    """Scales at which quotients of float32 give another byte somewhere."""
    rng = np.random.RandomState(seed)
    a, b, y = (QuantParams((float(np.float32(rng.uniform(0.01, 0.1))),), 0) for _ in range(3))
    tensors = [
        WriterTensor("x", (256, 1), "int8", a), written("b", ALL, b),
        WriterTensor("y", (256, 256), "int8", y),
    ]  # fmt: skip
    data = write_model(tensors, [WriterOp("SUB", ("x", "b"), ("y",), SubOptions())], ["x"], ["y"])
    (expected,) = Micro(data).run(ALL[:, None])

    np.testing.assert_array_equal(of_all_pairs(Sub(y), a, b), expected)
    assert (of_all_pairs(Narrow(y), a, b) != expected).any()
