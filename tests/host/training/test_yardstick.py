# SPDX-License-Identifier: Apache-2.0
"""A figure beside that of one answer for all samples, and the classes each by itself."""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.loop import train
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.host.training.yardstick import Yardstick, constant_answer
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.autoencoder import autoencoder
from tests.support.small_models import CLASSES, SHAPE, residual_model

SIZE = int(np.prod(SHAPE))


def plan_of(loss: str) -> TrainingPlan:
    if loss == "reconstruction":
        return make_plan(parse(autoencoder(), "auto"), PlanOptions("head", loss=loss))
    return make_plan(parse(residual_model(), "small"), PlanOptions("head", loss=loss))


def labelled(*labels: int) -> Dataset:
    x, y = np.zeros((len(labels), SIZE), np.int8), np.array(labels)
    return Dataset(x, y, x, y)


def said(
    data: Dataset, after: float, plan: TrainingPlan | None = None, balanced: float | None = None
) -> list[str]:
    yardstick = Yardstick(constant_answer(plan or plan_of("cross-entropy"), data))
    yardstick.balanced.update(before=0.25, after=after if balanced is None else balanced)
    metric = "mse" if plan else "accuracy"
    return list(yardstick.told(metric, None, after, has_labels=plan is None))


def test_an_accuracy_of_chance_is_not_silent() -> None:
    """100 samples, 25 of each class: two standard deviations above 25 % are 33.7 %."""
    data = labelled(*[0, 1, 2, 3] * 25)

    (line,) = said(data, 0.33)
    assert line.startswith(
        "warning: accuracy 33.0 % is, within chance, no better than one answer for all test "
        "samples (25.0 %): "
    )
    assert said(data, 0.34) == []


def test_nine_tenths_of_one_class_are_seen_through() -> None:
    first, second = said(labelled(*[0] * 90, *[1] * 5, *[2] * 5), 0.9, balanced=0.5)

    assert first == ("balanced accuracy, the mean of each class's own: 25.0 % before, 50.0 % after")
    assert second.startswith("warning: accuracy 90.0 % is, within chance, no better than one")


def test_rare_classes_that_are_told_apart_are_no_chance() -> None:
    """60 samples, 54 of one class: 97.7 % are within chance, but a balanced accuracy of 59.4 % is
    not: 1/3, and two standard deviations of (2/9 (1/54 + 1/3 + 1/3) / 9)^(1/2)."""
    data = labelled(*[0] * 54, *[1] * 3, *[2] * 3)

    assert len(said(data, 0.967, balanced=0.593)) == 2
    (line,) = said(data, 0.967, balanced=0.594)
    assert line.startswith("balanced accuracy, the mean of each class's own: 25.0 % before, 59.4 %")


def test_values_are_held_to_their_mean() -> None:
    plan = plan_of("mse")
    y = np.array([[-10] * CLASSES, [31] * CLASSES], np.int8)
    x = np.zeros((2, SIZE), np.int8)
    data = Dataset(x, y, x, y)
    found, scale = constant_answer(plan, data), plan.task.logits.type.scale

    assert found is not None
    # The mean, 10.5, is rounded up to 11: squares of 21 and 20 in each output.
    assert found.metric == pytest.approx((21**2 + 20**2) / 2 * scale**2)
    assert said(data, found.metric * 0.99, plan) == []
    (line,) = said(data, found.metric, plan)
    assert line.startswith("warning: mse ") and "no better than one answer" in line


def test_a_reconstruction_is_held_to_the_mean_sample() -> None:
    plan = plan_of("reconstruction")
    x = np.array([[-20], [20]], np.int8).repeat(plan.task.input.type.size, axis=1)
    none = np.zeros((2, 0), np.int8)
    found = constant_answer(plan, Dataset(x, none, x, none))

    assert found is not None and found.metric > 0


def test_one_class_to_test_says_nothing() -> None:
    assert constant_answer(plan_of("cross-entropy"), labelled(1, 1, 1)) is None


def test_a_run_has_both_figures() -> None:
    plan, data = plan_of("cross-entropy"), labelled(*[0] * 6, 1, 2)
    result = train(plan, data, ReferenceRunner(plan), TrainingOptions(1), lambda progress: None)
    found = result.to_json()

    assert found["accuracy_of_one_answer"] == 0.75
    assert found["within_chance"] is True
    # All samples are the same, so one of the three classes is right.
    assert found["balanced_accuracy_after"] in (0.0, 1 / 3)
    assert found["balanced_accuracy_before"] in (0.0, 1 / 3)


@pytest.mark.parametrize("values", [(0.5, 0.4), (0.4, 0.5)])
def test_a_figure_that_is_worse_than_before_is_not_silent(values: tuple[float, float]) -> None:
    told = Yardstick().told
    is_worse = values == (0.5, 0.4)

    said = [*told("accuracy", *values, has_labels=True)]
    assert len(said) == is_worse
    assert all("is worse than before, 40.0 % in place of 50.0 %" in line for line in said)
    said = [*told("mse", *values, has_labels=False)]
    assert len(said) != is_worse
    assert all("is worse than before, 0.5 in place of 0.4" in line for line in said)
    assert [*told("mse", 0.5, 0.5, has_labels=False), *told("mse", None, 0.5, False)] == []


def test_far_below_chance_is_not_within_it() -> None:
    (line,) = said(labelled(*[0, 1, 2, 3] * 25), 0.02)
    assert line.startswith("warning: accuracy 2.0 % is no better than one answer for all test")
