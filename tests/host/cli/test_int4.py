# SPDX-License-Identifier: Apache-2.0
"""--frozen int4 of the commands about a plan: what it saves, in text and in JSON, or does not."""

from __future__ import annotations

from pathlib import Path

from tests.support.command import Run
from tests.support.nibbles import as_int4
from tests.support.small_models import residual_model, write_dataset

INT4 = ("--frozen", "int4")


def test_plan_says_what_int4_saves(run: Run, model: Path, tmp_path: Path) -> None:
    small = tmp_path / "int4.tflite"
    small.write_bytes(as_int4(residual_model()))
    wide, narrow = (run("plan", small, *more, "--json").json for more in ((), INT4))

    assert wide["int4"] == {"frozen": "int8", "layers": 0, "saved_bytes": 0}
    assert narrow["int4"] == {"frozen": "int4", "layers": 3, "saved_bytes": 176}
    assert wide["constant_bytes"] - narrow["constant_bytes"] == 176
    assert wide["numerics_hash"] == narrow["numerics_hash"] and not narrow["notes"]
    text = " ".join(run("plan", small, *INT4).out.split())
    assert "layers with frozen weights of int4: 3; they take 176 bytes of flash less" in text


def test_plan_says_what_stays_int8(run: Run, model: Path) -> None:
    (note,) = run("plan", model, *INT4, "--json").json["notes"]

    assert (note["kind"], note["figure"]) == ("weights beyond int4", 176)
    assert "`mcutrain shrink MODEL --data D --frozen int4` quantises them" in note["text"]


def test_an_unknown_type_is_refused_in_one_line(run: Run, model: Path) -> None:
    ran = run("plan", model, "--frozen", "int2")

    assert ran.status != 0 and "--frozen int2: take one of int8, int4" in ran.err


def test_train_and_export_keep_frozen_int4(run: Run, tmp_path: Path) -> None:
    small, data = tmp_path / "int4.tflite", write_dataset(tmp_path / "data.npz")
    small.write_bytes(as_int4(residual_model()))
    asked = ("--data", data, "--update", "head", "--epochs", 1, "--lr", 0.01, "--target", "native")
    state, out = tmp_path / "learned.npz", tmp_path / "trained.tflite"
    assert run("train", small, *asked, *INT4, "--verify", "--save", state).status == 0

    assert run("export", small, "--state", state, "--output", out).status == 0
    assert run("plan", out, *INT4, "--json").json["int4"]["layers"] == 3
