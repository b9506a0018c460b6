# SPDX-License-Identifier: Apache-2.0
"""The mean of each channel of each activation."""

from __future__ import annotations

import numpy as np

from mcutrain.host.shrinking.means import AT_ONCE, channel_means
from mcutrain.host.shrinking.walk import Walk
from mcutrain.trainer.model import forward
from mcutrain.trainer.tflite.reader import parse
from tests.support.random_models import random_model
from tests.support.small_models import residual_model
from tests.support.structural_model import structural_model


def drawn(size: int, count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(-128, 128, (count, size)).astype(np.int8)


def test_means_are_those_of_each_inference() -> None:
    model = parse(residual_model(), "model")
    x = drawn(model.input.type.size, AT_ONCE + 5)
    told: list[tuple[int, int]] = []
    found = channel_means(model, x, lambda done, total: told.append((done, total)))
    values = [forward(model, sample.reshape(model.input.type.shape)) for sample in x]
    activations = [model.input, *(t for node in model.graph.nodes for t in node.outputs)]

    assert found.keys() == {*activations}
    for tensor in activations:
        rows = np.concatenate([v[tensor].reshape(-1, tensor.type.shape[-1]) for v in values])
        # Sums of integers are exact, so both divide the same two numbers.
        np.testing.assert_array_equal(found[tensor], rows.sum(axis=0, dtype=np.int64) / len(rows))
    assert told == [(AT_ONCE, AT_ONCE + 5), (AT_ONCE + 5, AT_ONCE + 5)]


def test_inputs_that_follow_each_other_are_taken_each_for_itself() -> None:
    model = parse(random_model("SVDF", 1), "model")
    x = drawn(model.input.type.size, 6)
    found, of_three = channel_means(model, x), channel_means(model, x.reshape(2, -1))

    assert found.keys() == of_three.keys()
    assert all((found[tensor] == of_three[tensor]).all() for tensor in found)


def test_a_walk_has_the_values_of_each_inference_and_holds_no_others() -> None:
    model = parse(structural_model(), "model")
    x = drawn(model.input.type.size, 3)
    walk = Walk(model, x)
    nodes = model.graph.nodes
    for k, node in enumerate(nodes):
        walk.run(node)
        read_later = {t for later in nodes[k + 1 :] for t in later.inputs}

        assert walk.values.keys() <= read_later | {*node.outputs, model.output, model.logits}
    expected = [forward(model, sample.reshape(model.input.type.shape)) for sample in x]

    np.testing.assert_array_equal(walk.values[model.output], [v[model.output] for v in expected])
