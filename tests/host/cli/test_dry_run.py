# SPDX-License-Identifier: Apache-2.0
"""--dry-run tells what would be done, checks what can be checked, and leaves no file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import AT_A_RATE, Run
from tests.support.paths import WATCH

MODEL, DATA = WATCH / "watch.tflite", WATCH / "demo.npz"
TRAIN = ("train", MODEL, "--data", DATA, "--update", "last:2")


def test_a_dry_training_tells_what_the_real_one_does(run: Run, tmp_path: Path) -> None:
    files = ("--save", tmp_path / "s.npz", "--export", tmp_path / "e.tflite")
    asked = (*TRAIN, *files, "--epochs", 1, "--json")
    dry = run(*asked, "--dry-run").json

    assert list(tmp_path.iterdir()) == []
    assert dry["files"] == [str(tmp_path / "s.npz"), str(tmp_path / "e.tflite")]
    real = run(*asked).json
    assert dry["steps"] == len(real["losses"])
    assert dry["ram_bytes"] == real["cost"]["arena_bytes"] + real["cost"]["learned_bytes"]
    rate, guard = dry["trainings"]
    assert rate["why"] == "learning rate" and rate["steps"] == real["rate"]["steps"]
    assert rate["trainings"] / 2 < real["rate"]["trainings"] < 2 * rate["trainings"]  # about
    assert guard["trainings"] == real["guard"]["folds"]


def test_what_is_given_costs_no_trainings(run: Run) -> None:
    dry = run(*TRAIN, *AT_A_RATE, "--no-guard", "--dry-run", "--json").json

    assert dry["trainings"] == []
    text = run(*TRAIN, "--dry-run", "--target", "native").out
    assert "dry run: watch, last:2, on native; nothing is done" in text
    assert "learning rate: about 8 trainings of at most 350 steps" in text


def test_a_dry_search_build_and_calibration_leave_nothing(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    search = ("search", MODEL, "--data", DATA, "--sram", "64K", "--output", f"{out}.toml")
    found = run(*search, "--trials", 7, "--dry-run", "--json").json
    assert found["trainings"][0]["trainings"] == 7
    assert f"{out}.toml" in found["files"]
    built = run("build", MODEL, "--output", out, "--target", "native", "--dry-run", "--json").json
    assert str(out / "firmware.elf") in built["files"] and built["predicted_instructions"] > 0
    fitted = ("calibrate", MODEL, "--data", DATA, "--output", f"{out}.tflite", "--dry-run")
    assert run(*fitted, "--json").json["files"] == [f"{out}.tflite"]
    assert f"would write {out}.tflite" in run(*fitted).out

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        ("--data", "no.npz"),
        ("--update", "lst:2"),
        ("--classes", 3),
        ("--target", "sim:nowhere"),
        ("--save", "nowhere/s.npz"),
        ("--port", "/dev/no-such-port"),
        ("--count-instructions",),
        ("--epochs", 1, "--minutes", 1),
        ("--state", MODEL),
    ],
    ids=lambda wrong: " ".join(map(str, wrong)),
)
def test_what_the_real_run_refuses_is_refused_alike(
    wrong: tuple[object, ...], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dry, real = run(*TRAIN, *wrong, "--dry-run"), run(*TRAIN, *AT_A_RATE, *wrong, "--no-guard")

    assert dry.status == real.status != 0
    assert dry.err.splitlines()[-1] == real.err.splitlines()[-1]
