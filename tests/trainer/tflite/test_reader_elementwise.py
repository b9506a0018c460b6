# SPDX-License-Identifier: Apache-2.0
"""What the importer refuses of elementwise operators, and constants that it reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.graph.tensor import QuantParams, Role
from mcutrain.trainer.making.options import Activation, AddOptions, LeakyReluOptions, MulOptions
from mcutrain.trainer.making.writer import WriterOp, constant
from mcutrain.trainer.ops.mul import Mul
from mcutrain.trainer.tflite.reader import parse
from tests.support.file_parts import UNIT, Parts, spoilt


def paired(kind: str, b: Any, **fields: Any) -> Parts:
    """A convolution, and its output with the constant ``b``."""
    options = {"MUL": MulOptions, "ADD": AddOptions}[kind]()
    p = spoilt(kind, options=options)
    p.tensors["k"] = constant("k", b, fields.pop("quant", UNIT))
    p.op(1, inputs=("a", "k"), **fields)
    return p


def coarse(kind: str, quant: QuantParams) -> Parts:
    """As ``spoilt``, with an input of scale 9."""
    p = spoilt(kind, quant)
    p.quantise("a", (9.0,), 3)
    return p


ONES = np.ones(3, np.int8)
REFUSED: dict[str, tuple[type[ModelError], str, Callable[[], Parts]]] = {
    "a logistic of another scale": (
        UnsupportedOpError, r"operator 1 .*LOGISTIC.* scale 0\.00390625, zero point -128",
        lambda: spoilt("LOGISTIC")),
    "a tanh of another zero point": (
        UnsupportedOpError, r"operator 1 .*TANH.* scale 0\.0078125, zero point 0",
        lambda: spoilt("TANH", QuantParams((1 / 128,), 1))),
    "a logistic of a coarse input": (
        ModelError, r"operator 1 .*input's scale is 9; 3\.73e-09 to 8",
        lambda: coarse("LOGISTIC", QuantParams((1 / 256,), -128))),
    "a relu of a factor beyond any multiplier": (
        ModelError, "operator 1 .*factor .* too large",
        lambda: spoilt("RELU", QuantParams((2.0**-40,), 3))),
    "a leaky relu that rises below 0": (
        ModelError, "operator 1 .*slope below 0 is -0.5",
        lambda: spoilt("LEAKY_RELU", options=LeakyReluOptions(-0.5))),
    "a leaky relu of nan": (
        ModelError, "operator 1 .*slope below 0 is nan",
        lambda: spoilt("LEAKY_RELU", options=LeakyReluOptions(float("nan")))),
    "a leaky relu without options": (
        ModelError, "operator 1 .*no option Alpha", lambda: spoilt("LEAKY_RELU")),
    "a hard swish of a far finer output": (
        ModelError, "operator 1 .*scales 0.125 in and 0.0001 out",
        lambda: spoilt("HARD_SWISH", QuantParams((1e-4,), 3))),
    "a product of shapes that do not fit": (
        ModelError, r"operator 1 .*shapes \(1, 4, 4, 3\) and \(2,\) do not fit",
        lambda: paired("MUL", ONES[:2])),
    "a product with an int32 constant": (
        UnsupportedOpError, "operator 1 .*MUL.*input 1 is int32",
        lambda: paired("MUL", ONES.astype(np.int32))),
    "a sum with a constant of many scales": (
        ModelError, "operator 1 .*ADD.*input 1 has no single scale",
        lambda: paired("ADD", ONES, quant=QuantParams((0.1, 0.2, 0.3), 0, 0))),
    "a product of one factor": (
        UnsupportedOpError, "operator 1 .*input 1 is not an activation",
        lambda: spoilt("MUL", options=MulOptions())),
    "a product with a tanh fused": (
        UnsupportedOpError, "operator 1 .*fused activation TANH",
        lambda: paired("MUL", ONES, options=MulOptions(Activation.TANH))),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    error, pattern, make = REFUSED[name]
    with pytest.raises(ModelError, match=pattern) as caught:
        parse(make().write(), "spoilt", "spoilt.tflite")

    assert type(caught.value) is error
    assert str(caught.value).startswith("spoilt.tflite")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (4, 1), (1, 4, 4, 3)])
def test_reads_a_constant_factor(shape: tuple[int, ...]) -> None:
    data = np.full(shape, 5, np.int8)
    model = parse(paired("MUL", data).write(), "scaled")
    node = model.graph.nodes[1]
    assert isinstance(node.op, Mul)
    factor = node.inputs[1]

    assert factor.role is Role.CONST
    assert factor.type.shape == (shape or (1,))
    assert factor.data is not None and (factor.data == 5).all()
    assert node.output.type.shape == (1, 4, 4, 3)


def test_a_constant_may_come_first() -> None:
    p = paired("MUL", ONES)
    p.ops[1] = WriterOp("MUL", ("k", "a"), ("y",), MulOptions(Activation.RELU))
    node = parse(p.write(), "scaled").graph.nodes[1]

    assert [t.role for t in node.inputs] == [Role.CONST, Role.ACTIVATION]
    assert node.output.limits == (3, 127)
