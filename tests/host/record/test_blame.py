# SPDX-License-Identifier: Apache-2.0
"""`mcutrain blame`: the step that did the most harm is found, and told with its sample."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

import mcutrain
from mcutrain.host.record.blame import BlameJob, run_blame
from mcutrain.host.training.result import Result
from tests.support.command import Run
from tests.support.records import Recorded, files


@dataclass(frozen=True)
class Trained:
    files: Recorded
    result: Result


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run of 64 steps, with test samples alone."""
    found = files(tmp_path_factory.mktemp("blame"))
    trainer = mcutrain.Trainer(
        mcutrain.plan(found.model, update="last:2"), str(found.data), epochs=4, lr=0.0625,
        guard=False, record=found.record,
    )  # fmt: skip
    return Trained(found, trainer.fit().outcome.result)


def test_each_step_is_measured_before_and_after(trained: Trained) -> None:
    found = run_blame(BlameJob(trained.files.record, trained.files.data, worst=1000))
    by_step = sorted(found.worst, key=lambda each: each.step)
    before, after = trained.result.evaluation_before, trained.result.evaluation_after

    assert found.measured == found.steps == len(by_step) == 64 and found.split == "test"
    assert [each.loss_after for each in by_step[:-1]] == [b.loss_before for b in by_step[1:]]
    assert [each.rise for each in found.worst] == sorted((e.rise for e in by_step), reverse=True)
    assert before is not None and after is not None
    assert (by_step[0].loss_before, by_step[-1].loss_after) == (before.loss, after.loss)
    assert by_step[-1].right_after == int(after.right.sum())
    lines = {line["step"]: line for line in trained.files.lines()[1:-1]}
    assert all(lines[e.step]["sample"] == e.sample for e in by_step)


def test_of_a_long_run_the_worst_stretches_are_looked_at(trained: Trained) -> None:
    record, data = trained.files.record, trained.files.data
    every = run_blame(BlameJob(record, data, worst=1000))
    same = run_blame(BlameJob(record, data, worst=1000, steps=24))
    some = run_blame(BlameJob(record, data, worst=1000, steps=24, samples=4))
    rises = {each.step: each.rise for each in every.worst}

    assert (some.samples, every.samples) == (4, 12)
    assert same.measured <= 12 and some.measured <= 12  # the other half finds the stretches
    assert all(rises[each.step] == each.rise for each in same.worst)
    # Of 11 stretches of 6 steps, those two in which the loss rose most.
    behind = {each.step: each.loss_after for each in every.worst}
    ends = [min(k + 6, 64) - 1 for k in range(0, 64, 6)]
    before = [max(every.worst, key=lambda e: -e.step).loss_before, *(behind[k] for k in ends)]
    risen = sorted(range(11), key=lambda k: before[k] - before[k + 1])[:2]
    assert {each.step // 6 for each in same.worst} == {*risen}


def test_it_is_told_to_people_and_to_programs(trained: Trained, run: Run) -> None:
    told = run(
        "blame", trained.files.record, "--data", trained.files.data, "--json", "-q", "--worst", 2
    )
    shown = run("blame", trained.files.record, "--data", trained.files.data, "-q", "--worst", 2).out
    found = mcutrain.blame(trained.files.record, str(trained.files.data), worst=2)

    assert told.json == found and len(found["worst"]) == 2
    assert f"{found['worst'][0]['step']:,}" in shown and "rise" in shown


def test_a_record_that_is_wrong_blames_nobody(trained: Trained, run: Run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    lines = trained.files.record.read_bytes().splitlines(keepends=True)
    bad.write_bytes(b"".join(lines[:5] + lines[6:]))
    ran = run("blame", bad, "--data", trained.files.data, "--model", trained.files.model, "-q")

    assert ran.status == 1 and "line 6, step 5: step 4 belongs here" in ran.err
