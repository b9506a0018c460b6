# SPDX-License-Identifier: Apache-2.0
"""Records of runs that were stopped: what they go on in is the record, and it is on the disk."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcutrain.host.record.errors import RecordError
from mcutrain.host.record.writer import RecordWriter, chained
from mcutrain.host.request import Request
from mcutrain.host.training.checkpoint_file import read_checkpoint, write_checkpoint
from mcutrain.host.training.job import asked_job
from mcutrain.host.training.keeping import Keeper
from mcutrain.host.training.run import run_job
from mcutrain.trainer.errors import DataError, Error
from tests.support.command import Run
from tests.support.interrupting import interrupt_at
from tests.support.records import PLAIN, Recorded, files
from tests.support.resumed import Died, Dying

DIES_AT = 21


@pytest.fixture(autouse=True)
def interruptions_arrive() -> Iterator[None]:
    """A process that a shell starts in the background ignores them otherwise."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


def part(found: Recorded, dies_at: int | None = None, **options: Any) -> None:
    """A run of 32 steps with a checkpoint every seventh, or what is left of it."""
    request = chained(Request.of(found.model, "last:2"), None, None)
    job = asked_job(
        request, found.data, "reference", save=found.state, epochs=2,
        checkpoint=found.folder / "c.npz", checkpoint_steps=7,
        **{"guard": False, "lr": "0.03125", **options},
    )  # fmt: skip
    run_job(job, Dying(dies_at), Keeper(found.state, None, RecordWriter(found.record)))


@pytest.fixture
def died(tmp_path: Path) -> Recorded:
    """The files of a run that died after step 21, and whose last checkpoint is of step 16."""
    found = files(tmp_path)
    with pytest.raises(Died):
        part(found, DIES_AT)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_last_evaluation_leaves_a_whole_record(
    number: int, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its end already, and gets no second one."""
    found = files(tmp_path)
    with monkeypatch.context() as patch:
        interrupt_at(2, patch, number, "after")
        ran = run(
            "train", found.model, "--data", found.data, "--update", "last:2", "--epochs", 2, "-q",
            "--record", found.record, "--save", found.state, *PLAIN,
        )  # fmt: skip

    assert ran.status == 128 + number, ran.err
    assert [line["end"] for line in found.lines() if "end" in line] == [32]
    assert found.audited(run, "--state", found.state)["proves"]


OTHERS = {
    "another byte": lambda raw: raw[:200] + bytes([raw[200] ^ 1]) + raw[201:],
    "longer": lambda raw: b"notes of somebody\n" * len(raw),
    "shorter": lambda raw: raw[:300],
    "empty": lambda raw: b"",
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_file_is_refused_and_left_as_it_is(other: str, died: Recorded) -> None:
    content = OTHERS[other](died.record.read_bytes())
    died.record.write_bytes(content)
    said = r"is not the record of the run|bytes, and .* stopped"
    with pytest.raises(RecordError, match=said) as told:
        part(died)

    assert "\n" not in str(told.value) and str(died.record) in str(told.value)
    assert died.record.read_bytes() == content


def test_what_was_written_behind_the_checkpoint_may_be_anything(died: Recorded, run: Run) -> None:
    size = read_checkpoint(died.folder / "c.npz").extra["record"]["bytes"]
    died.record.write_bytes(died.record.read_bytes()[:size] + b"half a li")
    part(died)

    assert died.lines()[-1]["end"] == 32
    assert died.audited(run, "--state", died.state)["proves"]


def test_the_record_is_on_the_disk_before_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, synced, sync = files(tmp_path), list[int](), os.fsync

    def watched(fd: int) -> None:
        if os.path.samestat(os.fstat(fd), found.record.stat()):
            synced.append(os.fstat(fd).st_size)
        sync(fd)

    monkeypatch.setattr(os, "fsync", watched)
    part(found)
    last = read_checkpoint(found.folder / "c.npz").extra["record"]["bytes"]
    assert len(synced) > 4 and synced[-1] == last


LIES: dict[str, Any] = {
    "nothing": {},
    "a number": 5,
    "none": None,
    "negative": {"bytes": -1},
    "huge": {"bytes": 10**30},
    "text": {"bytes": "7"},
    "no digest": {"sha256": None},
    "head": {"head": "zz"},
    "steps": {"steps": -3},
    "heads": {"heads": [1]},
    "a head": {"heads": {"x": "00" * 16}},
    "seen": {"seen": 5},
    "pairs": {"seen": [1, 2]},
}
REPLACED = ("nothing", "a number", "none")


@pytest.mark.rows
@pytest.mark.parametrize("case", LIES)
def test_a_position_that_lies_is_refused_in_one_line(case: str, died: Recorded) -> None:
    path, content = died.folder / "c.npz", died.record.read_bytes()
    found = read_checkpoint(path)
    lie = LIES[case] if case in REPLACED else {**found.extra["record"], **LIES[case]}
    write_checkpoint(replace(found, extra={"record": lie}))
    with pytest.raises(DataError, match=r"is damaged: where its --record stood") as told:
        part(died)

    assert "\n" not in str(told.value) and len(str(told.value)) < 400
    assert died.record.read_bytes() == content


def test_a_best_state_without_its_chain_value_is_refused(tmp_path: Path) -> None:
    """The guard goes back to it at the end of the run."""
    found = files(tmp_path, validates=True)
    options = {"guard": True, "lr": "200", "schedule": "step"}
    with pytest.raises(Died):
        part(found, 17, **options)
    stored = read_checkpoint(tmp_path / "c.npz")
    position = {**stored.extra["record"], "heads": {}}
    write_checkpoint(replace(stored, extra={"record": position}))
    with pytest.raises(Error, match=r"did not say which chain value it had behind 0 steps"):
        part(found, **options)
