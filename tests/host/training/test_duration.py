# SPDX-License-Identifier: Apache-2.0
"""How long to train: minutes become steps, steps become epochs, and the same run comes again."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.training.dataset import Dataset, load_dataset
from mcutrain.host.training.duration import FEW, timed, within
from mcutrain.host.training.feed import Feed
from mcutrain.host.training.latents import HOST
from mcutrain.host.training.loop import train
from mcutrain.host.training.runners import ReferenceRunner, with_latents
from mcutrain.host.training.time_budget import StepTimes, TimeBudget
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.command import AT_A_RATE, Run
from tests.support.small_models import residual_model, write_dataset

OPTIONS = TrainingOptions(seed=3)


@pytest.fixture(scope="module")
def plan() -> TrainingPlan:
    return make_plan(parse(residual_model(), "small"), PlanOptions("head"))


@pytest.fixture(scope="module")
def data(plan: TrainingPlan, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(write_dataset(tmp_path_factory.mktemp("duration") / "d.npz"), plan)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, 0), (4.9, 0), (8.0, 1), (67.0, 20), (70.0, 20), (71.0, 21), (95.0, 40), (96.0, 41),
        (120.0, 60),
    ],
)  # fmt: skip
def test_steps_that_are_made_in_a_time(seconds: float, expected: int) -> None:
    """20 samples, 3 s each at first and 1 s then; ten validations of half a second an epoch: the
    first epoch takes 5 + 60 + 5 s, the others 25."""
    assert StepTimes(3.0, 1.0, 0.5).steps(seconds, 20, 10) == expected


def test_minutes_become_steps_by_the_clock(
    plan: TrainingPlan, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that says that each inference and each step took a second."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))
    runner = ReferenceRunner(plan)

    assert timed(plan, data, runner, OPTIONS, None, FEW) == StepTimes(1.0, 1.0, 1.0)
    options, budget = within(10.0, plan, data, runner, OPTIONS, None)
    assert (options.steps, options.epochs) == (600, 19)  # of 32 samples
    assert budget == TimeBudget(10.0, 600, 32, 1.0)
    assert budget.told().startswith("10 minutes: 600 steps of 1e+03 ms, 18.8 epochs; --steps 600 ")
    with pytest.raises(DataError, match=r"--minutes 0.01 is over before .* 0.017 are needed: give"):
        within(0.01, plan, data, runner, OPTIONS, None)


def test_timing_a_few_steps_changes_nothing(plan: TrainingPlan, data: Dataset) -> None:
    """The run after it has the bits of the run without, from the beginning and from a state."""
    options = TrainingOptions(1, seed=3, steps=9)
    state = train(plan, data, ReferenceRunner(plan), options, lambda progress: None).state
    for begin in (None, state):
        plain = train(plan, data, ReferenceRunner(plan), options, lambda progress: None, begin)
        runner = with_latents(ReferenceRunner(plan), HOST)
        within(0.01, plan, data, runner, options, begin)
        again = train(plan, data, runner, options, lambda progress: None, begin)

        assert again.state == plain.state and again.losses == plain.losses


def test_less_than_an_epoch_is_said() -> None:
    said = TimeBudget(1.0, 25, 100, 2.4).told()

    assert ", 0.25 epochs; --steps 25 trains the same again; 75 % of the samples were not" in said


def test_many_epochs_cost_nothing_where_steps_end_them(plan: TrainingPlan, data: Dataset) -> None:
    few = Feed(plan, data, TrainingOptions(10**9, steps=70), 3, 0)

    assert len(few.order) == 70
    assert np.array_equal(few.order, Feed(plan, data, TrainingOptions(3, steps=70), 3, 0).order)


@pytest.fixture
def train_small(run: Run, tmp_path: Path) -> Run:
    (tmp_path / "m.tflite").write_bytes(residual_model())
    write_dataset(tmp_path / "d.npz", per_class=1)

    def train_it(*options: object) -> object:
        given = ("train", tmp_path / "m.tflite", "--data", tmp_path / "d.npz")
        return run(*given, *AT_A_RATE, *options)

    return train_it  # type: ignore[return-value]


def test_steps_and_minutes_say_how_long_to_train(train_small: Run) -> None:
    assert train_small("--steps", 50, "--no-guard", "--json").json["steps"] == 50  # 13 epochs
    assert train_small("--steps", 50, "--epochs", 2, "--json").json["steps"] == 8
    found = train_small("--minutes", 0.02, "--json").json
    assert found["steps"] == found["budget"]["steps"] > 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--minutes", "nan"), "--minutes is nan: give a number above 0"),
        (("--minutes", 0), "--minutes is 0: give a number above 0"),
        (("--minutes", 1, "--steps", 2), "leave --epochs and --steps out"),
        (("--minutes", 1, "--replay", 2), "--replay takes each sample once: give --steps N"),
        (("--augment", "flip=2"), "flip is '2': give a number above 0, 1 at most"),
        (("--augment", "flip=1", "--latents", "host"), "leave one of them out"),
        (("--balance", "maybe"), "unknown balance 'maybe': give auto, on, off"),
        (("--balance", "on", "--replay", 2), "leave --balance out"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_a_line(
    train_small: Run, options: tuple[object, ...], text: str
) -> None:
    found = train_small(*options)

    assert found.status == 1 and text in found.err.splitlines()[-1]
