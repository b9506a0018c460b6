# SPDX-License-Identifier: Apache-2.0
"""A study beside a search: it goes on from one, shares one, and refuses what is not its own."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import optuna
import pytest

from mcutrain.host.files import cut_unfinished_line
from mcutrain.host.search.sampler import open_study, storage_error
from mcutrain.host.search.search import score_of
from mcutrain.host.search.study import RECORDS, Study, StudyError, locked_study
from mcutrain.host.search.trial import Setup, TrialScore
from tests.support.command import Run
from tests.support.marks import exhaustive
from tests.support.small_models import residual_model
from tests.support.small_search import BUDGET, QUICK, without_paths


@pytest.mark.slow
@pytest.mark.parametrize("after", [exhaustive(after, (1, 20)) for after in (1, 17, 20)])
def test_an_interrupted_search_goes_on_to_the_same_end(
    search: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Killed in the contributions, the trials, or the confirmation; the last lines half written."""
    whole = search("whole").json
    records = (tmp_path / "whole" / "scheme.study" / RECORDS).read_text().splitlines()
    add, added = Study.add, []

    def killed(self: Study, key: str, score: TrialScore) -> None:
        if len(added) == after:
            with self.path.open("a") as file:
                file.write('{"key": "w 3')
            with (self.folder / "trials.log").open("a") as file:  # as a full disk leaves it
                file.write('{"op_code":9,"worker_id":"fd8b7b05","user_attr":{"value":0.8187')
            (self.folder / "trials.log.lock").symlink_to("cut/scheme.study/trials.log")
            raise KeyboardInterrupt
        added.append(key)
        add(self, key, score)

    with monkeypatch.context() as patch:
        patch.setattr(Study, "add", killed)
        ran = search("cut")
    if len(records) - 1 > after:
        assert ran.status == 130 and "goes on" in ran.err

    again = search("cut").json
    assert without_paths(again) == without_paths(whole)
    assert (tmp_path / "cut" / "scheme.study" / RECORDS).read_text().splitlines() == records


def test_a_study_that_another_process_has_stays_as_it_is(tmp_path: Path) -> None:
    """Half a line may be one that the other process is writing."""
    with locked_study(tmp_path / "study", {"seed": 0}) as study:
        with study.path.open("a") as file:
            file.write('{"key": "w 3')
        before = study.path.read_bytes()
        with (
            pytest.raises(StudyError, match="another process works on the study"),
            locked_study(tmp_path / "study", {"seed": 0}),
        ):
            pass
        assert study.path.read_bytes() == before

    with locked_study(tmp_path / "study", {"seed": 0}) as study:
        assert study.path.read_bytes() == before.removesuffix(b'{"key": "w 3')


@pytest.mark.slow
def test_more_epochs_are_other_trials(search: Run, study: Path) -> None:
    found = search("a", "--epochs", 2).json
    keys = [json.loads(line).get("key", "") for line in (study / RECORDS).read_text().splitlines()]

    assert sum(" e2 " in key for key in keys) >= 4  # --trials
    assert all(row["trial"]["accuracy"] + row["trial"]["certainty"] > 0 for row in found["front"])


def test_a_trial_of_another_process_has_its_own_score() -> None:
    score = TrialScore(0.5, 0.25, None)
    trial = optuna.trial.create_trial(
        params={}, distributions={}, values=[0.5, 100.0], user_attrs={"score": score.to_json()}
    )

    assert score_of(trial) == score


@pytest.mark.slow
def test_a_finished_study_is_not_trained_again(
    search: Run, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Setup, "score", lambda *args: pytest.fail("trained again"))

    assert search("a").json["trials"] > 0


