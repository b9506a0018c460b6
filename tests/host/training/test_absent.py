# SPDX-License-Identifier: Apache-2.0
"""Data that lack some of a model's classes: which they are, what is said, and what is kept."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.host.request import Request
from mcutrain.host.training.absent import absent_classes, absent_notes, calls_for_mask
from mcutrain.host.training.bracket import Bracketed, lowest_enough
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.export import export_saved, export_state
from mcutrain.host.training.fold_guard import borrowed, decide
from mcutrain.host.training.job import Outcome, TrainingJob
from mcutrain.host.training.loop import train
from mcutrain.host.training.run import run_job
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.host.training.state import save_state
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.interpreter import unpack_state
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.softmax_cross_entropy import class_bits
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.small_models import SHAPE, residual_model


def quiet(progress: object) -> None:
    pass


@pytest.fixture(scope="module")
def model() -> Model:
    return parse(residual_model(), "small")  # of four classes


def data_of(*labels: int, old: tuple[int, ...] = (), each: int = 4) -> Dataset:
    rng = np.random.default_rng(2)

    def drawn(classes: tuple[int, ...]) -> tuple[Any, Any]:
        y = np.repeat(np.array(classes, np.int64), each)
        x = rng.integers(-128, 128, (len(y), int(np.prod(SHAPE)))).astype(np.int8)
        return x, y

    x, y = drawn(labels)
    more: dict[str, Any] = dict(zip(("x_old", "y_old"), drawn(old), strict=True)) if old else {}
    return Dataset(x, y, x[:2], y[:2], **more)


def plan_of(model: Model, **options: Any) -> TrainingPlan:
    return make_plan(model, PlanOptions("head", **options))


def seen_in(plan: TrainingPlan, state: bytes) -> list[int]:
    assert plan.task.seen is not None
    return np.flatnonzero(class_bits(unpack_state(plan, state)[plan.task.seen])).tolist()


def test_classes_are_absent_where_a_training_has_no_sample_of_them(model: Model) -> None:
    plan, spare = plan_of(model), plan_of(model, spare_classes=3)
    data = data_of(1, 5, old=(0, 2))

    assert absent_classes(plan, data_of(0, 3), None, False) == [1, 2]
    assert absent_classes(spare, data, None, False) == [0, 2, 3, 4]
    assert absent_classes(spare, data, None, True) == [3, 4]  # a stream has the old ones too
    assert absent_classes(spare, data_of(0, 1), None, False) == [2, 3]
    assert absent_classes(plan_of(model, loss="mse"), data, None, False) == []


@pytest.mark.parametrize(
    ("options", "labels", "is_masked"),
    [
        ({"spare_classes": 2}, (4, 5), True),
        ({"spare_classes": 2}, (4,), False),  # alone it would learn nothing
        ({"spare_classes": 2}, (1, 4, 5), False),  # a known one may be taken for absent ones
        ({}, (1, 2), False),
        ({"classes": 4, "spare_classes": 2}, (4, 5), False),  # a new head knows nothing
        ({"spare_classes": 2, "absent": "learn"}, (4, 5), False),
    ],
)
def test_new_classes_alone_call_for_a_mask(
    model: Model, options: dict[str, Any], labels: tuple[int, ...], is_masked: bool
) -> None:
    plan = plan_of(model, **options)
    data = data_of(*labels, old=(0, 1, 2, 3))

    assert calls_for_mask(plan, data, False) is is_masked
    assert not calls_for_mask(plan, data, True)


@pytest.mark.parametrize(
    ("options", "labels", "level", "said"),
    [
        ({}, (0, 1), "warning", "labels 2, 3 will be forgotten"),
        ({}, (0, 1), "warning", "with --replay, or else --absent keep"),
        ({}, (2,), "warning", "give old samples (x_old, y_old) with --replay"),
        ({"absent": "keep"}, (0, 1), "note", "labels 2, 3 without samples: no step tells them"),
        ({"absent": "keep"}, (2,), "warning", "label 2 alone has samples"),
    ],
)
def test_what_becomes_of_absent_classes_is_said(
    model: Model, options: dict[str, Any], labels: tuple[int, ...], level: str, said: str
) -> None:
    (note,) = absent_notes(plan_of(model, **options), data_of(*labels), None, False)

    assert note.level == level and said in note.text and "--replay" in note.text


def test_nothing_is_said_where_nothing_is_forgotten(model: Model) -> None:
    for plan, data, is_stream in (
        (plan_of(model), data_of(0, 1, 2, 3), False),
        (plan_of(model, classes=4), data_of(0, 1), False),
        (plan_of(model), data_of(0, 1, old=(2, 3)), True),
    ):
        assert not [*absent_notes(plan, data, None, is_stream)]


def test_a_training_sees_the_classes_of_its_data(model: Model) -> None:
    """From the first step on, and without those of an earlier training."""
    plan = plan_of(model, spare_classes=2, absent="keep")
    runner, options = ReferenceRunner(plan), TrainingOptions(1, 2**-6, tests=False)
    first = train(plan, data_of(4, 5), runner, options, quiet)
    second = train(plan, data_of(1, 3), runner, options, quiet, first.state)

    assert seen_in(plan, first.state) == [4, 5]
    assert seen_in(plan, second.state) == [1, 3]
    assert first.losses[0] == pytest.approx(math.log(2), abs=1e-4)  # two outputs of zero


def test_the_guard_says_what_it_cannot_judge(model: Model) -> None:
    plan = plan_of(model, spare_classes=2, absent="keep")
    options = TrainingOptions(1, 2**-6)
    found = decide(plan, data_of(4, 5), options, borrowed(ReferenceRunner(plan)), quiet)

    assert found.to_json()["absent_classes"] == [0, 1, 2, 3]
    assert "not judged, without samples: labels 0, 1, 2, 3;" in found.told()


def test_the_lowest_rate_that_is_enough() -> None:
    losses = {k: 0.1 * 2 ** abs(k - 5) for k in range(3, 12)}  # 0.4 at 7, 0.8 at 8
    found = Bracketed({k: losses[k] for k in (4, 5, 6)}, 5, 1.0)
    lower = lowest_enough(found, losses.__getitem__)

    assert (lower.chosen, [*lower.losses]) == (7, [4, 5, 6, 7, 9, 8])
    assert lowest_enough(replace(found, first=0.1), losses.__getitem__).chosen == 5


@pytest.fixture
def job(tmp_path: Path) -> TrainingJob:
    """A net of four classes meets two new ones."""
    path, data = tmp_path / "m.tflite", data_of(4, 5)
    path.write_bytes(residual_model())
    arrays: dict[str, Any] = {key: getattr(data, key) for key in ("y_train", "y_test")}
    arrays |= {k: getattr(data, k).reshape(-1, *SHAPE[1:]) for k in ("x_train", "x_test")}
    np.savez(tmp_path / "d.npz", **arrays)
    request, options = Request.of(path, spare_classes=2), TrainingOptions(1, 2**-6, guard=False)
    return TrainingJob(request, tmp_path / "d.npz", "reference", None, options)


def kinds(outcome: Outcome) -> list[str]:
    return [note.level for note in outcome.notes if note.kind == "absent classes"]


def test_new_classes_are_learned_with_a_mask_by_default(job: TrainingJob, tmp_path: Path) -> None:
    outcome = run_job(job)
    pushed = run_job(replace(job, request=job.request.but(absent="learn")))

    assert seen_in(outcome.plan, outcome.result.state) == [4, 5]
    assert pushed.plan.task.seen is None
    assert (kinds(outcome), kinds(pushed)) == (["note"], ["warning"])

    # A saved state goes on with its mask, and is exported; another choice is refused.
    saved, model = tmp_path / "s.npz", job.request.model
    save_state(saved, outcome.plan, outcome.result.state, outcome.job.request)
    again = run_job(replace(job, state=saved))
    assert again.plan.numerics_hash == outcome.plan.numerics_hash
    export_saved(model, saved, tmp_path / "e.tflite")
    with pytest.raises(DataError, match="--absent keep"):
        run_job(replace(job, request=job.request.but(absent="learn"), state=saved))

    # What was exported may go on with another mask: it is no part of what was learned.
    export_state(pushed.job.request, pushed.plan, pushed.result.state, tmp_path / "p.tflite")
    for name, asked, is_masked in (("e", None, True), ("e", "learn", False), ("p", "keep", True)):
        request = Request.of(tmp_path / f"{name}.tflite", absent=asked)
        other = run_job(replace(job, request=request))
        assert (other.plan.task.seen is not None) is is_masked
        assert other.plan.learning.sgd.data is not None and other.plan.learning.sgd.data[1] == 8
