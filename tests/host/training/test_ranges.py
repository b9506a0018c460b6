# SPDX-License-Identifier: Apache-2.0
"""What values lose as the int8 of the model is said, of every array that a user gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.host.request import Request
from mcutrain.host.training.dataset import load_dataset, load_old
from mcutrain.host.training.ranges import End, quantised, range_notes
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import DType, QuantParams, TensorType
from mcutrain.trainer.making.options import FullyConnectedOptions
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, write_model
from mcutrain.trainer.ops.quantize import from_uint8
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.command import AT_A_RATE, Run
from tests.support.micro import Micro
from tests.support.small_models import activation, bias, weights

WIDTH = 8
UNIT = End(TensorType((1, WIDTH), DType.S8, QuantParams((1 / 255,), -128)))


def dense(outer: WriterTensor | None = None) -> bytes:
    """A layer of 3 outputs of 8 values from 0 to 1, behind a QUANTIZE of ``outer`` if given."""
    rng = np.random.default_rng(2)
    tensors = [
        activation("x", (1, WIDTH), 1 / 255, -128),
        weights("w", (3, WIDTH), 0, rng), bias("b", 3, rng), activation("y", (1, 3), 0.1, 5),
    ]  # fmt: skip
    ops = [WriterOp("FULLY_CONNECTED", ("x", "w", "b"), ("y",), FullyConnectedOptions())]
    if outer is not None:
        tensors = [outer, *tensors]
        ops = [WriterOp("QUANTIZE", (outer.name,), ("x",)), *ops]
    return write_model(tensors, ops, [tensors[0].name], ["y"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ranges")
    (path / "m.tflite").write_bytes(dense())
    return path


@pytest.fixture(scope="module")
def plan(folder: Path) -> TrainingPlan:
    return Request.of(folder / "m.tflite", "head").plan()


def arrays(**changed: Any) -> dict[str, Any]:
    """A data set that nothing is to be said of, but for what is ``changed``."""
    rng = np.random.default_rng(3)
    found: dict[str, Any] = {}
    for part in ("train", "test", "val", "old"):
        found[f"x_{part}"] = rng.uniform(0, 1, (30, WIDTH))
        found[f"y_{part}"] = np.arange(30) % 3
    return {**found, **changed}


def notes_of(path: Path, plan: TrainingPlan, **changed: Any) -> list[tuple[str, str]]:
    given = arrays(**changed)
    found: list[tuple[str, str]] = []
    for without in ("old", "val"):  # a file has validation samples or old ones
        parts = {key: value for key, value in given.items() if without not in key}
        np.savez(path / "d.npz", **parts)
        found += [(note.about, note.kind) for note in load_dataset(path / "d.npz", plan).notes]
    return sorted(set(found))


def test_nothing_is_said_of_values_that_fit(folder: Path, plan: TrainingPlan) -> None:
    assert notes_of(folder, plan) == []


@pytest.mark.parametrize("part", ["train", "test", "val", "old"])
def test_every_array_is_checked_both_ways(folder: Path, plan: TrainingPlan, part: str) -> None:
    x = arrays()[f"x_{part}"]

    assert notes_of(folder, plan, **{f"x_{part}": 255 * x}) == [(f"x_{part}", "clipped")]
    assert notes_of(folder, plan, **{f"x_{part}": x / 255}) == [(f"x_{part}", "few codes")]


def test_int8_values_are_checked_too(folder: Path, plan: TrainingPlan) -> None:
    x = np.random.default_rng(0).integers(-3, 4, (30, WIDTH)).astype(np.int8)

    assert notes_of(folder, plan, x_test=x) == [("x_test", "few codes")]


def test_two_codes_far_apart_are_a_whole_range(folder: Path, plan: TrainingPlan) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (30, WIDTH)).astype(float)

    assert notes_of(folder, plan, x_train=bits) == []


def test_features_of_other_units_that_merge_are_said(folder: Path, plan: TrainingPlan) -> None:
    x = arrays()["x_train"] * ([1] * 4 + [1e-4] * 4)

    assert notes_of(folder, plan, x_train=x) == [("x_train", "merged")]


def test_old_samples_and_targets_are_checked(folder: Path) -> None:
    plan = Request.of(folder / "m.tflite", "head", loss="mse").plan()
    y = np.random.default_rng(1).uniform(-13, 12, (30, 3))
    targets = dict.fromkeys(("y_train", "y_test", "y_val", "y_old"), y)

    assert notes_of(folder, plan, **targets) == []
    wide, narrow = targets | {"y_test": 100 * y}, targets | {"y_val": y / 100}
    assert notes_of(folder, plan, **wide) == [("y_test", "clipped")]
    assert notes_of(folder, plan, **narrow) == [("y_val", "few codes")]
    np.savez(folder / "old.npz", **arrays(x_old=np.full((30, WIDTH), 300.0), **targets))
    *_, notes = load_old(folder / "old.npz", plan)
    assert [note.kind for note in notes] == ["clipped"]


def test_an_input_that_the_output_cannot_hold_is_told_as_a_target(folder: Path) -> None:
    rng = np.random.default_rng(2)
    tensors = [
        activation("x", (1, WIDTH), 1 / 255, -128), weights("w", (WIDTH, WIDTH), 0, rng),
        activation("y", (1, WIDTH), 0.5 / 255, -128),
    ]  # fmt: skip
    ops = [WriterOp("FULLY_CONNECTED", ("x", "w"), ("y",), FullyConnectedOptions())]
    (folder / "auto.tflite").write_bytes(write_model(tensors, ops, ["x"], ["y"]))
    plan = Request.of(folder / "auto.tflite", "head", loss="reconstruction").plan()
    np.savez(folder / "d.npz", **{k: v for k, v in arrays().items() if k in ("x_train", "x_test")})
    told = [note.text for note in load_dataset(folder / "d.npz", plan).notes]

    assert len(told) == 2 and "of x_train, as the target, lies outside the output's" in told[0]


def test_a_sentence_names_array_share_and_range() -> None:
    x = np.full((2, WIDTH), 255.0)
    (note,) = range_notes(quantised(x, "x", UNIT), "x_test", UNIT)

    assert str(note).startswith(
        "warning: 100.0 % of x_test lies outside the input's real range, 0 to 1, and is clipped"
    )


def test_pixels_are_not_taken_where_the_file_takes_int8() -> None:
    x = np.arange(2 * WIDTH, dtype=np.uint8).reshape(2, WIDTH) + 200

    with pytest.raises(DataError, match=r"uint8.*numpy\.int16\) - 128\).*a cast alone wraps"):
        quantised(x, "x_train", UNIT)
    with pytest.raises(DataError, match="x_train is int64: give int8") as small:
        quantised(np.zeros((1, WIDTH), np.int64), "x_train", UNIT)
    assert "128)" not in str(small.value)


@pytest.mark.parametrize(("scale", "zero"), [(1 / 255, 0), (1 / 200, 17), (0.01, 128)])
def test_pixels_become_what_the_files_quantize_makes_of_them(
    folder: Path, scale: float, zero: int
) -> None:
    quant = QuantParams((float(np.float32(scale)),), zero)
    data = dense(WriterTensor("pixels", (1, WIDTH), "uint8", quant))
    (folder / "u.tflite").write_bytes(data)
    plan = Request.of(folder / "u.tflite", "head").plan()
    assert plan.task.pixels == quant and plan.task.input.type.quant is not None
    table, runtime = from_uint8(quant, plan.task.input.type.quant), Micro(data)
    x = np.arange(256, dtype=np.uint8).reshape(-1, WIDTH)

    for row in x:
        np.testing.assert_array_equal(table[row], runtime.run(row[None])[0].ravel())
    end = End(plan.task.input.type, pixels=plan.task.pixels)
    np.testing.assert_array_equal(quantised(x, "x", end).codes, table[x])


def test_a_warning_stands_in_the_json_of_every_command(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    good = {k: v for k, v in arrays().items() if "old" not in k}
    wide = np.full((30, WIDTH), 9.0)
    for name, more in (("d", {}), ("test", {"x_test": wide}), ("train", {"x_train": wide})):
        np.savez(tmp_path / f"{name}.npz", **{**good, **more})
    model, page = str(folder / "m.tflite"), tmp_path / "report.html"
    train = ("train", model, *AT_A_RATE, "--update", "head", "--epochs", "1", "--json")

    quiet = run(*train, "--data", str(tmp_path / "d.npz"))
    assert quiet.json["notes"] == [] and "warning" not in quiet.err
    told = run(*train, "--data", str(tmp_path / "test.npz"), "--report", str(page))
    (note,) = told.json["notes"]
    assert (note["about"], note["kind"], note["level"]) == ("x_test", "clipped", "warning")
    assert told.err.count("warning: 100.0 % of x_test") == 1
    for ran, is_measured in ((quiet, True), (told, False)):
        figures = ran.json["accuracy_before"], ran.json["accuracy_after"]
        assert [figure is not None for figure in figures] == [is_measured, is_measured]
        assert ran.json["steps"] > 0
    assert "of x_test lies outside" in page.read_text()
    data, output = str(tmp_path / "train.npz"), str(tmp_path / "o.tflite")
    fitted = run("calibrate", model, "--data", data, "--output", output, "--json")
    assert [n["about"] for n in fitted.json["notes"]] == ["x_train"]


def test_no_verdict_is_made_on_validation_samples_that_are_clipped(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    given = {k: v for k, v in arrays().items() if "old" not in k}
    x_val, y_val = given["x_test"][:9], given["y_test"][:9]
    model = str(folder / "m.tflite")
    train = ("train", model, *AT_A_RATE, "--update", "head", "--epochs", "1", "--json")
    for scale, is_guarded in ((1, True), (255, False)):
        path = tmp_path / f"{scale}.npz"
        np.savez(path, **{**given, "x_val": x_val * scale, "y_val": y_val})
        assert (run(*train, "--data", str(path)).json["guard"] is not None) is is_guarded
