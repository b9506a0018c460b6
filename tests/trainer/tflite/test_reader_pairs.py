# SPDX-License-Identifier: Apache-2.0
"""What the importer reads and refuses of differences, choices, slopes by channel, rectifiers with
other ends, and functions that stayed in float."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.graph.tensor import QuantParams, Role
from mcutrain.trainer.making.options import (
    Activation,
    Conv2DOptions,
    GeluOptions,
    MaximumMinimumOptions,
    SquaredDifferenceOptions,
    SubOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, constant
from mcutrain.trainer.ops.float_function import FloatFunction
from mcutrain.trainer.ops.gelu import Gelu
from mcutrain.trainer.ops.minimum_maximum import Limit, Maximum, Minimum
from mcutrain.trainer.ops.prelu import Prelu
from mcutrain.trainer.ops.relu import Relu6
from mcutrain.trainer.tflite.reader import parse
from tests.support.file_parts import UNIT, Parts, spoilt

MAP = (1, 4, 4, 3)
ONES = np.ones(3, np.int8)
CHOICE = MaximumMinimumOptions()


def paired(kind: str, b: Any, options: Any = None, quant: QuantParams = UNIT) -> Parts:
    """A convolution, and its output with the constant ``b``."""
    p = spoilt(kind, options=options)
    p.tensors["k"] = constant("k", b, quant)
    p.op(1, inputs=("a", "k"))
    return p


def coarse(kind: str, quant: QuantParams, scale: float) -> Parts:
    """As ``spoilt``, with an input of another scale."""
    p = spoilt(kind, quant)
    p.quantise("a", (scale,), 3)
    return p


def own_slopes() -> Parts:
    p = spoilt("PRELU")
    p.op(1, inputs=("a", "a"))
    return p


def in_float(*kinds: str, quant: QuantParams = UNIT) -> Parts:
    """A convolution, and functions of its output in floating point."""
    p = spoilt("QUANTIZE", quant)
    names = ["a", *(f"f{k}" for k in range(len(kinds) + 1))]
    p.tensors |= {name: WriterTensor(name, MAP, "float32") for name in names[1:]}
    pairs = zip(("DEQUANTIZE", *kinds), names, names[1:], strict=False)
    p.ops[1:1] = [WriterOp(kind, (x,), (y,)) for kind, x, y in pairs]
    p.op(len(p.ops) - 1, inputs=(names[-1],))
    return p


REFUSED: dict[str, tuple[type[ModelError], str, Callable[[], Parts]]] = {
    "a difference of shapes that do not fit": (
        ModelError, r"operator 1 .*shapes \(1, 4, 4, 3\) and \(2,\) do not fit",
        lambda: paired("SUB", ONES[:2], SubOptions())),
    "a difference with a tanh fused": (
        UnsupportedOpError, "operator 1 .*fused activation TANH; NONE, RELU, RELU_N1_TO_1 and",
        lambda: paired("SUB", ONES, SubOptions(Activation.TANH))),
    "a difference of 16 bits": (
        UnsupportedOpError, "operator 1 .*SUB.*input 1 is int16",
        lambda: paired("SUB", ONES.astype(np.int16), SubOptions())),
    "a square of shapes that do not fit": (
        ModelError, r"operator 1 .*shapes \(1, 4, 4, 3\) and \(2,\) do not fit",
        lambda: paired("SQUARED_DIFFERENCE", ONES[:2], SquaredDifferenceOptions())),
    "a minimum of two scales": (
        ModelError, r"operator 1 .*0\.125, 3, another 0\.25, 3: MINIMUM compares and clamps bytes",
        lambda: paired("MINIMUM", ONES, CHOICE, QuantParams((0.25,), 3))),
    "a limit of another zero point": (
        ModelError, r"operator 1 .*0\.125, 3, another 0\.125, 4: MAXIMUM compares and clamps bytes",
        lambda: paired("MAXIMUM", ONES[0], CHOICE, QuantParams((0.125,), 4))),
    "a maximum of shapes that do not fit": (
        ModelError, r"operator 1 .*shapes \(1, 4, 4, 3\) and \(2,\) do not fit",
        lambda: paired("MAXIMUM", ONES[:2], CHOICE)),
    "slopes that are an activation": (
        UnsupportedOpError, "operator 1 .*PRELU.*slopes .* are an activation", own_slopes),
    "more slopes than values": (
        ModelError, r"operator 1 .*slopes \(2, 4, 4, 3\) are not repeated along \(1, 4, 4, 3\)",
        lambda: paired("PRELU", np.ones((2, 4, 4, 3), np.int8))),
    "slopes of many scales": (
        ModelError, "operator 1 .*PRELU.*input 1 has no single scale",
        lambda: paired("PRELU", ONES, quant=QuantParams((0.1, 0.2, 0.3), 0, 0))),
    "a root of scales far apart": (
        ModelError, r"operator 1 .*scales 0.125 in and 1e\+09 out lie too far apart",
        lambda: spoilt("RSQRT", QuantParams((1e9,), 3))),
    "a root of a fine output": (
        ModelError, "operator 1 .*factor .* too large",
        lambda: spoilt("RSQRT", QuantParams((1e-12,), 3))),
    "an exponential unit that is no int32": (
        ModelError, r"operator 1 .*scales 1e\+06 in and 0.0001 out lie too far apart",
        lambda: coarse("ELU", QuantParams((1e-4,), 3), 1e6)),
    "a Gaussian unit without options": (
        ModelError, "operator 1 .*no option Approximate", lambda: spoilt("GELU")),
    "a rectifier whose end is no int32": (
        ModelError, "operator 1 .*1 is not an int32 in quanta of the scale 1e-12",
        lambda: spoilt("RELU_0_TO_1", QuantParams((1e-12,), 3))),
    "an exponential in float that is no int32": (
        ModelError, "operator 3 .*too far apart",
        lambda: in_float("EXP", quant=QuantParams((1e-5,), 3))),
    "a function in float that is not known": (
        UnsupportedOpError, "operator 2 .*COS.* stayed in floating point",
        lambda: in_float("COS")),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    error, pattern, make = REFUSED[name]
    with pytest.raises(ModelError, match=pattern) as caught:
        parse(make().write(), "spoilt", "spoilt.tflite")

    assert type(caught.value) is error
    assert str(caught.value).startswith("spoilt.tflite")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 1, 1, 3)])
@pytest.mark.parametrize(("kind", "limits"), [("MINIMUM", (-128, 60)), ("MAXIMUM", (60, 127))])
def test_a_constant_of_one_value_is_a_limit(
    kind: str, limits: tuple[int, int], shape: tuple[int, ...]
) -> None:
    p = paired(kind, np.full(shape, 60, np.int8), CHOICE)
    (*_, node) = parse(p.write(), "limited").graph.nodes
    p.op(1, inputs=("k", "a"))
    (*_, turned) = parse(p.write(), "limited").graph.nodes

    assert node.op == turned.op == Limit(UNIT, *limits)
    assert [t.role for t in node.inputs] == [Role.ACTIVATION]
    assert node.output.limits == limits


def test_a_constant_of_several_values_is_an_operand() -> None:
    (*_, node) = parse(
        paired("MINIMUM", np.arange(3, dtype=np.int8), CHOICE).write(), "m"
    ).graph.nodes

    assert node.op == Minimum(UNIT)
    assert isinstance(node.op, Maximum) and node.inputs[1].role is Role.CONST


def test_slopes_lose_their_zero_point() -> None:
    slopes = np.array([-128, 5, 127], np.int8)
    p = paired("PRELU", slopes, quant=QuantParams((0.25,), 5))
    (*_, node) = parse(p.write(), "m").graph.nodes

    assert node.op == Prelu(UNIT, (-133, 0, 122), (3,), 0.25)
    assert len(node.inputs) == 1


@pytest.mark.parametrize("approximate", [False, True])
def test_reads_which_gaussian_unit_it_is(approximate: bool) -> None:
    p = spoilt("GELU", options=GeluOptions(approximate))

    assert parse(p.write(), "m").graph.nodes[1].op == Gelu(UNIT, approximate)


@pytest.mark.parametrize("kinds", [(), ("ELU",), ("SQUARE", "NEG", "ABS")])
def test_functions_in_float_are_one_table(kinds: tuple[str, ...]) -> None:
    (_, node) = parse(in_float(*kinds).write(), "m").graph.nodes

    assert node.op == FloatFunction(UNIT, kinds)
    assert node.index == len(kinds) + 2
    assert node.inputs[0].type.shape == node.output.type.shape == MAP


def test_a_rectifier_may_change_the_scale() -> None:
    quant = QuantParams((0.25,), -7)
    (*_, node) = parse(spoilt("RELU6", quant).write(), "m").graph.nodes

    assert node.op == Relu6(quant)
    assert node.output.limits == (-7, -7 + 24)


def test_a_fused_rectifier_of_both_signs_clamps() -> None:
    p = spoilt("RELU")
    p.op(0, options=Conv2DOptions(fused_activation_function=Activation.RELU_N1_TO_1))
    node = parse(p.write(), "m").graph.nodes[0]

    assert node.output.limits == (3 - 8, 3 + 8)
