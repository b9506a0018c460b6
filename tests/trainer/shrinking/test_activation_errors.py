# SPDX-License-Identifier: Apache-2.0
"""The errors of activations where nothing learns, against those of a plan's step."""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.options import RECONSTRUCTION, SQUARED_ERROR, PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.shrinking.activation_errors import ActivationErrors
from mcutrain.trainer.tflite.reader import parse
from tests.support.autoencoder import autoencoder
from tests.support.small_models import SHAPE, residual_model

STEPS = 40  # after which each history of a repeated sample has settled: DECAY_AFTER is 16


def layers_of(model: Model) -> list:
    return [node.output for node in model.weighted[:-1]]


def sample(seed: int, shape: tuple[int, ...]) -> Array:
    return np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)


def settled(model: Model, options: PlanOptions, x: Array, target: int | Array) -> dict[str, Array]:
    """By name, the tensors of a step in the reference at rate 0, when the histories stay."""
    reference = Interpreter(make_plan(model, options))
    reference.set_learning_rate(LearningRate(0, 0))
    for _ in range(STEPS):
        *_, (_, values) = reference.trace(x, target)
    return {tensor.name: value for tensor, value in values.items()}


@pytest.mark.parametrize(
    ("file", "loss", "target"),
    [
        (residual_model(), "cross-entropy", np.array(2)),
        (autoencoder(), SQUARED_ERROR, sample(7, (12,))),
        (autoencoder(), RECONSTRUCTION, np.array([])),
    ],
)
def test_errors_are_those_of_a_step_from_the_first_sample_on(
    file: bytes, loss: str, target: Array
) -> None:
    model = parse(file, "m")
    x = sample(3, model.input.type.shape)
    options = PlanOptions("full", loss=loss)
    wanted = settled(model, options, x, int(target) if target.size == 1 else target)
    errors = ActivationErrors(model, layers_of(model), options)
    values = errors.run(x, target)

    assert set(errors.errors) == set(layers_of(model))
    for own, error in errors.errors.values():
        for tensor in (own, *error):
            np.testing.assert_array_equal(values[tensor], wanted[tensor.name], tensor.name)


def test_a_target_can_be_made_of_the_output() -> None:
    model = parse(residual_model(), "m")
    errors = ActivationErrors(model, layers_of(model), PlanOptions())
    x = sample(4, SHAPE)
    given = errors.run(x, np.array(1))
    made = errors.run(x, lambda output: np.array(1 if output.size == 4 else 0))

    for _, error in errors.errors.values():
        np.testing.assert_array_equal(given[error.value], made[error.value])


def test_what_leads_to_an_operator_without_a_gradient_has_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = parse(residual_model(), "m")
    monkeypatch.setattr(DepthwiseConv2D, "is_frozen", True)
    errors = ActivationErrors(model, layers_of(model), PlanOptions())
    stem, depthwise, pointwise = layers_of(model)

    assert set(errors.errors) == {depthwise, pointwise}
    assert stem not in errors.errors
