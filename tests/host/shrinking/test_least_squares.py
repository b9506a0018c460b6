# SPDX-License-Identifier: Apache-2.0
"""A smaller model whose layers are fitted to those of the original."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mcutrain.host.shrinking.layer_rows import (
    Places,
    filters_of,
    in_shape,
    linear_outputs,
    real_filters,
)
from mcutrain.host.shrinking.least_squares import least_squares
from mcutrain.host.shrinking.means import channel_means
from mcutrain.host.shrinking.refitted import Weights, weight_scales, with_weights
from mcutrain.host.shrinking.walk import Walk
from mcutrain.trainer.graph.tensor import Array, QuantParams
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.shrinking.cut import cut_channels
from mcutrain.trainer.shrinking.groups import channel_groups
from mcutrain.trainer.tflite.reader import parse
from tests.support.autoencoder import autoencoder
from tests.support.random_models import random_model, samples
from tests.support.small_models import residual_model

LAYERS = (
    "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "CONV_2D spaced",
    "DEPTHWISE_CONV_2D dilated",
)  # fmt: skip
WHOLE: dict[str, tuple[int, ...]] = {}  # every group stays


def drawn(model: Model, count: int, seed: int = 1) -> Array:
    """Inputs of few causes: what is read tells of each other, as in photographs."""
    causes = np.random.default_rng(0).normal(size=(6, model.input.type.size))
    values = 40 * np.random.default_rng(seed).normal(size=(count, 6)) @ causes / np.sqrt(6)
    return np.clip(values, -128, 127).astype(np.int8)


def outputs(model: Model, x: Array) -> Array:
    walk = Walk(model, x)
    for node in model.graph.nodes:
        walk.run(node)
        if node.output is model.logits:
            return walk.values[node.output].reshape(len(x), -1).astype(np.int64)
    raise AssertionError("no logits")


def distance(model: Model, other: Model, x: Array) -> float:
    """Mean squared, of the logits, in quanta."""
    return float(((outputs(model, x) - outputs(other, x)) ** 2).mean())


def noisy(model: Model, share: float) -> Model:
    """The model with noise in all of its weights."""
    rng = np.random.default_rng(0)
    found = {}
    for node in model.weighted:
        old = Weights.of(node)
        noise = share * old.data.std() * rng.normal(size=old.data.shape)
        data = np.clip(np.round(old.data + noise), -127, 127).astype(np.int8)
        found[node] = replace(old, data=data)
    return with_weights(model, found)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("kind", LAYERS)
def test_rows_give_the_layers_outputs(kind: str, seed: int) -> None:
    """As limits and two roundings let them through: to a half or a finer part of a quantum, then to
    a quantum; the multipliers' 31 bits add little."""
    model = parse(random_model(kind, seed), "model")
    node = model.weighted[0]
    assert isinstance(node.op, Weighted)
    x = np.stack(samples(node.inputs[0].type.shape, 3, seed))
    g, out = node.op.windows(node), node.output.type
    places = Places.drawn(g, len(x), 10**6, seed)
    found = linear_outputs(node, x, places, np.arange(out.shape[-1]))
    quanta = np.clip(found / out.scale + out.zero_point, *node.op.limits())
    expected = np.stack(
        [node.op.reference(node, each, *(t.data for t in node.inputs[1:]))[0] for each in x]
    )

    assert places.count == len(x) * g.out_h * g.out_w
    assert np.abs(quanta - expected.reshape(quanta.shape)).max() < 0.75 + 2.0**-10


@pytest.mark.parametrize("kind", LAYERS)
def test_filters_come_back_from_their_blocks(kind: str) -> None:
    node = parse(random_model(kind, 4), "model").weighted[0]
    assert isinstance(node.op, Weighted)
    old = Weights.of(node)
    filters = filters_of(node, real_filters(node, old))
    scales = old.quant.channel_scales(len(filters))

    np.testing.assert_array_equal(in_shape(node, np.rint(filters / scales[:, None])), old.data)


def test_places_are_the_same_number_for_each_input_and_none_twice() -> None:
    node = parse(residual_model(), "model").weighted[0]
    assert isinstance(node.op, Weighted)
    g = node.op.windows(node)
    places = Places.drawn(g, 7, 50, 0)
    flat = places.y * g.out_w + places.x

    assert places.y.shape == (7, 8)
    assert all(len({*row}) == 8 for row in flat)
    np.testing.assert_array_equal(places.owners, np.repeat(np.arange(7), 8))


def test_what_was_disturbed_is_repaired() -> None:
    model = parse(residual_model(), "model")
    bad, groups = noisy(model, 0.4), channel_groups(model)
    told: list[tuple[int, int]] = []
    good = least_squares(
        model, bad, groups, WHOLE, drawn(model, 60), lambda *done: told.append(done)
    )
    unseen = drawn(model, 30, 2)

    assert distance(model, bad, unseen) > 50
    assert distance(model, good, unseen) < 2
    assert told == [(k + 1, 4) for k in range(4)]


def test_channels_that_others_tell_of_can_leave() -> None:
    """Half of the filters of each layer are the others again: what stays can stand for all."""
    model = parse(autoencoder(), "model")
    first = model.weighted[0]
    w, b = Weights.of(first).data.copy(), Weights.of(first).bias
    assert b is not None
    b = b.copy()
    w[3:], b[3:] = w[:2], b[:2]
    model = with_weights(model, {first: replace(Weights.of(first), data=w, bias=b)})
    groups = channel_groups(model)
    (group,) = groups.groups
    kept, x = {group.name: (0, 1, 2)}, drawn(model, 60)
    cut = cut_channels(model, groups, kept, channel_means(model, x))
    good = least_squares(model, cut, groups, kept, x)
    unseen = drawn(model, 30, 2)

    assert distance(model, cut, unseen) > 50
    assert distance(model, good, unseen) < 1  # of the new rounding
    assert [n.inputs[1].type.shape for n in good.weighted] == [(3, 12), (12, 3)]


def test_a_layer_that_cannot_come_nearer_stays() -> None:
    model = parse(residual_model(), "model")
    found = least_squares(model, model, channel_groups(model), WHOLE, drawn(model, 40))

    for old, new in zip(model.weighted, found.weighted, strict=True):
        assert new.inputs[1].type == old.inputs[1].type
        np.testing.assert_array_equal(new.inputs[1].data, old.inputs[1].data)


def test_scales_are_of_a_filter_each_or_of_all_as_they_were() -> None:
    filters = np.array([[1.27, -0.5], [0.0254, 0.01], [0.0, 0.0]])
    each = weight_scales(filters, QuantParams((1.0, 1.0, 1.0), 0, 0), np.zeros(3))
    together = weight_scales(filters, QuantParams((1.0,)), np.zeros(3))

    assert len(each.scales) == 3
    assert each.axis == 0
    assert each.scales[0] == together.scale == pytest.approx(0.01, rel=2**-11)
    assert each.scales[1] == pytest.approx(0.0002, rel=2**-11)
    assert each.scales[2] == pytest.approx(0.01 / 256, rel=2**-11)  # it can still learn


def test_a_great_bias_widens_its_scale() -> None:
    filters, least = np.array([[0.127], [0.127]]), np.array([0.5, 0.0])
    found = weight_scales(filters, QuantParams((1.0, 1.0), 0, 0), least)

    assert found.scales[0] == 0.5


def test_a_model_that_keeps_states_stays() -> None:
    model = parse(random_model("SVDF", 1), "model")

    assert least_squares(model, model, channel_groups(model), WHOLE, drawn(model, 9)) is model
