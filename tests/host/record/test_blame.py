# SPDX-License-Identifier: Apache-2.0
"""`mcutrain blame`: the step that did the most harm is found, and told with its sample."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import mcutrain
from mcutrain.host.record.blame import Blame, BlameJob, name_in, run_blame
from mcutrain.host.record.lines import Step
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.leaving_out import LeftOut, without
from mcutrain.host.training.result import Result
from tests.support.command import Run
from tests.support.records import Recorded, files


@dataclass(frozen=True)
class Trained:
    files: Recorded
    result: Result
    blame: Blame


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run of 32 steps, with test samples alone."""
    found = files(tmp_path_factory.mktemp("blame"))
    trainer = mcutrain.Trainer(
        mcutrain.plan(found.model, update="last:2"), str(found.data), epochs=2, lr=0.0625,
        guard=False, record=found.record,
    )  # fmt: skip
    result = trainer.fit().outcome.result
    return Trained(found, result, run_blame(BlameJob(found.record, found.data, worst=1000)))


def test_each_step_is_measured_before_and_after(trained: Trained) -> None:
    found = trained.blame
    by_step = sorted(found.worst, key=lambda each: each.step)
    before, after = trained.result.evaluation_before, trained.result.evaluation_after

    assert found.measured == found.steps == len(by_step) == 32 and found.split == "test"
    assert [each.loss_after for each in by_step[:-1]] == [b.loss_before for b in by_step[1:]]
    assert [each.rise for each in found.worst] == sorted((e.rise for e in by_step), reverse=True)
    assert before is not None and after is not None
    assert (by_step[0].loss_before, by_step[-1].loss_after) == (before.loss, after.loss)
    assert by_step[-1].right_after == int(after.right.sum())
    lines = {line["step"]: line for line in trained.files.lines()[1:-1]}
    assert all(lines[e.step]["sample"] == e.sample for e in by_step)


def test_of_a_long_run_the_worst_stretches_are_looked_at(trained: Trained) -> None:
    record, data, every = trained.files.record, trained.files.data, trained.blame
    some = run_blame(BlameJob(record, data, worst=1000, steps=12))
    few = run_blame(BlameJob(record, data, worst=1, steps=2, samples=4))
    rises = {each.step: each.rise for each in every.worst}

    assert (every.samples, some.samples, few.samples) == (12, 12, 4) and len(few.worst) == 1
    assert 0 < some.measured <= 6  # the other half of the measurements finds the stretch
    assert all(rises[each.step] == each.rise for each in some.worst)
    # Of 6 stretches of 6 steps, that in which the loss rose most.
    behind = {each.step: each.loss_after for each in every.worst}
    first = next(each.loss_before for each in every.worst if each.step == 0)
    ends = [first, *(behind[min(k + 6, 32) - 1] for k in range(0, 32, 6))]
    most = min(range(6), key=lambda k: ends[k] - ends[k + 1])
    assert {each.step // 6 for each in some.worst} == {most}


def test_it_is_told_to_people_and_to_programs(trained: Trained, run: Run) -> None:
    record, data = trained.files.record, trained.files.data
    few = ("--worst", 2, "--samples", 1, "--steps", 2, "-q")
    shown = run("blame", record, "--data", data, *few).out
    found = mcutrain.blame(record, str(data), worst=2, samples=1, steps=2)

    assert len(found["worst"]) == 2 <= found["measured_steps"] <= 6 and found["samples"] == 1
    assert f"{found['worst'][0]['step']:,}" in shown and "rise" in shown


@pytest.mark.parametrize("left_out", ["1", "1,old:0"])
def test_a_sample_is_called_what_the_user_calls_it_where_others_were_left_out(
    left_out: str,
) -> None:
    x, y = np.zeros((4, 3), np.int8), np.zeros(4, np.int64)
    files = {"train": ("a", "b", "c", "d")}
    given = Dataset(x, y, x, y, x_old=x, y_old=y, names=files)
    found = without(given, LeftOut.parse(left_out))

    def name(of: str, sample: int | None) -> str:
        return name_in(found, Step(0, sample, of, b"", 0, (1, 0), 0, b""))

    assert [name("train", k) for k in (0, 2, 3)] == ["a", "c", "d"]
    assert (name("old", 3), name("train", None)) == ("sample 3", "unknown")
    assert name_in(given, Step(0, 3, "train", b"", 0, (1, 0), 0, b"")) == "d"


def test_a_record_that_is_wrong_blames_nobody(trained: Trained, run: Run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    lines = trained.files.record.read_bytes().splitlines(keepends=True)
    bad.write_bytes(b"".join(lines[:5] + lines[6:]))
    ran = run("blame", bad, "--data", trained.files.data, "--model", trained.files.model, "-q")

    assert ran.status == 1 and "line 6, step 4: step 3 belongs here" in ran.err
