# SPDX-License-Identifier: Apache-2.0
"""Runs with validation samples: they keep an epoch, roll back, and stop early."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.guard import Guarded
from mcutrain.host.training.loop import train
from mcutrain.host.training.rates import epochs, last_part
from mcutrain.host.training.runners import ReferenceRunner, simulated
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.interpreter import unpack_state
from tests.support.guarded import TOO_LARGE, run, samples, silent, small_plan, with_validation
from tests.support.small_models import CLASSES, SHAPE


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Ten of each class to train with, two of each to validate."""
    return with_validation(samples())


def test_a_guard_without_samples_is_refused(data: Dataset) -> None:
    with pytest.raises(DataError, match="needs validation samples"):
        run(replace(data, x_val=None, y_val=None))


@pytest.mark.slow
def test_a_rate_that_breaks_the_model_is_rolled_back(data: Dataset) -> None:
    good = run(data, epochs=6, rate=0.25)
    bad = run(data, epochs=3, state=good.state, rate=TOO_LARGE)
    bare = run(data, epochs=3, state=good.state, rate=TOO_LARGE, guard=False)
    assert bad.guarded is not None and good.guarded is not None

    assert not good.guarded.rolled_back and good.after > good.before
    assert bad.guarded.rolled_back
    assert bad.steps == 120
    assert bad.after == bad.before > bare.after
    assert bad.state == good.state
    assert "rolled back: no epoch was better than the" in bad.guarded.told()


def test_the_best_epoch_is_the_one_that_an_unguarded_run_has_there(data: Dataset) -> None:
    guarded = run(data, epochs=4, rate=0.2, schedule="constant")
    assert guarded.guarded is not None
    step = guarded.guarded.curve[guarded.guarded.best][0]
    bare = run(data, epochs=4, steps=step, rate=0.2, schedule="constant", guard=False)

    assert step > 0
    assert guarded.state == bare.state
    assert guarded.after == bare.after


def test_going_on_from_the_best_epoch_repeats_what_followed_it(data: Dataset) -> None:
    """The step number is kept with the rest: the order and the dither are those of then."""
    plan = small_plan("full")
    first = run(data, epochs=4, rate=0.2, schedule="constant")
    assert first.guarded is not None
    done = first.guarded.curve[first.guarded.best][0]
    assert unpack_state(plan, first.state)[plan.learning.sgd][1] == done
    again = run(data, epochs=4, steps=160 - done, rate=0.2, schedule="constant", state=first.state)
    assert again.guarded is not None

    assert again.losses == first.losses[done:]
    assert again.guarded.curve == first.guarded.curve[first.guarded.best :]
    assert again.state == first.state


def test_the_host_validates_as_the_device_does(data: Dataset) -> None:
    on_device, on_host = run(data), run(data, validate_on="host")

    assert on_host.guarded == on_device.guarded
    assert on_host.state == on_device.state
    with pytest.raises(DataError, match="place to validate on"):
        TrainingOptions(validate_on="cloud")


def test_a_run_stops_when_patience_is_over(data: Dataset) -> None:
    early = run(data, epochs=9, rate=TOO_LARGE, schedule="constant", patience=2)
    assert early.guarded is not None
    assert early.guarded.stopped_early
    assert early.steps == 40 * (len(early.guarded.curve) - 1) < 360
    assert early.guarded.best == len(early.guarded.curve) - 3
    never = run(data, epochs=4, rate=TOO_LARGE, schedule="constant", patience=0)
    assert never.guarded is not None and not never.guarded.stopped_early
    assert never.steps == 160


@pytest.mark.parametrize("schedule", ["cooldown", "step", "cosine"])
def test_patience_waits_for_the_low_rate(schedule: str, data: Dataset) -> None:
    """Nine epochs: the last three count, and the third of them is the last one anyway."""
    result = run(data, epochs=9, rate=TOO_LARGE, schedule=schedule, patience=1)
    assert result.guarded is not None

    assert last_part(360, schedule) == 240
    assert result.steps > 240


def test_epochs_of_a_run_that_goes_on_end_where_they_would_have() -> None:
    assert epochs(0, 40, 0) == []
    assert epochs(80, 40, 0) == [(0, 40), (40, 80)]
    assert epochs(30, 40, 100) == [(0, 20), (20, 30)]
    assert epochs(3, 1, 5) == [(0, 1), (1, 2), (2, 3)]


def test_one_validation_sample_is_enough_to_run(data: Dataset) -> None:
    assert data.x_val is not None and data.y_val is not None
    result = run(replace(data, x_val=data.x_val[:1], y_val=data.y_val[:1]))
    assert result.guarded is not None

    assert all(score.total == 1 for _, score in result.guarded.curve)
    assert (
        result.guarded.curve[result.guarded.best][1].correct >= result.guarded.curve[0][1].correct
    )


def test_no_step_is_nothing_to_roll_back(data: Dataset) -> None:
    result = run(data, epochs=0)
    assert result.guarded is not None

    assert not result.guarded.rolled_back
    assert "no epoch was trained" in result.guarded.told()
    assert result.after == result.before
    assert "before it had measured" in Guarded("accuracy").told()


@pytest.mark.slow
def test_verification_holds_through_a_rollback(data: Dataset) -> None:
    plan = small_plan("full")
    options = TrainingOptions(2, TOO_LARGE, seed=1, verify=True, guard=True)
    with simulated(build(plan, Target.parse("native"))) as runner:
        start = train(plan, data, runner, replace(options, rate=0.25, epochs=4), silent)
        result = train(plan, data, runner, options, silent, start.state)
        kept = runner.state()

    assert start.bit_exact and result.bit_exact
    assert result.verified_steps == result.steps == 80
    assert result.guarded is not None and result.guarded.rolled_back
    assert kept == result.state == start.state
    reference = run(data, epochs=2, rate=TOO_LARGE, state=start.state)
    assert reference.guarded == result.guarded
    assert reference.state == result.state


def test_a_fault_shows_while_the_guard_validates(data: Dataset) -> None:
    """A device whose outputs are not the reference's is found in the first validation."""
    plan = small_plan()
    with simulated(build(plan, Target.parse("native"))) as runner:
        logits = runner.logits
        runner.logits = lambda: logits() ^ 1  # type: ignore[method-assign]
        options = TrainingOptions(1, seed=1, verify=True, guard=True, tests=False)
        result = train(plan, data, runner, options, silent)

    assert result.difference is not None
    assert result.bit_exact is False and result.state == b""


def test_values_are_guarded_by_their_loss() -> None:
    plan = small_plan("head", loss="mse")
    rng = np.random.default_rng(0)
    x = rng.integers(-100, 100, (24, int(np.prod(SHAPE)))).astype(np.int8)
    y = rng.integers(-9, 9, (24, CLASSES)).astype(np.int8)
    data = Dataset(x[5:], y[5:], x[:5], y[:5], x[:5], y[:5])
    options = TrainingOptions(3, seed=0, guard=True)
    result = train(plan, data, ReferenceRunner(plan), options, silent)
    assert result.guarded is not None
    curve = [score for _, score in result.guarded.curve]

    assert curve[result.guarded.best].loss == min(score.loss for score in curve)
    assert "mse" in result.guarded.told()
    assert all(score.correct == 0 for score in curve)
