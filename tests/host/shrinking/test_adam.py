# SPDX-License-Identifier: Apache-2.0
"""Adam over sums of integer gradients: what it makes of them, and how far it goes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from mcutrain.host.shrinking.adam import (
    FEWEST_BITS,
    MOST_BITS,
    HostAdam,
    Layer,
    Moments,
    weight_means,
)
from mcutrain.host.shrinking.distillation import TUNED, all_that_learns
from mcutrain.host.shrinking.fidelity import compared_part, squares_plan
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.interpreter import Interpreter, pack_state, unpack_state
from mcutrain.trainer.ops.weighted import Weighted, filter_scales
from mcutrain.trainer.options import DEFAULT_OPTIONS
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.small_models import residual_model

SAMPLES = 8


@dataclass
class Batch:
    """Adam behind the sums of a batch."""

    plan: TrainingPlan
    adam: HostAdam
    state: dict[Tensor, Array]
    x: Array
    targets: Array
    rounds: int


@pytest.fixture(scope="module")
def batch() -> Batch:
    part = compared_part(parse(residual_model(), "model"), DEFAULT_OPTIONS)
    plan = squares_plan(part, DEFAULT_OPTIONS, all_that_learns(part), as_gradients=True)
    rng = np.random.default_rng(1)
    x = rng.integers(-60, 60, (SAMPLES, part.input.type.size)).astype(np.int8)
    targets = rng.integers(-90, 90, (SAMPLES, part.logits.type.size)).astype(np.int8)
    runner = ReferenceRunner(plan)
    runner.reset(0)
    first = unpack_state(plan, runner.state())
    adam = HostAdam(plan, first, x)
    rounds, is_fine = 0, False
    while rounds < TUNED and not is_fine:
        rounds += 1
        runner.load(pack_state(plan, adam.begin(dict(first))))
        for sample, target in zip(x, targets, strict=True):
            runner.step(sample, target, False)
        state = unpack_state(plan, runner.state())
        is_fine = adam.tune(state)
    return Batch(plan, adam, state, x, targets, rounds)


def test_sums_become_fine_and_stay_within_their_limits(batch: Batch) -> None:
    assert 1 < batch.rounds < TUNED
    for layer in batch.adam.layers:
        peak = int(np.abs(batch.state[batch.adam.sums[layer.weights]]).max())
        assert FEWEST_BITS <= peak.bit_length() <= MOST_BITS


def test_nothing_learns_while_sums_are_made(batch: Batch) -> None:
    for layer in batch.adam.layers:
        for learned in layer.moments:
            np.testing.assert_array_equal(batch.state[learned].reshape(-1), data_of(learned))


def data_of(tensor: Tensor) -> Array:
    assert tensor.data is not None
    return tensor.data.reshape(-1)


def test_gradients_of_the_head_are_those_of_real_numbers(batch: Batch) -> None:
    """Of weights with the bias that holds each output in the mean. The errors have 12 bits and
    steps are rounded: hence a correlation."""
    layer = batch.adam.layers[-1]
    read, logits = layer.node.inputs[0], layer.node.output
    of_weights, of_bias = batch.adam.gradients(layer, batch.state)
    reference = Interpreter(batch.plan)
    values = [reference.outputs(sample) for sample in batch.x]
    x = np.stack([v[read].reshape(-1) for v in values]) - float(read.type.zero_point)
    error = np.stack([v[logits].reshape(-1) for v in values]) - batch.targets.astype(float)
    scales = filter_scales(layer.weights.type, layer.out_axis)
    expected = (error.T @ (x - layer.means)) / scales[:, None]

    assert of_bias is not None
    assert correlation(of_weights, expected) > 0.99
    assert correlation(of_bias, error.sum(axis=0) / scales) > 0.99


def correlation(one: Array, other: Array) -> float:
    return float(np.corrcoef(one.reshape(-1), other.reshape(-1))[0, 1])


def test_the_first_update_goes_the_rate_against_the_gradient_and_holds_the_mean(
    batch: Batch,
) -> None:
    rate = 0.01
    found = {layer: batch.adam.gradients(layer, batch.state) for layer in batch.adam.layers}
    before = {t: m.values.copy() for layer in found for t, m in layer.moments.items()}
    state = batch.adam.update(dict(batch.state), rate)

    for layer, (of_weights, of_bias) in found.items():
        weights = layer.moments[layer.weights]
        moved = weights.values - before[layer.weights]
        expected = np.clip(
            before[layer.weights] - rate * weights.step * np.sign(of_weights), -127, 127
        )
        np.testing.assert_allclose(weights.values, expected, rtol=1e-12)
        np.testing.assert_array_equal(state[layer.weights], np.floor(weights.values + 0.5))
        assert layer.bias is not None
        assert of_bias is not None
        bias = layer.moments[layer.bias]
        held = layer.filter_sums(moved * layer.means)
        own = -rate * bias.step * np.sign(of_bias)
        np.testing.assert_allclose(bias.values, before[layer.bias] + own - held.reshape(own.shape))
        assert not state[batch.adam.sums[layer.weights]].any()


def test_a_layer_moves_by_a_share_of_its_root_mean_square(batch: Batch) -> None:
    for layer in batch.adam.layers:
        scales = filter_scales(layer.weights.type, layer.out_axis)
        real = data_of(layer.weights).reshape(layer.weights.type.shape) * layer.of_filters(scales)
        steps = layer.moments[layer.weights].step * layer.of_filters(scales)
        np.testing.assert_allclose(steps, np.sqrt((real**2).mean()))


def test_what_a_depthwise_filter_reads_is_one_channel(batch: Batch) -> None:
    depthwise = batch.adam.layers[1]
    assert isinstance(depthwise.node.op, Weighted)
    assert depthwise.node.op.by_channel
    channels = depthwise.node.inputs[0].type.shape[-1]
    means = np.arange(float(channels))

    np.testing.assert_array_equal(weight_means(depthwise.node, means), means)
    dense = batch.adam.layers[-1].node
    np.testing.assert_array_equal(weight_means(dense, np.ones(4)), np.ones(8))
    np.testing.assert_array_equal(weight_means(dense, np.arange(16.0)), np.arange(4.0, 12.0))


def test_what_has_no_gradient_stays() -> None:
    moments = Moments(np.array([3.0, 3.0]), np.array([1.0, 1.0]), 127)
    by = moments.moved(np.array([0.0, 5.0]), 0.5, (0.9, 0.999))

    np.testing.assert_allclose(by, [0.0, -0.5])


def test_sums_over_a_filter_are_in_a_fixed_order(batch: Batch) -> None:
    layer: Layer = batch.adam.layers[0]
    values = np.random.default_rng(0).normal(size=layer.weights.type.shape)
    expected = []
    for of_filter in values:
        total = 0.0
        for value in of_filter.reshape(-1).tolist():
            total += value
        expected.append(total)
    assert layer.filter_sums(values).tolist() == expected
