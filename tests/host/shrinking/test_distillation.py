# SPDX-License-Identifier: Apache-2.0
"""A smaller model that is trained to what the original gives, under a guard."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from mcutrain.host.shrinking.distillation import (
    HELD_PART,
    LEAST_INPUTS,
    LEAST_STEPS,
    MACS_PER_SECOND,
    MOST_HELD,
    RATE,
    SECONDS,
    Distilled,
    all_that_learns,
    distil,
    seconds_for,
    split,
    steps_within,
)
from mcutrain.host.shrinking.distillation import STEPS as MOST
from mcutrain.host.shrinking.fidelity import Compared, compared_part, outputs_of, squares_plan
from mcutrain.host.shrinking.refitted import Weights, with_weights
from mcutrain.host.training.progress import Progress
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, TensorType
from mcutrain.trainer.model import Model, forward
from mcutrain.trainer.ops.logistic import Logistic
from mcutrain.trainer.options import DEFAULT_OPTIONS, RECONSTRUCTION, SQUARED_ERROR, PlanOptions
from mcutrain.trainer.tflite.reader import parse
from tests.support.autoencoder import autoencoder
from tests.support.gated_model import gated_model
from tests.support.random_models import random_model
from tests.support.segmentation import scenes, segmenter
from tests.support.small_models import residual_model

STEPS = 400


def drawn(model: Model, count: int, seed: int = 1) -> Array:
    rng = np.random.default_rng(seed)
    return rng.integers(-60, 60, (count, model.input.type.size)).astype(np.int8)


def noisy(model: Model, share: float = 0.3) -> Model:
    rng = np.random.default_rng(0)
    found = {}
    for node in model.weighted:
        old = Weights.of(node)
        noise = share * old.data.std() * rng.normal(size=old.data.shape)
        found[node] = replace(
            old, data=np.clip(np.round(old.data + noise), -127, 127).astype(np.int8)
        )
    return with_weights(model, found)


@cache
def distilled() -> tuple[Model, Model, Array, Distilled, list[Progress]]:
    model = parse(residual_model(), "model")
    bad, x = noisy(model), drawn(model, 60)
    told: list[Progress] = []
    return model, bad, x, distil(model, bad, x, steps=STEPS, report=told.append), told


def test_a_model_learns_what_the_original_gives() -> None:
    *_, found, _ = distilled()

    assert found.is_kept
    assert found.before is not None
    assert found.trained is not None
    assert found.trained.squared_error < found.before.squared_error / 2
    assert found.after == found.trained
    assert np.mean(found.losses[-48:]) < np.mean(found.losses[:48]) / 2


def test_figures_are_of_the_model_that_comes_back_on_inputs_that_were_held_out() -> None:
    model, bad, x, found, _ = distilled()
    held = split(x, outputs_of(model, x, DEFAULT_OPTIONS)).x_test

    def logits(of: Model) -> Array:
        shape = model.input.type.shape
        values = [forward(of, sample.reshape(shape))[of.logits].reshape(-1) for sample in held]
        return np.stack(values)

    for of, figures in ((bad, found.before), (found.model, found.trained)):
        compared = Compared(logits(of), logits(model), model.logits.type, has_classes=True)
        assert compared.fidelity == figures


def test_it_tells_how_far_it_is() -> None:
    *_, found, told = distilled()

    assert {progress.phase for progress in told} == {"train"}
    assert [told[0].total, told[-1].done, told[-1].total] == [STEPS] * 3
    assert told[0].rate == RATE
    assert told[-1].rate is not None
    assert told[-1].rate < RATE / 10
    assert found.steps == found.wanted_steps == STEPS
    assert json.loads(json.dumps(found.to_json()))["kept"] is True


def test_all_steps_are_in_integers_that_the_reference_has_too() -> None:
    """The same bits again, so every computer distils the same model."""
    model, bad, x, found, _ = distilled()
    again = distil(model, bad, x, steps=STEPS)

    assert again.losses == found.losses
    for one, other in zip(again.model.weighted, found.model.weighted, strict=True):
        np.testing.assert_array_equal(one.inputs[1].data, other.inputs[1].data)
        np.testing.assert_array_equal(one.inputs[2].data, other.inputs[2].data)


def test_a_training_that_makes_it_worse_is_given_back() -> None:
    model = parse(residual_model(), "model")
    bad = noisy(model, 0.02)
    found = distil(model, bad, drawn(model, 60), steps=STEPS, rate=64.0)

    assert not found.is_kept
    assert found.model is bad
    assert found.after == found.before


def test_the_original_itself_stays() -> None:
    model = parse(autoencoder(), "model")
    found = distil(model, model, drawn(model, 40), steps=LEAST_STEPS)

    assert found.model is model
    assert found.after is not None
    assert found.after.squared_error == 0


def test_values_are_no_classes() -> None:
    model = parse(autoencoder(), "model")
    options = PlanOptions(loss=RECONSTRUCTION)
    found = distil(model, noisy(model), drawn(model, 60), options, steps=STEPS)

    assert found.is_kept
    assert found.after is not None
    assert found.after.agreement is None


def test_classes_of_positions_are_compared_at_each() -> None:
    model = parse(segmenter(), "model")
    x = np.round(127 * scenes(30, 2)[0].reshape(30, -1)).astype(np.int8)
    found = distil(model, noisy(model), x, steps=LEAST_STEPS, rate=2.0**-4)

    assert found.before is not None
    assert found.before.agreement is not None
    assert 0 < found.before.agreement < 1


def test_a_model_that_keeps_state_learns_from_sequences() -> None:
    model = parse(random_model("SVDF", 5), "model")
    x = drawn(model, 180).reshape(60, -1)
    options = PlanOptions(sequence_length=3)
    found = distil(model, noisy(model), x, options, steps=LEAST_STEPS)

    assert found.is_kept
    assert found.steps == LEAST_STEPS
    assert outputs_of(model, x, options).shape == (60, model.logits.type.size)


def test_too_few_inputs_train_nothing() -> None:
    model = parse(autoencoder(), "model")
    found = distil(model, model, drawn(model, LEAST_INPUTS - 1))

    assert found.model is model
    assert found.after is None
    assert found.why_not == "19 inputs are too few to hold some out: give 20 or more"


def test_a_model_of_which_nothing_can_learn_stays() -> None:
    model = parse(random_model("UNIDIRECTIONAL_SEQUENCE_LSTM", 1), "model")
    last = replace(model, logits=model.weighted[0].inputs[0])
    found = distil(last, last, drawn(last, LEAST_INPUTS))

    assert found.model is last
    assert found.why_not.startswith("nothing was trained: ")


def test_steps_are_as_many_as_there_is_time_for() -> None:
    model = parse(residual_model(), "model")
    plan = squares_plan(compared_part(model, DEFAULT_OPTIONS), DEFAULT_OPTIONS, "full")

    assert steps_within(plan, 8000, 1e6) == 8000
    assert steps_within(plan, 8000, 0.0) == LEAST_STEPS
    assert steps_within(plan, 10**9, 100.0) < 100.0 * MACS_PER_SECOND / plan.step_macs
    assert seconds_for(model, MOST) == pytest.approx(SECONDS, rel=0.01)
    assert seconds_for(model, MOST + 1) == np.inf
    assert steps_within(plan, 10**9, np.inf) == 10**9


def test_a_fifth_of_the_inputs_is_held_out_and_no_more_than_is_needed() -> None:
    x = np.arange(40, dtype=np.int8)[:, None]
    few = split(x, x)
    many = np.zeros((3000, 1), np.int8)

    assert len(few.x_test) == 40 // HELD_PART
    assert sorted([*few.x_train[:, 0], *few.x_test[:, 0]]) == list(range(40))
    np.testing.assert_array_equal(few.x_train, few.y_train)
    assert len(split(many, many).x_test) == MOST_HELD


def test_layers_that_no_error_reaches_stay() -> None:
    model = parse(gated_model(), "model")
    found = all_that_learns(model)

    assert found.ratios == dict.fromkeys(range(len(model.weighted)), 1.0)
    behind = parse(random_model("SVDF", 1), "model")
    assert set(all_that_learns(behind).ratios) == {len(behind.weighted) - 1}


def test_outputs_are_taken_before_a_softmax_and_before_the_logistic_of_classes() -> None:
    model = parse(residual_model(), "model")
    assert compared_part(model, DEFAULT_OPTIONS).output is model.logits
    gate = parse(random_model("LOGISTIC", 1), "model")
    before, behind = (
        compared_part(gate, PlanOptions(loss=loss)) for loss in ("cross-entropy", SQUARED_ERROR)
    )
    last = behind.graph.producer(behind.logits)

    assert last is not None
    assert isinstance(last.op, Logistic)
    assert before.logits is last.inputs[0]


KIND = TensorType((1, 2), DType.S8, QuantParams((0.5,), 0))


def compared(right: int, of: int, error: int) -> Compared:
    """So many inputs of the wanted class 0, and others of class 1; each output is off by ``error``
    quanta."""
    wanted = np.tile(np.array([10, 0], np.int8), (of, 1))
    found = np.tile(np.array([0, 10], np.int8), (of, 1))
    found[:right] = wanted[:right]
    return Compared(found + np.int8(error), wanted, KIND, has_classes=True)


def test_figures_are_in_real_units() -> None:
    found = compared(3, 4, 0).fidelity

    assert found.inputs == 4
    assert found.agreement == 0.75
    assert found.squared_error == (1 / 4) * (10 * 0.5) ** 2


def test_the_guard_allows_chance_in_the_classes_and_nothing_in_the_error() -> None:
    start = compared(96, 100, 5)

    assert compared(100, 100, 1).is_better_than(start)
    assert compared(92, 100, 1).is_better_than(start)  # 4 lost: 2 standard deviations
    assert not compared(91, 100, 1).is_better_than(start)
    assert not compared(100, 100, 20).is_better_than(start)
    assert not start.is_better_than(start)
