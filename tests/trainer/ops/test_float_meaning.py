# SPDX-License-Identifier: Apache-2.0
"""The forward references mean what the operators mean in reals, within their rounding."""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.ops.abs import Abs
from mcutrain.trainer.ops.add import LEFT_SHIFT, Add
from mcutrain.trainer.ops.batch_matmul import BatchMatMul
from mcutrain.trainer.ops.elu import Elu
from mcutrain.trainer.ops.float_function import FloatFunction
from mcutrain.trainer.ops.gelu import Gelu
from mcutrain.trainer.ops.hard_swish import HardSwish, factor16
from mcutrain.trainer.ops.l2_normalization import L2Normalization
from mcutrain.trainer.ops.leaky_relu import LeakyRelu
from mcutrain.trainer.ops.logistic import Logistic
from mcutrain.trainer.ops.lstm import UnidirectionalSequenceLstm
from mcutrain.trainer.ops.mean import Mean
from mcutrain.trainer.ops.mul import Mul
from mcutrain.trainer.ops.neg import Neg
from mcutrain.trainer.ops.prelu import Prelu
from mcutrain.trainer.ops.quantize import Quantize
from mcutrain.trainer.ops.relu import Relu, Relu6
from mcutrain.trainer.ops.rsqrt import Rsqrt
from mcutrain.trainer.ops.softmax import Softmax
from mcutrain.trainer.ops.squared_difference import LEFT_SHIFT as FINER
from mcutrain.trainer.ops.squared_difference import SquaredDifference
from mcutrain.trainer.ops.svdf import Svdf
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.tflite.reader import importers
from tests.support.bench import draw_inputs, node_of
from tests.support.float_ops import MEANINGS, dequantise, meaning, real_inputs
from tests.support.float_recurrent import lstm_quanta, svdf_quanta
from tests.support.op_cases import CASES, Case

# Accumulators that wrap mean nothing in reals.
WRAPS = ("wraps", "in-part-dead", "great-bias", "far-right-shift")
# What an LSTM's first step is off by comes back in the next, more or less by its weights.
FEEDS_BACK = ("several-steps",)
FORWARD = [
    case
    for case in CASES
    if type(case.op) in MEANINGS and not any(word in case.name for word in WRAPS + FEEDS_BACK)
]


def test_every_forward_operator_has_a_meaning() -> None:
    without = {kind.__name__ for kind in importers().values()} - {op.__name__ for op in MEANINGS}
    assert not without, f"{min(without)} has no entry in MEANINGS of tests/support/float_ops.py"


def hard_swish_quanta(node: Node, x: Array) -> Array:
    """Bound of the error of 16-bit fixed point, in quanta of the output.

    Factors of 16 bits are good to 2**-15. The gate, of 2**-15 each, has roundings of 1 and 0.5
    and its factor's 1, which are halved, and 0.5: with the output's factor 3 * 2**-15 of the
    input at most. The product is rounded by 0.5 and truncated by 1 before the last shift.
    """
    op, (type_,) = node.op, (t.type for t in node.inputs)
    assert isinstance(op, HardSwish)
    value = np.abs(dequantise(type_, x)) / op.out_quant.scale
    _, shift = factor16(type_.scale / 128 / op.out_quant.scale)
    return 0.5 + 1.5 * 2.0**shift + value * 3 * 2.0**-15


def squared_quanta(node: Node, values: tuple[Array, ...]) -> Array:
    """Each term has two roundings, 0.75 of its unit, so that the square is off by that times
    twice the difference; then the output's two."""
    a, b = (dequantise(t.type, v) for t, v in zip(node.inputs, values, strict=True))
    off = 1.5 * 2 * max(t.type.scale for t in node.inputs) / (1 << FINER)
    return np.asarray(0.75 + (2 * np.abs(a - b) * off + off**2) / node.output.type.scale + 1e-6)


