# SPDX-License-Identifier: Apache-2.0
"""What a state makes of samples: classes, losses, confusion, the worst, by hand and by steps."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.evaluation import MOST_CLASSES, Evaluation, evaluate, sample_loss
from mcutrain.host.training.loop import train
from mcutrain.host.training.runner import Answer, answer
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from tests.support.autoencoder import autoencoder
from tests.support.guarded import samples, silent, small_plan
from tests.support.small_models import SHAPE


def classified(labels: list[int], predicted: list[int], losses: list[float]) -> Evaluation:
    codes = np.arange(3 * len(labels), dtype=np.int8).reshape(-1, 3)
    found = np.array(predicted)
    return Evaluation(
        codes, 0.5, -2, np.array(losses), 3, np.array(labels), found, class_names=("a", "b")
    )


FOUND = classified([0, 0, 0, 2, 2], [0, 2, 0, 2, 1], [0.1, 3.0, 0.9, 0.2, 1.0])


def test_figures_of_classes_are_counted() -> None:
    assert FOUND.accuracy == FOUND.figure == 0.6
    assert FOUND.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert FOUND.confusion.tolist() == [[2, 0, 1], [0, 0, 0], [0, 1, 1]]
    np.testing.assert_equal(FOUND.recall, [2 / 3, np.nan, 0.5])
    np.testing.assert_equal(FOUND.precision, [1.0, 0.0, 0.5])
    assert FOUND.samples.tolist() == [3, 0, 2]
    assert FOUND.outputs[0].tolist() == [1.0, 1.5, 2.0]  # (code + 2) / 2


def test_the_worst_are_wrong_first_and_then_by_loss() -> None:
    assert FOUND.worst(9) == [1, 4, 2, 3, 0]
    assert FOUND.worst(2) == [1, 4]


def test_json_has_no_nan_and_names_classes() -> None:
    told = json.loads(json.dumps(FOUND.to_json(), allow_nan=False))

    assert [row["name"] for row in told["classes"]] == ["a", "b", "2"]
    assert told["classes"][1] == {
        "class": 1, "name": "b", "samples": 0, "recall": None, "precision": 0.0,
    }  # fmt: skip
    assert told["confusion"] == FOUND.confusion.tolist()
    assert replace(FOUND, classes=MOST_CLASSES + 1).to_json()["confusion"] is None


def test_balanced_accuracy_is_the_mean_of_the_classes() -> None:
    labels = [0] * 8 + [2] * 2

    def balanced(right: list[bool]) -> float:
        predicted = [label if ok else 1 for label, ok in zip(labels, right, strict=True)]
        return classified(labels, predicted, [0.0] * 10).balanced_accuracy

    assert balanced([True] * 10) == 1.0
    assert balanced([True] * 8 + [False] * 2) == 0.5
    assert balanced([True] * 2 + [False] * 7 + [True]) == 0.375


def test_a_sample_is_judged_as_the_step_judges_it() -> None:
    plan = small_plan("head", classes=4, spare_classes=2)
    reference, runner = Interpreter(plan), ReferenceRunner(plan)
    rng = np.random.default_rng(0)
    for _ in range(20):
        sample = rng.integers(-128, 128, SHAPE).astype(np.int8)
        label = np.int64(rng.integers(4))
        runner.load(reference.state_bytes())
        found = answer(plan, runner, sample)
        record = reference.step(sample, label)

        assert found.predicted == record.predicted
        assert sample_loss(plan, sample, label, found.output, 4) == record.real(plan)


def test_a_state_is_evaluated_as_the_run_that_made_it_was() -> None:
    plan, data = small_plan("full", class_names=("u", "v", "w", "z")), samples(12, 3)
    result = train(plan, data, ReferenceRunner(plan), TrainingOptions(2, 0.25), silent)
    before, after = evaluate(plan, None, data), evaluate(plan, result.state, data)

    assert result.evaluation_before is not None and result.evaluation_after is not None
    for found, told in ((before, result.evaluation_before), (after, result.evaluation_after)):
        np.testing.assert_array_equal(found.codes, told.codes)
        np.testing.assert_array_equal(found.losses, told.losses)
        assert found.to_json() == told.to_json()
    told = result.to_json()
    assert (told["accuracy_before"], told["accuracy_after"]) == (before.accuracy, after.accuracy)
    assert told["confusion_after"] == after.confusion.tolist()
    assert told["balanced_accuracy_after"] == after.balanced_accuracy
    changed = {row["name"]: row["change"] for row in told["class_changes"]}
    assert set(changed) <= {"u", "v", "w", "z"} and len(changed) == len(np.unique(data.y_test))
    assert sum(changed.values()) / len(changed) == pytest.approx(
        after.balanced_accuracy - before.balanced_accuracy
    )


def test_a_reconstruction_has_an_error_for_each_output() -> None:
    plan = make_plan(parse(autoencoder(), "auto"), PlanOptions("head", loss="reconstruction"))
    x = np.random.default_rng(0).integers(-128, 128, (6, 12)).astype(np.int8)
    none = np.zeros((6, 0), np.int8)
    found = evaluate(plan, None, Dataset(x, none, x[:2], none[:2]), "train")
    real = (x.astype(float) - 3) * plan.task.input.type.scale
    inside = np.clip(real, *found.real(np.array([-128, 127])))  # what the output can hold

    assert found.metric == "mse" and found.figure == found.loss and len(found) == 6
    np.testing.assert_allclose(
        found.mse_per_output, ((found.outputs - inside) ** 2).mean(axis=0), rtol=0.05, atol=1e-3
    )
    assert found.mse_per_output.mean() == pytest.approx(found.loss)
    assert found.worst(1) == [int(found.losses.argmax())]
    assert found.to_json()["mse"] == found.loss and found.confusion_json() is None


def test_a_split_that_is_not_there_is_named() -> None:
    plan, data = small_plan("head"), samples(6, 3)

    with pytest.raises(DataError, match="no samples to val with: give --split train or test"):
        evaluate(plan, None, replace(data, x_val=None, y_val=None), "val")
    with pytest.raises(DataError, match="unknown split 'tset': give train, test, val"):
        evaluate(plan, None, data, "tset")


def test_answers_are_the_same_by_class_and_output() -> None:
    one = Answer(1, np.array([0, 5], np.int8))

    assert one == Answer(1, np.array([0, 5], np.int8))
    assert one != Answer(0, np.array([0, 5], np.int8))
    assert one != Answer(1, np.array([0, 6], np.int8))
