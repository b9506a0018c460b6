# SPDX-License-Identifier: Apache-2.0
"""`mcutrain evaluate`, and training on folders and tables, as commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.command import AT_A_RATE, Run
from tests.support.fresh import fresh, hiding
from tests.support.marks import exhaustive
from tests.support.paths import WATCH
from tests.support.sample_files import dense_model, image_folder, save_wav, tone

MODEL, DATA = WATCH / "watch.tflite", WATCH / "demo.npz"
BOARD = "sim:mps2_an386"
CLASSES = ("dark", "gray", "white")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return image_folder(tmp_path / "photos", CLASSES, 10)


@pytest.fixture
def pixels(tmp_path: Path) -> Path:
    path = tmp_path / "pixels.tflite"
    path.write_bytes(dense_model((8, 6, 1), 3, 0, 1))
    return path


def test_a_model_is_told_by_class_and_by_its_worst_samples(run: Run) -> None:
    found = run("evaluate", MODEL, "--data", DATA, "--json", "--worst", 3).json

    assert found["accuracy"] == 32 / 118 and found["confusion"][3][3] == 21
    assert sum(map(sum, found["confusion"])) == found["samples"] == 118
    losses = [row["loss"] for row in found["worst"]]
    assert len(losses) == 3 and losses == sorted(losses, reverse=True)
    assert found["worst"][0]["sample"] == f"sample {found['worst'][0]['index']}"
    assert not found["worst"][0]["right"]


def test_the_table_fits_80_columns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = ",".join(f"a long name of exercise {k}" for k in range(7))
    ran = run("evaluate", MODEL, "--data", DATA, "--class-names", names)

    assert ran.status == 0, ran.err
    assert "accuracy 27.1 %: 32 of 118 test samples" in ran.out
    _, *table = ran.out.splitlines()  # the first line names the data, whose path may be long
    assert max(len(line.rstrip()) for line in table) <= 80
    assert "0 a long name…" in ran.out and "precision" in ran.out


@pytest.mark.parametrize(
    "target", ["reference", exhaustive("native", ["native"]), exhaustive(BOARD, [BOARD])]
)
def test_a_saved_state_and_its_export_are_evaluated_alike(
    target: str, photos: Path, pixels: Path, run: Run, tmp_path: Path
) -> None:
    state, exported = tmp_path / "s.npz", tmp_path / "t.tflite"
    trained = run(
        "train", pixels, "--data", photos, "--classes", 3, "--epochs", 5, "--no-guard", *AT_A_RATE,
        "--save", state, "--export", exported, "--json",
    )  # fmt: skip
    told = trained.json
    args = ("--data", photos, "--target", target, "--json")
    found = run("evaluate", pixels, "--state", state, *args).json
    again = run("evaluate", exported, *args).json

    assert found["accuracy"] == told["accuracy_after"] == again["accuracy"] > 0.6
    assert found["confusion"] == told["confusion_after"] == again["confusion"]
    assert [row["name"] for row in found["classes"]] == list(CLASSES)
    assert found["worst"][0]["sample"].startswith(CLASSES) and "photos" in found["data"]
    assert {row["name"] for row in told["class_changes"]} == set(CLASSES)


def test_class_names_reach_the_exported_model_and_more_classes_are_told(
    photos: Path, pixels: Path, run: Run
) -> None:
    image_folder(photos, ["black"], 4)
    ran = run("train", pixels, "--data", photos, "--steps", 1)

    assert ran.status == 1
    assert "has 4 classes (black, dark, gray, white), and the model's head 3" in ran.err
    assert "--classes 4" in ran.err and len(ran.err.splitlines()) == 1


def test_calibrate_takes_folders(photos: Path, pixels: Path, run: Run, tmp_path: Path) -> None:
    ran = run("calibrate", pixels, "--data", photos, "-o", tmp_path / "c.tflite", "--json")

    assert ran.json["samples"] == 24
    assert "images are read as 6 x 8 gray" in ran.err


@pytest.mark.exhaustive
def test_search_takes_tables_and_their_recordings(model: Path, run: Run, tmp_path: Path) -> None:
    rows = [
        f"{k % 3},p{k // 10}," + ",".join(str((k % 3 + j % 7) / 4) for j in range(189))
        for k in range(30)
    ]
    header = "label,who," + ",".join(f"v{j}" for j in range(189))
    table = tmp_path / "table.csv"
    table.write_text("\n".join([header, *rows]))
    found = run(
        "search", model, "--classes", 3, "--data", table, "--group", "who", "--sram", "64K",
        "--trials", 1, "--trial-steps", 2, "--promote", 1, "--folds", 1, "--epochs", 1,
        "--jobs", 1, *AT_A_RATE, "--output", tmp_path / "s.toml", "--json",
    )  # fmt: skip

    assert found.status == 0, found.err


@pytest.mark.parametrize("hidden", ["PIL", "soundfile"])
def test_a_missing_library_names_the_extra(hidden: str, photos: Path, pixels: Path) -> None:
    if hidden == "soundfile":
        for file in photos.rglob("*.png"):
            file.rename(file.with_suffix(".wav"))
    ran = fresh("evaluate", pixels, "--data", photos, code=hiding(hidden))

    assert (ran.status, ran.out) == (1, "")
    assert f"{hidden} is not installed; run: pip install 'mcutrain[data]'" in ran.err


def test_sound_is_learned_from_files(run: Run, tmp_path: Path) -> None:
    model = tmp_path / "sound.tflite"
    model.write_bytes(dense_model((800,), 2, -1, 1))
    for k in range(10):
        save_wav(tmp_path / "wav" / "high" / f"{k}.wav", tone(3000 + 10 * k, 800))
        save_wav(tmp_path / "wav" / "silence" / f"{k}.wav", np.zeros(800))
    ran = run("evaluate", model, "--data", tmp_path / "wav", "--split", "train", "--json")

    assert ran.json["samples"] == 16 and ran.json["split"] == "train"


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--data", DATA, "--split", "val"), "no samples to val with: give --split train or test"),
        (("--data", DATA, "--split", "tset"), "--split tset: give train, test, val"),
        (("--data", DATA, "--label", "y"), "--label says nothing of an .npz"),
        (("--data", WATCH / "none"), "cannot read data set"),
        (("--data", DATA, "--target", "moon"), "moon"),
        (("--data", DATA, "--state", DATA), "was not written by `mcutrain train --save`"),
        (("--data", DATA, "--class-names", "a,b"), "2 class names are given, 7 are needed"),
        (("--data", DATA, "--loss", "hinge"), "hinge"),
    ],
)
def test_mistakes_are_one_line(args: tuple[object, ...], told: str, run: Run) -> None:
    ran = run("evaluate", MODEL, *args)

    assert ran.status == 1 and ran.out == ""
    assert told in ran.err and len(ran.err.splitlines()) == 1
