# SPDX-License-Identifier: Apache-2.0
"""A quantised network computes nearly what the float one does."""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.making.float_net import FloatNet, Params
from mcutrain.trainer.making.quantiser import activation_quant, quantize_array, quantize_net
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite import reader as tflite
from tests.support.float_nets import residual_net

INPUT_QUANT = QuantParams((3 / 128,), 0)


def quantised_residual_net() -> tuple[FloatNet, Params, np.ndarray, bytes]:
    net, params = residual_net()
    # Only the fused activations that TFLite has can be written.
    layers = tuple(
        layer if layer.name != "narrow" else type(layer)(layer.name, layer.op, layer.inputs)
        for layer in net.layers
    )
    net = FloatNet(layers)
    x = np.clip(np.random.default_rng(3).normal(size=(50, 7, 4, 2)), -3, 2.97)
    return net, params, x, quantize_net(net, params, x, INPUT_QUANT)


def test_a_quantised_network_agrees_with_the_float_one() -> None:
    net, params, x, data = quantised_residual_net()
    interpreter = Interpreter(make_plan(tflite.parse(data, "residual"), PlanOptions("head")))
    logits = interpreter.plan.task.logits.type
    q = quantize_array(x, INPUT_QUANT)
    computed = np.array([interpreter.infer(sample) for sample in q], np.float64)
    computed = (computed - logits.zero_point) * logits.scale
    wanted = net.logits(params, x)

    assert np.abs(computed - wanted).max() < 0.04 * np.ptp(wanted)
    assert (computed.argmax(1) == wanted.argmax(1)).mean() > 0.9


def test_without_a_quantisation_the_input_spans_the_samples() -> None:
    net, params, x, _ = quantised_residual_net()
    model = tflite.parse(quantize_net(net, params, x), "residual")

    assert model.input.type.quant == activation_quant(x.min(), x.max())


def test_limits_that_no_activation_has_are_refused() -> None:
    net, params = residual_net()  # "narrow" is limited to -1 to 1

    with pytest.raises(ValueError, match="narrow is limited to -1 to 1"):
        quantize_net(net, params, np.ones((1, 7, 4, 2)))


def test_the_same_network_gives_the_same_bytes() -> None:
    assert quantised_residual_net()[-1] == quantised_residual_net()[-1]


@pytest.mark.parametrize(("low", "high"), [(0.0, 6.0), (-1.0, 3.0), (-2.0, 0.0), (0.5, 1.0)])
def test_a_range_is_covered_and_holds_zero(low: float, high: float) -> None:
    quant = activation_quant(low, high)
    ends = (np.array([-128, 127]) - quant.zero_point) * quant.scale
    slack = quant.scale / 2  # the zero point is rounded

    assert -128 <= quant.zero_point <= 127
    assert ends[0] <= min(low, 0) + slack
    assert ends[1] >= high - slack
