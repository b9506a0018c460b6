# SPDX-License-Identifier: Apache-2.0
"""A model that was made smaller, on the terminal and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mcutrain.host.show.shrink_page import page, write_page
from mcutrain.host.show.shrunk import shrunk_tables

SCORE = {"accuracy": 0.875, "certainty": 0.5, "mse": None}
ROW = {
    "model": "full in 2,000", "scheme": "weights 1:1", "sram_bytes": 1990, "step_macs": 4000,
    "predicted_instructions": 30_000, "trial": SCORE, "confirmed": SCORE, "told": "87.5 %",
}  # fmt: skip


def found(**changes: Any) -> dict[str, Any]:
    price = {"arena_bytes": 1, "learned_bytes": 2, "step_macs": 3, "predicted_instructions": 4321}
    return {
        "model": "watch", "output": "small.tflite", "bytes": 4072, "original_bytes": 5280,
        "limits": {"sram": 2000, "flash": None, "instructions": None},
        "options": ["--errors e8"],
        "groups": [
            {"name": f"conv_{k}", "kept": 16 - k, "units": 16, "nbytes": 100 - k, "was_bytes": 160}
            for k in range(14)
        ],
        "stays": {"head": "it is the output of the model"},
        "prices": [
            {"model": "original, full", "sram_bytes": 4680, "constant_bytes": 3535, **price},
            {"model": "smaller, full", "sram_bytes": 1990, "constant_bytes": 2620, **price},
        ],
        "build": None,
        "stages": [
            {"stage": "original", "accuracy": 0.952, "mse": None, "agreement": 1.0},
            {"stage": "least squares", "accuracy": 0.946, "mse": None, "agreement": 0.986},
        ],
        "adaptation": {
            "metric": "accuracy", "update": "full", "steps": 9, "original": 0.97, "smaller": 0.96,
            "before": 0.9,
        },
        "curve": [
            {"sram": 4680, "channels": 40, "loss": 0.0}, {"sram": 1990, "channels": 24, "loss": 2.5}
        ],
        "inputs": 259, "held_out_inputs": 147, "distillation": {}, "search": None,
        "command": "mcutrain train small.tflite --update full", "notes": [],
        **changes,
    }  # fmt: skip


def test_the_terminal_says_what_left_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    shrunk_tables(found())
    said = capsys.readouterr().out

    for text in (
        "channels that stay: 133 of 224", "2 others", "cannot be cut: head: it is the output",
        "4,680", "1,990", "94.6 %", "98.6 %", "trained (full)", "96.0 %", "97.0 %",
        "wrote small.tflite: 4,072 bytes, the original has 5,280", "it fits with --errors e8",
        "train it with: mcutrain train small.tflite --update full",
    ):  # fmt: skip
        assert text in said, text
    assert said.index("conv_13") < said.index("conv_2 ")  # what lost most is first


def test_a_build_has_its_own_row(capsys: pytest.CaptureFixture[str]) -> None:
    build = {"target": "sim:mps2_an386", "sram_bytes": 1987, "flash_bytes": 30123}
    shrunk_tables(found(build=build))
    said = capsys.readouterr().out

    assert "smaller, built for sim:mps2_an386" in said and "1,987" in said and "30,123" in said


def test_without_labels_no_accuracy_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    stages = [{"stage": "original", "accuracy": None, "mse": None, "agreement": 1.0}]
    shrunk_tables(found(stages=stages, adaptation=None))
    said = capsys.readouterr().out

    assert "accuracy" not in said and "agrees with the original" in said and "100.0 %" in said


def test_values_have_an_error_in_place_of_an_accuracy(capsys: pytest.CaptureFixture[str]) -> None:
    stages = [{"stage": "original", "accuracy": None, "mse": 0.0123, "agreement": 1.0}]
    adaptation = {**found()["adaptation"], "metric": "mse", "smaller": 0.5, "original": None}
    shrunk_tables(found(stages=stages, adaptation=adaptation))
    said = capsys.readouterr().out

    assert "mean squared error" in said and "0.0123" in said and "0.5" in said


def test_a_search_shows_its_front(capsys: pytest.CaptureFixture[str]) -> None:
    other = {**ROW, "model": "original", "sram_bytes": 900}
    search = {"chosen": ROW, "front": [other, ROW], "trained": [ROW] * 9, "skipped": ["full in 9"]}
    shrunk_tables(found(search=search))
    said = capsys.readouterr().out

    assert "Pareto front of 9 trainings" in said and "full in 2,000 *" in said
    assert "original *" not in said and "left out: full in 9" in said
    assert "Schemes and sizes" in page(found(search=search))


def test_the_page_has_the_same_figures(tmp_path: Path) -> None:
    write_page(tmp_path / "p.html", found())
    text = (tmp_path / "p.html").read_text()

    for figure in ("1,990", "4,680 for the original", "94.6 %", "95.2 % before", "133", "98.6 %"):
        assert figure in text, figure
    assert "polyline" in text and 'href="#curve"' in text and 'href="#front"' not in text


def test_a_page_without_cuts_has_no_channels() -> None:
    text = page(found(groups=[], curve=[], stays={}))

    assert "id=channels" not in text and "id=curve" not in text and "id=stays" not in text


def test_names_of_a_hostile_file_are_text() -> None:
    evil = "<script>alert(1)</script>"
    groups = [{**found()["groups"][0], "name": evil}]
    text = page(found(model=evil, groups=groups, stays={evil: evil}, command=evil))

    assert evil not in text and "&lt;script&gt;" in text
