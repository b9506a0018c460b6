# SPDX-License-Identifier: Apache-2.0
"""A part of a file that cannot be trained whole goes through all commands, as `--from` and `--to`
name it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tflite

from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from tests.support.command import AT_A_RATE, Run
from tests.support.odd_models import CLASSES, LATENT, TRAINABLE, odd_model
from tests.support.placed_data import placed_behind
from tests.support.random_models import samples
from tests.support.small_models import residual_model

PART = ("--from", "latent", "--to", "scores")


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    path = tmp_path / "odd.tflite"
    path.write_bytes(odd_model())
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path, rng = tmp_path / "latents.npz", np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(-128, 128, (24, *LATENT[1:])).astype(np.int8),
        "x_test": rng.integers(-128, 128, (12, *LATENT[1:])).astype(np.int8),
    }
    labels = {f"y_{k[2:]}": np.arange(len(x)) % CLASSES for k, x in arrays.items()}
    np.savez(path, **arrays, **labels)
    return path


def test_it_is_planned_and_generated(run: Run, odd: Path, tmp_path: Path) -> None:
    planned = run("plan", odd, *PART, "--update", "full", "--json").json
    folder = tmp_path / "gen"
    generated = run("generate", odd, *PART, "--update", "full", "--output", folder)

    assert planned["classes"] == CLASSES
    assert generated.status == 0, generated.err
    (found,) = folder.rglob("odd.json")
    options = json.loads(found.read_text())["options"]
    assert (options["start"], options["end"]) == ("latent", "scores")


def test_what_it_learned_is_evaluated_exported_and_goes_on(
    run: Run, odd: Path, data: Path, tmp_path: Path
) -> None:
    saved, new = tmp_path / "learned.npz", tmp_path / "new.tflite"
    common = ("--data", data, "--target", "reference")
    learned = run(
        "train", odd, *PART, *common, *AT_A_RATE, "--no-guard", "--steps", 10, "--save", saved,
        "--json",
    )  # fmt: skip
    assert learned.status == 0, learned.err
    assert run("export", odd, "--state", saved, "--output", new).status == 0

    for asked in (("--state", saved), PART):  # a state says which part it is of
        told = run("evaluate", odd, *common, *asked, "--json")
        assert told.status == 0, told.err
    again = load(new, TRAINABLE)
    assert again.training_state is not None
    old, now = (Interpreter(make_plan(load(path, TRAINABLE))) for path in (odd, new))
    drawn = samples(LATENT, 3, 0)
    assert any((old.infer(x) != now.infer(x)).any() for x in drawn)
    assert tflite.Model.GetRootAsModel(new.read_bytes(), 0).SubgraphsLength() == 2
    resumed = run("plan", new, "--json")  # the file says which part of it was trained
    assert resumed.status == 0, resumed.err
    going_on = run("train", new, *common, *AT_A_RATE, "--no-guard", "--steps", 3, "--json")
    assert going_on.status == 0, going_on.err


def test_what_tflite_micro_does_not_read_is_not_compared(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "placed.tflite"
    path.write_bytes(placed_behind(residual_model()))
    told = run("check", path)

    assert told.status == 1
    assert "keeps data behind its FlatBuffer, which tflite-micro does not read" in told.err
    assert run("plan", path).status == 0


def test_a_part_is_compared_on_what_tflite_micro_makes_of_the_rest(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(residual_model())
    found = run("check", path, "--from", "sum", "--to", "logits", "--json").json

    assert [row["operator"] for row in found["operators"]] == [4, 5, 6]
    assert found["mismatches"] == 0 and found["outputs"] == 5 * (8 + 8 + CLASSES)


def test_a_run_that_is_stopped_goes_on_with_the_same_part_alone(
    run: Run, odd: Path, data: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "run.npz"
    common = ("--data", data, "--target", "reference", *AT_A_RATE, "--no-guard", "--epochs", 2)
    first = run("train", odd, *PART, *common, "--checkpoint", kept)
    other = run("train", odd, "--from", "latent", "--to", "logits", *common, "--checkpoint", kept)

    assert first.status == 0, first.err
    assert other.status == 1 and "--to" in other.err
