# SPDX-License-Identifier: Apache-2.0
"""`train` under the guard: what folds decide is done, told and reported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.host.training import fold_guard
from mcutrain.host.training.loop import train
from tests.support.command import Run
from tests.support.guarded import TOO_LARGE, samples, with_validation, write
from tests.support.small_models import CLASSES

GOOD = ("--update", "head", "--lr", 0.25, "--epochs", 3)
BAD = ("--update", "head", "--lr", TOO_LARGE, "--epochs", 1)
EACH = 6
LEARNED = EACH * CLASSES  # samples to learn from


@pytest.fixture
def inputs(model: Path, tmp_path: Path) -> list[object]:
    return ["train", model, "--data", write(tmp_path / "d.npz", samples(EACH))]


def arrays(path: Path) -> dict[str, Any]:
    with np.load(path) as file:
        return {key: file[key].tolist() for key in file.files}


@pytest.mark.slow
def test_what_helps_is_learned_from_all_samples(
    inputs: list[object], run: Run, tmp_path: Path
) -> None:
    """With the guard as without it; and the device is verified in every step."""
    guarded, bare, report = (tmp_path / name for name in ("g.npz", "b.npz", "r.html"))
    found = run(
        *inputs, *GOOD, "--target", "native", "--verify", "--save", guarded, "--report", report,
        "--json",
    ).json  # fmt: skip
    plain = run(*inputs, *GOOD, "--no-guard", "--save", bare, "--json").json
    guard, page = found["guard"], report.read_text()

    assert guard["rolled_back"] is False and found["unguarded"] is None
    assert guard["folds"] == 5 and guard["samples"] == LEARNED
    assert guard["steps"] == 3 * 4 * LEARNED
    assert guard["accuracy_after"] > guard["accuracy_before"]
    assert found["bit_exact"] is True
    assert found["verified_steps"] == found["steps"] == 3 * LEARNED
    assert arrays(guarded) == arrays(bare)
    assert plain["guard"] is None and plain["losses"] == found["losses"]

    assert "<h3>Guard, native</h3>" in page and "Training helped on them" in page
    for state in ("before", "after"):
        right, loss = guard[f"accuracy_{state}"], guard[f"loss_{state}"]
        cells = f"<td>{100 * right:.1f} %</td><td>{loss:.3g}</td>"
        assert f"<th scope=row>{state}</th>{cells}" in page
    assert f"It made {guard['gained']} of {LEARNED} samples right" in page
    assert f"and {guard['lost']} wrong; chance alone" in page


def test_what_does_not_help_is_not_done(inputs: list[object], run: Run, tmp_path: Path) -> None:
    first, second, report = (tmp_path / name for name in ("1.npz", "2.npz", "r.html"))
    begun = run(*inputs, *GOOD, "--no-guard", "--save", first, "--json").json
    bad = (*inputs, *BAD, "--state", first, "--json")
    found = run(*bad, "--save", second, "--report", report, "--verify").json
    page = report.read_text()

    assert found["guard"]["rolled_back"] is True and found["steps"] == 0
    assert found["accuracy_before"] == found["accuracy_after"] == begun["accuracy_after"]
    assert arrays(second) == arrays(first)
    assert "the first state stays, since training does not help" in page
    assert f"{LEARNED} held-out samples" in page and "so the first state stayed." in page
    assert "<section id=learning>" not in page
    assert run(*bad, "--no-guard").json["steps"] > 0


def test_validation_samples_of_the_file_decide_instead(
    model: Path, run: Run, tmp_path: Path
) -> None:
    """After each epoch, and all others are learned from."""
    data = write(tmp_path / "v.npz", with_validation(samples(EACH)))
    found = run("train", model, "--data", data, *GOOD, "--json").json

    assert [point["epoch"] for point in found["guard"]["curve"]] == [0, 1, 2, 3]
    assert found["steps"] == 3 * (EACH - 2) * CLASSES and found["guard"]["samples"] == 2 * CLASSES


@pytest.mark.parametrize("count", [1, CLASSES])
def test_with_one_sample_of_each_class_the_guard_is_off(
    count: int, model: Path, run: Run, tmp_path: Path
) -> None:
    few = samples(1)
    few = replace(few, x_train=few.x_train[:count], y_train=few.y_train[:count])
    data = write(tmp_path / "one.npz", few)
    ran = run("train", model, "--data", data, *GOOD, "--json")

    assert ran.json["guard"] is None and ran.json["steps"] == 3 * count
    assert "each class has only one sample" in ran.json["unguarded"]
    assert [line for line in ran.err.splitlines() if line.startswith("guard: off: each class")]


@pytest.mark.parametrize("after", [0, 40])
def test_ctrl_c_while_folds_are_trained_leaves_everything_as_it_was(
    after: int, inputs: list[object], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, saved, exported = tmp_path / "1.npz", tmp_path / "2.npz", tmp_path / "e.tflite"
    assert run(*inputs, *GOOD, "--no-guard", "--save", state).status == 0
    before = state.read_bytes()

    def stopped(plan: Any, data: Any, runner: Any, options: Any, report: Any, *rest: Any) -> Any:
        def told(progress: Any) -> None:
            if progress.done > after and len(data.x_train) < LEARNED:
                raise KeyboardInterrupt
            report(progress)

        return train(plan, data, runner, options, told, *rest)

    monkeypatch.setattr(fold_guard, "train", stopped)
    ran = run(*inputs, *GOOD, "--state", state, "--save", saved, "--export", exported)

    assert ran.status == 130 and ran.out == ""
    assert ran.err.strip().splitlines()[-1] == "interrupted: nothing was saved or exported"
    assert state.read_bytes() == before and not saved.exists() and not exported.exists()


def test_the_decision_of_no_step_is_not_asked_for(inputs: list[object], run: Run) -> None:
    found = json.loads(run(*inputs, "--update", "head", "--lr", 0.1, "--steps", 0, "--json").out)

    assert found["steps"] == 0 and found["guard"] is None and found["unguarded"] is None
