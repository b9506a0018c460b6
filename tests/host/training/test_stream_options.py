# SPDX-License-Identifier: Apache-2.0
"""Options that a stream, or a run without one, cannot follow: refused or said, never silent."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcutrain.host.api.data import load_data
from mcutrain.host.api.plan import plan as plan_of
from mcutrain.host.api.trainer import Trainer
from mcutrain.host.request import Request
from mcutrain.host.training.dataset import Dataset, load_dataset
from mcutrain.host.training.feed import check_stream, short_run_notes
from mcutrain.host.training.job import TrainingJob, asked_job
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.host.training.unused_options import unused_notes
from mcutrain.trainer.errors import DataError, Error
from tests.support.command import AT_A_RATE, Run
from tests.support.small_models import write_dataset


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "d.npz", per_class=1)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--epochs", 3), "--epochs 3: --replay takes each sample of x_train once, as a stream"),
        (("--epochs", 0), "--epochs 0: --replay takes each sample of x_train once"),
        (("--replay-ratio", 1000), "--replay-ratio is 1000: give 0 to 100 replays"),
        (("--replay-ratio", -1), "--replay-ratio is -1: give 0 to 100 replays"),
        (("--replay", 10**12), "--replay is 1000000000000: give 1 to 65,535 slots"),
        (("--replay", 0), "--replay is 0: give 1 to 65,535 slots"),
    ],
)
def test_what_a_stream_cannot_follow_is_refused_in_a_line(
    run: Run, model: Path, data: Path, options: tuple[object, ...], text: str
) -> None:
    found = run("train", model, "--data", data, *AT_A_RATE, "--replay", 2, *options)

    assert found.status == 1 and len(found.err.splitlines()) == 1 and text in found.err


def test_a_stream_of_one_epoch_may_be_asked_for(run: Run, model: Path, data: Path) -> None:
    found = run("train", model, "--data", data, *AT_A_RATE, "--replay", 2, "--epochs", 1, "--json")

    assert found.json["steps"] == 8  # four samples, each with a replay


def test_python_says_the_same(model: Path, data: Path) -> None:
    plan, samples = plan_of(model, update="head"), load_data(data)
    for given, text in (
        ({"epochs": 2}, "once, as a stream"),
        ({"replay_ratio": 101}, "give 0 to 100 replays"),
        ({"replay_ratio": 1.5}, "replay_ratio is 1.5: give a whole number"),
    ):
        with pytest.raises(Error, match=text):
            Trainer(plan, samples, replay=2, **given)  # type: ignore[arg-type]


def test_a_stream_has_no_more_steps_than_a_run(model: Path, data: Path) -> None:
    found = load_dataset(data, Request.of(model, "head").plan())
    check_stream(found, 25_000_000 - 1)
    with pytest.raises(DataError, match="makes 100,000,004 steps of 4 samples, and a run may have"):
        check_stream(found, 25_000_000)


def test_steps_that_end_a_stream_count_its_replays(run: Run, model: Path, data: Path) -> None:
    (note,) = short_run_notes(4, TrainingOptions(1, steps=5), ratio=2)

    assert "an epoch of 4 samples with 2 replays of each: 50 % of them are not" in note.text
    assert not list(short_run_notes(4, TrainingOptions(1, steps=10), ratio=2))
    told = run("train", model, "--data", data, *AT_A_RATE, "--replay", 2, "--steps", 3, "--dry-run")
    assert "steps: 3" in told.out.splitlines()


def job_of(model: Path, data: Path, **options: Any) -> TrainingJob:
    return asked_job(Request.of(model, "head"), data, "reference", **options)


@pytest.mark.parametrize(
    ("options", "validates", "said"),
    [
        ({"patience": 3}, False, "--patience 3 is not used: the guard looks at no x_val, since"),
        ({"validate_on": "host"}, False, "--validate-on host is not used: the guard looks at no"),
        ({"patience": 3, "replay": 4}, False, "--patience 3 is not used: the guard looks at no"),
        ({"patience": 3, "guard": False}, True, "--patience 3 is not used: .* with --no-guard"),
        ({"guard_minutes": 1.0}, True, "--guard-minutes 1.0 is not used: the guard looks at x_val"),
        ({"guard_minutes": 1.0, "guard": False}, False, "--guard-minutes 1.0 is not used: there"),
        ({"lr_minutes": 1.0, "lr": "0.5"}, False, "--lr-minutes 1.0 is not used: --lr 0.5 is"),
        ({"replay_ratio": 3}, False, "--replay-ratio 3 is not used: there is no buffer without"),
        ({"patience": 3, "replay": 4}, True, None),
        ({"guard_minutes": 1.0, "lr_minutes": 1.0, "replay": 4, "replay_ratio": 3}, False, None),
        ({}, False, None),
    ],
)
def test_options_that_are_not_used_are_said(
    options: dict[str, Any], validates: bool, said: str | None, model: Path, data: Path
) -> None:
    job = job_of(model, data, **options)
    found: Dataset = load_dataset(data, job.request.plan())
    if validates:
        found = replace(found, x_val=found.x_train, y_val=found.y_train)
    notes = [note.text for note in unused_notes(job, found)]

    assert len(notes) == (said is not None)
    for note in notes:
        assert said is not None and re.match(said, note)


def test_a_run_tells_what_it_does_not_use(run: Run, model: Path, data: Path) -> None:
    found = run("train", model, "--data", data, *AT_A_RATE, "--patience", 3, "--steps", 4)

    assert "note: --patience 3 is not used: " in found.err
