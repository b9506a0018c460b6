# SPDX-License-Identifier: Apache-2.0
"""What units are worth to the loss: against real numbers, and by whom they are made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mcutrain.host.shrinking.scores import MOST_SAMPLES, change, moved, taylor_scores
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.model import Model, forward, trim
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.options import RECONSTRUCTION, SQUARED_ERROR, PlanOptions
from mcutrain.trainer.shrinking.activation_errors import ActivationErrors
from mcutrain.trainer.shrinking.groups import Group, Groups, channel_groups
from mcutrain.trainer.tflite.reader import parse
from tests.support.autoencoder import autoencoder
from tests.support.small_models import drawn_samples, residual_model


def real(values: Array, scale: float, zero_point: int = 0) -> Array:
    return scale * (values.reshape(-1).astype(np.float64) - zero_point)


def in_float(model: Model, x: Array) -> Array:
    """(5,): the square of code times dloss/dcode of the autoencoder, where it reconstructs."""
    values = forward(model, x.reshape(model.input.type.shape))
    first, second = model.weighted
    code, y = first.output, second.output
    w = second.inputs[1]
    assert w.data is not None and y.type.quant is not None
    target = np.clip(
        np.round(real(x, model.input.type.scale, model.input.type.zero_point) / y.type.scale)
        + y.type.zero_point, -128, 127,
    )  # fmt: skip
    dy = 2 * (real(values[y], y.type.scale) - real(target, y.type.scale)) / y.type.size
    dcode = dy @ (w.data * w.type.scale)
    dcode[np.abs(values[code].reshape(-1).astype(int) + 0.5) > 127] = 0.0  # at a limit: no error
    return np.square(real(values[code], code.type.scale, code.type.zero_point) * dcode)


def test_scores_are_the_real_products_of_activation_and_error() -> None:
    model = parse(autoencoder(), "m")
    samples = np.random.default_rng(1).integers(-128, 128, (20, 12)).astype(np.int8)
    scores = taylor_scores(
        model, channel_groups(model), samples, options=PlanOptions(loss=RECONSTRUCTION)
    )
    wanted = np.mean([in_float(model, x) for x in samples], axis=0)

    (found,) = scores.values()
    # An E12 error has 11 bits: half a quantum of the loss's, then of the code's, is a 2000th of
    # the greatest; a sum of 12 products of either sign loses at most a hundredth, its square two.
    np.testing.assert_allclose(found, wanted, rtol=0.02, atol=0.02 * wanted.max())


@pytest.fixture(scope="module")
def residual() -> tuple[Model, Groups, Array, Array]:
    model = parse(residual_model(), "m")
    (x, y), _ = drawn_samples(2)
    return model, channel_groups(model), x.reshape(len(x), -1), y


def test_the_products_of_layers_that_make_a_unit_together_are_added_before_their_square(
    residual: tuple[Model, Groups, Array, Array],
) -> None:
    model, groups, x, y = residual
    (group,) = groups.groups
    assert len(group.producers) == 2  # both sides of the ADD
    errors = ActivationErrors(model, [n.output for n in group.producers], PlanOptions())
    values = errors.run(x[0], y[0])
    alone = [change(replace(group, producers=(n,)), errors, values) for n in group.producers]

    assert np.abs(np.square(sum(alone)) - sum(map(np.square, alone))).max() > 0
    scores = taylor_scores(model, groups, x[:1], y[:1])
    np.testing.assert_allclose(scores[group.name], np.square(alone[0] + alone[1]), rtol=1e-12)


def test_without_labels_the_outputs_count_as_values_do(
    residual: tuple[Model, Groups, Array, Array],
) -> None:
    model, groups, x, y = residual
    (name,) = (group.name for group in groups.groups)
    own = taylor_scores(model, groups, x)[name]
    values = taylor_scores(trim(model), groups, x, options=PlanOptions(loss=SQUARED_ERROR))[name]

    np.testing.assert_array_equal(own, values)
    assert (own > 0).all()
    assert (own != taylor_scores(model, groups, x, y)[name]).any()


def test_without_values_outputs_are_moved_by_chance_and_always_alike() -> None:
    model = parse(autoencoder(), "m")
    groups, options = channel_groups(model), PlanOptions(loss=SQUARED_ERROR)
    samples = np.random.default_rng(2).integers(-128, 128, (6, 12)).astype(np.int8)
    first = taylor_scores(model, groups, samples, options=options)
    again = taylor_scores(model, groups, samples, options=options)

    for name, found in first.items():
        assert (found > 0).any()
        np.testing.assert_array_equal(found, again[name])


def test_a_moved_output_stays_within_int8_and_is_moved() -> None:
    ends = np.array([-128, -127, -120, 0, 120, 126, 127, 127, -128, -1, 1, 8], np.int8)
    found = moved(np.random.default_rng(0), ends)

    assert (np.abs(found - ends) == 8).all()
    assert found.min() >= -128 and found.max() <= 127


def test_a_group_that_errors_do_not_reach_has_no_scores(
    residual: tuple[Model, Groups, Array, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, groups, x, y = residual
    monkeypatch.setattr(DepthwiseConv2D, "is_frozen", True)

    assert taylor_scores(model, groups, x, y) == {}


def test_a_few_of_many_samples_are_enough_and_each_is_told(
    residual: tuple[Model, Groups, Array, Array],
) -> None:
    model, groups, x, y = residual
    told: list[tuple[int, int]] = []
    empty = Groups((), groups.stays)
    many = np.resize(x, (MOST_SAMPLES + 50, x.shape[1]))
    taylor_scores(model, empty, many[:3], np.resize(y, 3), report=lambda *now: told.append(now))

    assert told == [(0, 3), (1, 3), (2, 3)]


def test_a_unit_with_several_channels_has_the_score_of_all(
    residual: tuple[Model, Groups, Array, Array],
) -> None:
    model, groups, x, y = residual
    (group,) = groups.groups
    places = {t: at.reshape(-1, 2) for t, at in group.places.items()}
    pairs: Group = replace(group, units=group.units // 2, places=places)
    errors = ActivationErrors(model, [n.output for n in group.producers], PlanOptions())
    values = errors.run(x[0], y[0])

    single = change(group, errors, values)
    np.testing.assert_allclose(change(pairs, errors, values), single.reshape(-1, 2).sum(axis=1))