def quanta(node: Node, values: tuple[Array, ...]) -> Array | float:
    """Bound of the error in quanta of the output.

    Two roundings: half a unit of the product, which the shift to the right makes smaller,
    and half a unit of the result; with no shift to the right there is one. A multiplier's
    own error is below 2**-31 of a value that the clamp keeps below 2**8.
    """
    slack = 1e-6
    if isinstance(node.op, Weighted):
        _, shift = node.op.requants(node.inputs[0].type, node.inputs[1].type)
        return 0.5 + np.where(shift < 0, 0.5 * 2.0 ** np.minimum(shift, 0), 0) + slack
    if isinstance(node.op, SquaredDifference):
        return squared_quanta(node, values)
    if isinstance(node.op, Add):
        # Each term has the two roundings, in units of 2 max(s) / 2**20; then the output's two.
        unit = 2 * max(t.type.scale for t in node.inputs) / (1 << LEFT_SHIFT)
        return 0.75 + 2 * 0.75 * unit / node.output.type.scale + slack
    if isinstance(node.op, Mul):
        shift = node.op.requants(node.inputs[0].type, node.inputs[1].type)[0].shift
        return 0.5 + (0.5 * 2.0 ** min(shift, 0) if shift < 0 else 0) + slack
    if isinstance(node.op, BatchMatMul):
        shift = node.op.requant(node.inputs[0].type, node.inputs[1].type).shift
        return 0.5 + (0.5 * 2.0 ** min(shift, 0) if shift < 0 else 0) + slack
    if isinstance(node.op, L2Normalization):
        # The reciprocal is good to 2**-24, of a value below 2**7; a shift to the right is by one
        # bit at least.
        return 0.75 + 2.0**-17
    if isinstance(node.op, Elu | Gelu | FloatFunction):
        # Float32 from a function that is good to 2**-24; of 255 quanta in the range at most.
        return 0.5 + 255 * 2.0**-20
    if isinstance(node.op, Rsqrt):
        # The root is a whole number of 2**-20, 65536 at least, and good to 2**-28 before.
        return 0.75 + 255 * (2.0**-16 + 2.0**-28)
    if isinstance(node.op, Relu | Relu6 | Quantize | LeakyRelu | Abs | Neg | Prelu):
        return (
            0.75 + slack + 256 * 2.0**-23 * isinstance(node.op, Relu6)
        )  # as a product: a shift to the right is by one bit at least
    if isinstance(node.op, Logistic):
        # Beyond +-15 the function is taken to be at its end; the polynomial is good to 2**-20.
        return 0.5 + 256 * (np.exp(-15) + 2.0**-20)
    if isinstance(node.op, HardSwish):
        return hard_swish_quanta(node, values[0])
    if isinstance(node.op, Mean):
        # The multiplier is cut off at 2**-29 of itself, and divided only above 2**29.
        shift = node.op.factor(node.inputs[0].type).shift
        return 0.5 + 0.5 * 2.0 ** min(shift, 0) * (shift < 0) + slack
    if isinstance(node.op, UnidirectionalSequenceLstm):
        return lstm_quanta(node)
    if isinstance(node.op, Svdf):
        return svdf_quanta(node)
    if isinstance(node.op, Softmax):
        # Each exponential of the sum is rounded to 2**-19, and the sum is at least 1.
        return 0.5 + 256 * node.output.type.shape[-1] * 2.0**-19
    return 0.5 + slack


@pytest.mark.parametrize("case", FORWARD, ids=lambda case: case.name)
def test_reference_means_what_reals_mean(case: Case) -> None:
    node = node_of(Graph(), case)
    out = node.output.type
    low, high = (dequantise(out, np.array(limit)) for limit in node.op.limits())
    for round_ in range(12):
        inputs = tuple(draw_inputs(case, round_, round_))
        expected = np.clip(meaning(node, real_inputs(node, inputs)), low, high)
        found, *_ = node.op.reference(node, *inputs)
        error = np.abs(dequantise(out, found) - expected.reshape(out.shape)) / out.scale

        assert (error <= quanta(node, inputs)).all(), f"round {round_}: {error.max()} quanta"
