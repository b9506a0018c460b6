# SPDX-License-Identifier: Apache-2.0
"""Schemes and sizes in one search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.request import Request
from mcutrain.host.search.search import Trained
from mcutrain.host.search.trial import TrialScore
from mcutrain.host.shrinking.inputs import Inputs
from mcutrain.host.shrinking.job import ShrinkJob, run_shrink
from mcutrain.host.shrinking.search import Candidate, budgets, front, parts
from mcutrain.host.training import tail as tail_module
from mcutrain.host.training.reporter import SILENT
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.options import PlanOptions, Scheme
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.scheme import parse_scheme
from mcutrain.trainer.tflite.reader import load
from tests.support.small_models import drawn_samples, residual_model, write_dataset


def candidate(
    sram: int, accuracy: float, instructions: int, again: float | None = None
) -> Candidate:
    scores = [None if a is None else TrialScore(a, a) for a in (accuracy, again)]
    assert scores[0] is not None
    scheme = Scheme("s", {1: 1.0}, frozenset({1}))
    return Candidate("original", Trained(scheme, sram, 0, scores[0], scores[1]), instructions)


def test_the_front_has_what_nothing_beats() -> None:
    small, better, beaten = candidate(10, 0.5, 9), candidate(20, 0.6, 20), candidate(21, 0.6, 20)
    quick, again = candidate(30, 0.4, 1), candidate(9, 0.9, 9, 0.3)

    assert front([beaten, better, small, quick, again]) == [again, small, better, quick]


@pytest.mark.parametrize(("whole", "sram"), [(72_068, 22_500), (4000, 4000), (3000, 8000)])
def test_sizes_rise_from_the_budget_to_the_original(whole: int, sram: int) -> None:
    found = budgets(whole, sram)

    assert len(found) == 3 and found == sorted(found)
    assert found[0] <= sram and found[-1] < whole


def test_people_who_judge_have_no_part_in_the_repair() -> None:
    groups = np.repeat(np.arange(6), 5)
    x = groups[:, None].astype(np.int8) * np.ones((1, 4), np.int8)
    inputs = Inputs(x, x[:3], groups.copy(), groups[:3], groups)
    repair, samples = parts(inputs, 0)

    assert not {*repair.x[:, 0].tolist()} & {*samples.x[:, 0].tolist()}
    assert len(repair.x) == len(samples.x) == 15
    assert repair.y is not None and (repair.y == repair.groups).all()
    assert (samples.y == samples.group).all()
    alone, every = parts(Inputs(x, x[:3], groups, groups[:3]), 0)
    assert len(alone.x) == len(every.x) == 30


def test_a_search_needs_labels(tmp_path: Path) -> None:
    (tmp_path / "small.tflite").write_bytes(residual_model())
    np.savez(tmp_path / "x.npz", x_train=drawn_samples(8)[0][0])
    job = ShrinkJob(
        Request.of(tmp_path / "small.tflite"), tmp_path / "x.npz", 1300, search=True,
        output=tmp_path / "out.tflite",
    )  # fmt: skip
    with pytest.raises(DataError, match="has no labels: --search trains schemes"):
        run_shrink(job, SILENT)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_the_winner_is_a_model_and_a_scheme_that_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "native_compiler", lambda: None)
    (tmp_path / "small.tflite").write_bytes(residual_model())
    data = write_dataset(tmp_path / "data.npz")
    job = ShrinkJob(
        Request.of(tmp_path / "small.tflite"), data, 1500, output=tmp_path / "out.tflite",
        search=True, trials=4, epochs=1, steps=64, rate=2**-6,
    )  # fmt: skip
    found = run_shrink(job, SILENT).to_json()
    small, search = load(tmp_path / "out.tflite"), found["search"]
    scheme = parse_scheme(str(tmp_path / "out.toml"), small)
    plan = make_plan(small, PlanOptions(scheme, errors="e8", weights="int8"))

    assert plan.memory.arena_bytes + plan.memory.state_bytes == search["chosen"]["sram_bytes"]
    assert search["chosen"]["sram_bytes"] <= 1500
    assert {row["model"] for row in search["trained"]} >= {"original"}
    assert len({row["model"] for row in search["trained"]}) >= 3
    values = [(r["sram_bytes"], r["predicted_instructions"]) for r in search["front"]]
    assert values == sorted(values)
    assert "out.toml" in found["command"]
    assert run_shrink(job, SILENT).to_json() == found  # from what was kept