@pytest.mark.slow
def test_two_jobs_find_the_same_contributions(
    run: Run, model: Path, data: Path, tmp_path: Path, study: Path
) -> None:
    """Their processes compile the models: the scores are those of the reference."""
    output = tmp_path / "scheme.toml"
    given = ("--data", data, "--sram", BUDGET, *QUICK, "--jobs", 2, "--output", output)
    found = run("search", model, *given, "--json").json

    assert found["trials"] > 0
    expected = (study / RECORDS).read_text().splitlines()
    actual = (tmp_path / "scheme.study" / RECORDS).read_text().splitlines()
    count = len(found["contributions"]) + 1
    assert sorted(actual[: count + 1]) == sorted(expected[: count + 1])


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (0, "not json"),
        (0, "[1, 2]"),
        (0, '{"identity": 3}'),
        (1, '{"key": "x"}'),
        (1, '{"key": "x", "score": {"accuracy": "high", "certainty": 0, "mse": null}}'),
        (1, "\x00\x00"),
    ],
)
def test_a_damaged_study_is_refused(search: Run, study: Path, line: int, text: str) -> None:
    path = study / RECORDS
    lines = path.read_text().splitlines()
    lines[line] = text
    path.write_text("\n".join(lines) + "\n")
    ran = search("a")

    assert ran.status == 1
    assert "delete the study or give another --study" in ran.err
    assert len(ran.err.strip().splitlines()) == 1


def test_damaged_trials_are_refused(search: Run, study: Path) -> None:
    path = study / "trials.log"
    path.write_bytes(b"\xff\x00 no journal\n" + path.read_bytes())
    ran = search("a")

    assert ran.status == 1
    assert "cannot use the trials in" in ran.err


def test_a_full_disk_is_no_reason_to_delete_a_study() -> None:
    found = storage_error("a.study/trials.log", OSError(errno.ENOSPC, "No space left on device"))

    assert str(found) == (
        "cannot use the trials in a.study/trials.log: No space left on device; free some space "
        "there"
    )


def test_what_a_full_disk_left_of_a_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    for content, left in (
        (b"a\nb\n", b"a\nb\n"), (b"a\nb\n\xff{", b"a\nb\n"), (b"{", b""), (b"", b""),
    ):  # fmt: skip
        path.write_bytes(content)
        cut_unfinished_line(path)

        assert path.read_bytes() == left


def test_a_storage_by_a_relative_path_gives_up_the_lock_of_a_killed_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optuna waits for what its link leads to, and for ever where that is nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    links, link = list[str](), os.symlink

    def seen(to: str, path: str) -> None:
        links.append(to)
        link(to, path)

    monkeypatch.setattr(os, "symlink", seen)
    open_study("sub/trials.log", "a")

    assert links and {*links} == {str(tmp_path / "sub" / "trials.log")}


def test_the_study_of_another_model_is_refused(search: Run, model: Path, study: Path) -> None:
    model.write_bytes(residual_model(1))
    ran = search("a")

    assert ran.status == 1
    assert "is of another model" in ran.err


@pytest.mark.parametrize(
    ("args", "what"), [(("--seed", 3), "seed"), (("--lr", 0.01), "learning rate")]
)
def test_the_study_of_other_options_is_refused(
    search: Run, study: Path, args: tuple[object, ...], what: str
) -> None:
    ran = search("a", *args)

    assert ran.status == 1
    assert f"is of another {what}" in ran.err


def test_another_budget_shares_the_measurements(search: Run, study: Path) -> None:
    path = study / RECORDS
    before = path.read_text().splitlines()
    search("a", "--sram", BUDGET - 200).json  # noqa: B018

    assert path.read_text().splitlines()[: len(before)] == before


@pytest.mark.exhaustive
@pytest.mark.slow
def test_two_studies_share_a_storage(search: Run, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'trials.db'}"
    first = search("a", "--storage", storage, "--trials", 3).json
    both = search("b", "--storage", storage, "--trials", 6).json

    assert len(first["front"]) <= 3 + 1
    assert both["trials"] > first["trials"]
    keys = (tmp_path / "b" / "scheme.study" / RECORDS).read_text()
    assert keys.count('"key"') > 0
