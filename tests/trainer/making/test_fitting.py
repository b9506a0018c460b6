# SPDX-License-Identifier: Apache-2.0
"""Nets for series, values and copies of their inputs; batch norms; trainings that end early."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.making import float_layers as fo
from mcutrain.trainer.making.fitting import fit
from mcutrain.trainer.making.float_net import (
    INPUT,
    FloatLayer,
    FloatNet,
    softmax_cross_entropy,
    squared_error,
    without_batch_norm,
)
from mcutrain.trainer.making.net_builder import NetBuilder
from mcutrain.trainer.making.quantiser import dequantize_array, quantize_array, quantize_net
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from tests.support.float_nets import assert_are_derivatives
from tests.support.steps import assert_steps_are_equal

TIME, AXES = 20, 2


def waves(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(count, TIME, AXES) with noise; how fast they swing is the class."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 2
    phase = rng.uniform(0, 2 * np.pi, (count, 1, AXES))
    time = np.arange(TIME)[:, None] * (0.4 + 0.8 * y[:, None, None])
    return np.sin(time + phase) + rng.normal(0, 0.2, (count, TIME, AXES)), y


def series_net() -> NetBuilder:
    build = NetBuilder((TIME, AXES), seed=2)
    build.conv1d(6, kernel=5, stride=2, batch_norm=True)
    build.depthwise1d(kernel=3, batch_norm=True)
    build.max_pool1d()
    build.conv1d(8, kernel=1, activation="relu", batch_norm=True)
    build.average_pool1d()
    build.dense(2)
    return build


@pytest.fixture(scope="module")
def series() -> tuple[NetBuilder, bytes]:
    build = series_net()
    x, y = waves(400, seed=1)
    fit(build.net, build.params, x, y, epochs=8)
    return build, quantize_net(build.net, build.params, x)


def test_a_net_of_series_learns_and_keeps_its_accuracy(series: tuple[NetBuilder, bytes]) -> None:
    x, y = waves(40, seed=3)
    model = parse(series[1], "series")
    reference = Interpreter(make_plan(model, PlanOptions("head")))
    quant = model.input.type.quant
    assert quant is not None
    predicted = [reference.predict(sample) for sample in quantize_array(x, quant)]

    assert "BatchNorm" not in {type(node.op).__name__ for node in model.graph.nodes}
    assert np.mean(np.array(predicted) == y) >= 0.95


def test_every_operator_of_series_equals_tflite_micro(series: tuple[NetBuilder, bytes]) -> None:
    from tests.support.micro import Micro  # skips where there is no tflite-micro
    from tests.tools.model_table import reference_outputs

    model, micro = parse(series[1], "series"), Micro(series[1])
    assert model.input.type.quant is not None
    for sample in quantize_array(waves(6, seed=4)[0], model.input.type.quant)[:, None]:
        expected = micro.run(sample)
        for node, output in reference_outputs(model, sample).items():
            np.testing.assert_array_equal(output.ravel(), expected[node.index].ravel(), repr(node))


def test_a_device_trains_it_as_the_reference(
    series: tuple[NetBuilder, bytes], tmp_path: Path
) -> None:
    assert_steps_are_equal(make_plan(parse(series[1], "series"), PlanOptions("full")), tmp_path, 3)


def test_a_batch_norm_joins_the_layer_before_it(series: tuple[NetBuilder, bytes]) -> None:
    build = series[0]
    net, params = without_batch_norm(build.net, build.params)
    x = waves(5, seed=5)[0]

    assert len(build.net.layers) - len(net.layers) == 3
    assert set(params) == {f"{layer.name}/{k}" for layer in net.layers for k in "wb"} & set(params)
    # float64: both ways round differently, some thousand times 2**-53.
    np.testing.assert_allclose(
        net.logits(params, x), build.net.logits(build.params, x), rtol=0, atol=1e-11
    )


def test_gradients_of_batch_norm_and_max_pool_match_finite_differences() -> None:
    build = NetBuilder((6, 5, 2), seed=1)
    build.conv(3, kernel=2, padding="valid", activation="relu", batch_norm=True)
    build.max_pool((2, 2))
    build.dense(3, batch_norm=True)
    net, params = build.net, build.params
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(4, 6, 5, 2)), np.array([0, 2, 1, 1])
    learned = [name for name in params if name[-2:] in ("/w", "/b")]
    for name in learned:
        params[name] += rng.normal(0, 0.3, params[name].shape)

    def loss() -> float:
        values = net.forward(params, x, is_training=True)
        return softmax_cross_entropy(values[net.layers[-1].name], y)[0]

    values = net.forward(params, x, is_training=True)
    _, dlogits = softmax_cross_entropy(values[net.layers[-1].name], y)
    grads = net.backward(params, values, dlogits, learned)
    assert set(grads) == set(learned)
    # As in test_float_net.py, but that f''' is large behind a division by a deviation.
    assert_are_derivatives(grads, params, loss, 1e-7)


def test_a_net_of_values_learns_a_regression_and_is_written_without_softmax() -> None:
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (600, 4))
    y = np.stack([x[:, 0] * x[:, 1], x[:, 2] - x[:, 3]], axis=1)
    build = NetBuilder((4,), seed=1)
    build.dense(24, "relu")
    build.dense(2)
    told = fit(build.net, build.params, x, y, epochs=40, rate=1e-2, decay=0.0, loss=squared_error)
    model = parse(quantize_net(build.net, build.params, x, softmax=False), "values")
    plan = make_plan(model, PlanOptions("head", loss="mse"))
    quant, out = model.input.type.quant, model.output.type.quant
    assert quant is not None and out is not None
    reference = Interpreter(plan)
    found = [reference.infer(sample) for sample in quantize_array(x[:50], quant)]
    error = dequantize_array(np.array(found), out).reshape(50, 2) - y[:50]

    assert told.losses[-1] < 0.01 < 0.1 < told.losses[0]
    assert np.mean(error**2) < 0.02


def test_an_autoencoder_is_fitted_to_its_inputs() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 3)) @ rng.normal(size=(3, 10))
    build = NetBuilder((10,), seed=1)
    build.dense(3)
    build.dense(10)
    told = fit(build.net, build.params, x, x, epochs=60, rate=1e-2, decay=0.0, loss=squared_error)

    assert told.losses[-1] < 0.02 * told.losses[0]


def test_a_training_ends_when_validation_gains_nothing_and_keeps_the_best() -> None:
    build = series_net()
    x, y = waves(64, seed=1)
    other, _ = waves(64, seed=9)
    wrong = np.random.default_rng(0).integers(0, 2, 64)  # nothing to be learned of these
    told = fit(
        build.net, build.params, x, y, epochs=60, rate=1e-2, validation=(other, wrong), patience=4
    )
    kept = softmax_cross_entropy(build.net.logits(build.params, other), wrong)[0]

    assert len(told.validation) == len(told.losses) == told.best + 1 + 4 < 60
    assert kept == min(told.validation) == told.validation[told.best]


def test_without_validation_the_last_epoch_is_kept() -> None:
    build = series_net()
    x, y = waves(64, seed=1)
    told = fit(build.net, build.params, x, y, epochs=3)

    assert (told.best, len(told.losses), told.validation) == (2, 3, [])


NORM = FloatLayer("norm", fo.BatchNorm(), ("conv",))
CONV = FloatLayer("conv", fo.FullyConnected(), (INPUT,))
REFUSED = {
    "behind a clamp": (FloatLayer("conv", fo.FullyConnected(), (INPUT,), 0.0), NORM),
    "behind what has no weights": (FloatLayer("conv", fo.Reshape((4,)), (INPUT,)), NORM),
    "behind what others read": (CONV, NORM, FloatLayer("add", fo.Add(), ("conv", "norm"))),
    "behind the input": (FloatLayer("norm", fo.BatchNorm(), (INPUT,)),),
    "behind another one": (CONV, NORM, FloatLayer("two", fo.BatchNorm(), ("norm",))),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_batch_norm_that_can_join_nothing_is_refused(case: str) -> None:
    names = ("w", "b", "mean", "variance")
    params = {f"{layer.name}/{k}": np.ones((4, 4)) for layer in REFUSED[case] for k in names}

    with pytest.raises(ValueError, match="norm"):
        without_batch_norm(FloatNet(REFUSED[case]), params)


def test_a_series_needs_time_and_channels() -> None:
    with pytest.raises(ValueError, match="time and channels are needed"):
        NetBuilder((9, 8, 2)).conv1d(4)
