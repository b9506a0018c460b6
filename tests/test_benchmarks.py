# SPDX-License-Identifier: Apache-2.0
"""The float32 yardstick does in float what a plan does in integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.float32 import FloatTrainer
from benchmarks.reference import step_seconds
from benchmarks.watch import Pair, Summary, load_people, split
from trainer.interpreter import Interpreter
from trainer.plan import TrainingPlan, make_plan
from trainer.scheme import Scheme
from trainer.tflite import load

MODEL = Path(__file__).parents[1] / "examples" / "watch" / "watch.tflite"
PART = Scheme("part", {2: 0.5, 3: 1.0}, frozenset({1, 3}))


@pytest.fixture(params=["head", "last:2", "full", "bias", PART], ids=str)
def plan(request: pytest.FixtureRequest) -> TrainingPlan:
    return make_plan(load(MODEL), request.param)


def test_float_logits_are_the_integer_logits_in_real_units(plan: TrainingPlan) -> None:
    x, _ = load_people()[1]
    trainer, interpreter = FloatTrainer.of(plan), Interpreter(plan)
    real = trainer.net.logits(trainer.params, trainer.real(x[:20]))
    logits = plan.logits.type
    integer = np.array([interpreter.infer(sample) for sample in x[:20]], np.float64)
    quanta = np.abs(real / logits.scale + logits.zero_point - integer)

    # Each of the four layers rounds its output: about a quantum or two in sum.
    assert quanta.max() < 5
    assert quanta.mean() < 1.5


def test_a_float_step_changes_what_an_integer_step_changes(plan: TrainingPlan) -> None:
    x, y = load_people()[1]
    trainer, interpreter = FloatTrainer.of(plan), Interpreter(plan)
    params = {name: value.copy() for name, value in trainer.params.items()}
    trainer.step(x[:1], int(y[0]), 2.0**-6)
    interpreter.step(x[0], int(y[0]))

    changed = {name for name, value in params.items() if (value != trainer.params[name]).any()}
    assert changed == set(trainer.masks)
    assert len(changed) == len(plan.learned)


def test_a_step_moves_the_head_as_far_as_the_integer_step_does() -> None:
    plan = make_plan(load(MODEL), "head")
    x, y = load_people()[1]
    trainer, interpreter = FloatTrainer.of(plan), Interpreter(plan)
    weight, bias = plan.learned
    name = trainer.net.layers[-1].weight
    before = trainer.params[name].copy()
    trainer.step(x[:1], int(y[0]), 2.0**-6)
    interpreter.step(x[0], int(y[0]))

    assert weight.data is not None
    fraction = interpreter.state[plan.fractions[weight]] / 256
    moved = (interpreter.state[weight] + fraction - weight.data) * weight.type.scale
    wanted = trainer.params[name] - before
    # The forward passes differ by a quantum here and there: see above.
    assert np.linalg.norm(moved - wanted) < 0.05 * np.linalg.norm(wanted)
    assert (interpreter.state[bias] != bias.data).any()


def test_a_split_gives_five_windows_of_each_class_and_no_window_twice() -> None:
    x, y = load_people()[3]
    data = split(x, y, seed=1, person=3)

    assert np.bincount(data.y_train).tolist() == [5] * 7
    assert len(data.x_train) + len(data.x_test) == len(x)
    assert not {s.tobytes() for s in data.x_train} & {s.tobytes() for s in data.x_test}


def test_a_summary_of_one_pair_has_no_error_yet() -> None:
    summary = Summary.of("head", [Pair("head", 1, 0, 30.0, 80.0, 81.0, 29.0)])

    assert (summary.gap, summary.gap_error) == (-1.0, 0.0)


@pytest.mark.parametrize(("case", "seconds"), [("resnet8, full", 0.25), ("mcunet-5fps, 49kb", 1.0)])
def test_a_step_of_the_reference_is_quick(case: str, seconds: float, models: Path) -> None:
    """About a tenth of what is allowed, on an idle core."""
    assert step_seconds(models, case) < seconds
