# SPDX-License-Identifier: Apache-2.0
"""The command line as a script sees it: JSON alone on standard output, one line per error."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.host.boards import board_names
from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.show.documents import read_document
from mcutrain.host.simulation.simulator import simulate
from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, write_model
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from tests.support.command import AT_A_RATE, Ran, Run
from tests.support.small_models import CLASSES, SHAPE, float_model, residual_model, write_dataset


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data.npz")


def test_inspect_lists_the_layers(run: Run, model: Path) -> None:
    layers = run("inspect", model, "--json").json["layers"]

    assert [r["kind"] for r in layers][:4] == ["Conv2D", "DepthwiseConv2D", "Conv2D", "Add"]
    assert [r["layer"] for r in layers if r["layer"] is not None] == [0, 1, 2, 3]
    assert "stem" in run("inspect", model).out
    source = run("inspect", model, "--json").json["input"]
    assert (source["shape"], source["scale"], source["zero_point"]) == ([1, 9, 7, 3], 1 / 64, 3)


def test_plan_without_a_target_needs_no_compiler(
    run: Run, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    cost = run("plan", model, "--update", "last:2", "--json").json

    assert cost["arena_bytes"] >= cost["arena_bound_bytes"] > 0
    assert cost["step_macs"] > cost["forward_macs"] > 0


@pytest.mark.board
def test_plan_with_a_target_counts_everything(run: Run, model: Path) -> None:
    cost = run("plan", model, "--target", "sim:mps2_an386", "--json").json

    parts = ("arena_bytes", "learned_bytes", "stack_bytes", "link_bytes")
    assert all(cost[part] > 0 for part in parts)
    assert cost["sram_bytes"] >= sum(cost[part] for part in parts)
    assert cost["flash_bytes"] > cost["constant_bytes"]


@pytest.mark.board
def test_plan_says_what_packing_takes_and_saves(run: Run, model: Path) -> None:
    asked = ("plan", model, "--target", "sim:mps2_an386")
    fast, small = run(*asked, "--json").json, run(*asked, "--optimize", "size", "--json").json
    packing = fast["packing"]
    text = " ".join(run(*asked).out.split())

    assert packing["layers"] > 0 and packing["saves_instructions"] > 0
    assert f"layers with packed weights: {packing['layers']};" in text
    assert small["packing"] == dict.fromkeys(packing, 0) | {"optimize": "size"}
    assert small["flash_bytes"] < fast["flash_bytes"] and small["stack_bytes"] < fast["stack_bytes"]


def test_generate_writes_the_same_bytes_again(run: Run, model: Path, tmp_path: Path) -> None:
    files = run("generate", model, "-o", tmp_path / "a", "--json").json["files"]
    again = run("generate", model, "-o", tmp_path / "b", "--json").json["files"]

    own = {"small.c", "small.h", "small.json", "mct_selected_model.h"}
    assert {Path(f).name for f in files if Path(f).parent.name == "src"} == own
    for one, other in zip(files, again, strict=True):
        assert Path(one).read_bytes() == Path(other).read_bytes()


def test_training_prints_only_json(run: Run, model: Path, data: Path) -> None:
    args = ("train", model, *AT_A_RATE, "--data", data, "--no-guard", "--steps", 12)
    ran = run(*args, "--verify", "--json")

    assert ran.status == 0
    assert ran.json["steps"] == ran.json["verified_steps"] == len(ran.json["losses"]) == 12
    assert ran.json["bit_exact"] is True
    assert ran.json["target"] == "reference"
    assert "train" in ran.err


def test_the_report_and_the_learned_tensors_are_written(
    run: Run, model: Path, data: Path, tmp_path: Path
) -> None:
    report, saved = tmp_path / "report.html", tmp_path / "learned.npz"
    args = ("train", model, *AT_A_RATE, "--data", data, "--target", "native", "--no-guard")
    ran = run(*args, "--steps", 9, "--json", "--report", report, "--save", saved)

    page = report.read_text()
    told = f"<th scope=row>RAM, bytes</th><td>{ran.json['cost']['sram_bytes']:,}</td>"
    assert told in page and "<th scope=row>steps</th><td>9</td>" in page
    assert f"mcutrain train {model} --data {data}" in page
    assert read_document(report)["runs"][0]["link"] == ran.json["link"]
    assert ran.json["link"]["requests"] > 9 and ran.json["movement"]["moved"]
    with np.load(saved) as learned:
        assert learned["fully_connected_6_w"].shape == (CLASSES, 8)
        assert learned["sgd"][1] == 9


@pytest.mark.slow
def test_the_demo_adapts_and_verifies(run: Run, tmp_path: Path) -> None:
    ran = run("demo", "--fast", "--report", tmp_path / "demo.html", "--json")

    native, simulated = ran.json["runs"]
    assert ran.status == 0, ran.err
    assert native["losses"] == simulated["losses"]
    assert native["verified_steps"] == simulated["verified_steps"] == native["steps"] == 105
    assert simulated["accuracy_after"] == native["accuracy_after"] > native["accuracy_before"]
    assert Path(ran.json["report"]).is_file()


@pytest.mark.slow
def test_a_new_head_learns_another_number_of_classes(run: Run, model: Path, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "seven.npz", classes=7)
    args = ("train", model, *AT_A_RATE, "--data", data, "--update", "last:2", "--epochs", 12)
    ran = run(*args, "--classes", 7, "--target", "native", "--verify", "--json")

    assert ran.status == 0, ran.err
    assert ran.json["accuracy_after"] > ran.json["accuracy_before"] + 0.3


@pytest.mark.board
def test_instructions_are_exact(run: Run, model: Path, data: Path) -> None:
    board = ("--target", "sim:mps2_an386")
    args = ("train", model, *AT_A_RATE, "--data", data, "--steps", 3, *board, "--json")
    first, second = (run(*args, "--count-instructions").json for _ in range(2))

    assert first["instructions_per_step"] == second["instructions_per_step"]
    assert first["forward_instructions"] == second["forward_instructions"]
    assert first["instructions_per_step"]["min"] > first["forward_instructions"]["max"]


@pytest.mark.board
def test_the_first_step_of_a_new_head_is_told_apart(
    run: Run, model: Path, data: Path, tmp_path: Path
) -> None:
    """It sends no errors back, since all its weights are 0."""
    page = tmp_path / "page.html"
    args = ("train", model, *AT_A_RATE, "--data", data, "--target", "sim:mps2_an386")
    args = (*args, "--update", "last:2", "--classes", CLASSES, "--count-instructions")
    several = run(*args, "--steps", 4, "--json").json["instructions_per_step"]
    alone = run(*args, "--steps", 1, "--json").json["instructions_per_step"]
    shown = run(*args, "--steps", 4, "--report", page).out

    assert several["first"] < several["min"] <= several["median"] <= several["max"]
    assert several["min"] <= several["mean"] <= several["max"]
    assert alone == {"first": several["first"]} | dict.fromkeys(("min", "mean", "max", "median"))
    for text in (shown, page.read_text()):
        assert re.search(rf"instructions per step\D+{several['median']:,}", text)
        assert re.search(rf"instructions, first step\D+{several['first']:,}", text)


def test_a_port_must_run_a_build_of_this_plan(
    run: Run, model: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build(make_plan(load(model), PlanOptions("head")), Target.parse("native"))
    args = (
        "train",
        model,
        *AT_A_RATE,
        "--no-guard",
        "--data",
        data,
        "--epochs",
        1,
        "--verify",
        "--json",
    )
    with simulate("native", built.elf) as port:
        assert run(*args, "--update", "head", "--port", port).status == 0
        assert_one_line(run(*args, "--update", "full", "--port", port), "device runs model")
        hashes = "mcutrain.host.building.source.build_hashes"
        monkeypatch.setattr(hashes, lambda image, board, is_keyed: (bytes(8), bytes(8)))
        assert_one_line(run(*args, "--update", "head", "--port", port), "device runs the build")


def with_arrays(path: Path, **changes: Any) -> Path:
    arrays = dict(np.load(write_dataset(path)))
    np.savez(path, **{k: v for k, v in {**arrays, **changes}.items() if v is not None})
    return path


NAN = np.zeros((4, *SHAPE[1:]), np.float32)
NAN[2, 1] = np.nan
BAD_DATA = {
    "wrong shape": ({"x_train": np.zeros((4, 5, 5, 3), np.int8)}, "samples of shape (5, 5, 3)"),
    "wrong dtype": ({"x_train": np.zeros((4, *SHAPE[1:]), np.uint8)}, "is uint8"),
    "label too large": ({"y_test": np.full(12, CLASSES)}, f"label {CLASSES}"),
    "negative label": ({"y_train": np.full(32, -1)}, "label -1"),
    "float labels": ({"y_train": np.zeros(32)}, "one integer per sample"),
    "not a number": ({"x_train": NAN, "y_train": np.zeros(4, int)}, "first in sample 2"),
    "no samples": ({"x_train": np.zeros((0, *SHAPE[1:]), np.int8)}, "is empty"),
    "no tests": ({"x_test": np.zeros((0, *SHAPE[1:]), np.int8)}, "is empty"),
    "unequal": ({"y_train": np.zeros(3, int)}, "3 targets"),
    "missing array": ({"y_test": None}, "no array y_test"),
    "objects": ({"x_train": np.array([None] * 3)}, "plain arrays"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_one_line(run: Run, model: Path, tmp_path: Path, case: str) -> None:
    changes, words = BAD_DATA[case]
    ran = run("train", model, "--data", with_arrays(tmp_path / "bad.npz", **changes), "--json")

    assert_one_line(ran, words)


def assert_one_line(ran: Ran, words: str) -> None:
    assert ran.status == 1
    assert ran.out == ""
    assert len(ran.err.splitlines()) == 1
    assert ran.err.startswith("error: ")
    assert words in ran.err


def unsupported_model() -> bytes:
    quant = QuantParams((0.1,), 0)
    tensors = [WriterTensor(n, (1, 4), "int8", quant) for n in ("x", "y")]
    return write_model(tensors, [WriterOp("COS", ("x",), ("y",))], ["x"], ["y"])


BAD_MODELS = {
    "truncated": (residual_model()[:1500], "damaged or truncated"),
    "empty": (b"", "not a .tflite file"),
    "float": (float_model(), "FLOAT32"),
    "unsupported": (unsupported_model(), "operator 0 (COS, output 'y') is not supported"),
}


@pytest.mark.parametrize("case", BAD_MODELS)
def test_a_bad_model_is_one_line(run: Run, tmp_path: Path, case: str) -> None:
    content, words = BAD_MODELS[case]
    path = tmp_path / "bad.tflite"
    path.write_bytes(content)

    assert_one_line(run("plan", path, "--json"), words)
    assert_one_line(run("generate", path, "-o", tmp_path / "gen"), words)
    assert not (tmp_path / "gen").exists()


def test_other_bad_requests_are_one_line(run: Run, model: Path, data: Path) -> None:
    train = ("train", model, *AT_A_RATE, "--data", data, "--json")
    assert_one_line(run("plan", "missing.tflite"), "No such file")
    assert_one_line(run("train", model, "--data", "missing.npz"), "No such file")
    assert_one_line(run("plan", model, "--update", "last:9"), "K must be 1 to 4")
    assert_one_line(run("plan", model, "--update", "tail"), "unknown scheme 'tail'")
    assert_one_line(run("plan", model, "--classes", 0), "1 to 65535 classes")
    assert_one_line(run(*train, "--target", "sim:toaster"), "sim:mps2_an386")
    assert_one_line(run(*train, "--port", "/dev/nowhere"), "/dev/nowhere")
    assert_one_line(run(*train, "--lr", "nan"), "learning rate")
    assert_one_line(run(*train, "--count-instructions"), "simulated board")


def test_values_beyond_the_inputs_range_are_warned_of(
    run: Run, model: Path, tmp_path: Path
) -> None:
    floats = np.zeros((32, *SHAPE[1:]), np.float32)
    floats[:8] = 500.0
    data = with_arrays(tmp_path / "f.npz", x_train=floats)
    ran = run("train", model, *AT_A_RATE, "--data", data, "--json")

    assert ran.status == 0
    assert "warning: 25.0 % of x_train" in ran.err


def test_a_build_whose_file_is_gone_is_made_again(run: Run, model: Path) -> None:
    build_ = ("build", model, "--update", "last:2", "--json")
    elf = Path(run(*build_).json["elf"])
    elf.unlink()

    assert run(*build_).status == 0
    assert elf.is_file()
    (elf.parents[2] / "build.json").write_text("{")
    assert run(*build_).status == 0


def test_outputs_that_cannot_be_written_are_refused_before_work_begins(
    run: Run, model: Path, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    train = ("train", model, "--data", data, "--steps", 1)
    for wrong in (tmp_path, tmp_path / "file" / "x"):
        for option in ("--save", "--report"):
            ran = run(*train, option, wrong)
            assert_one_line(ran, "cannot write")
    assert_one_line(run("generate", model, "-o", tmp_path / "file"), "cannot write")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data.npz", "file", "small.tflite"]


def test_a_damaged_archive_is_one_line(
    run: Run, model: Path, data: Path, tmp_path: Path, thorough: bool
) -> None:
    arrays = dict(np.load(data))
    np.savez_compressed(tmp_path / "packed.npz", **arrays)
    content = bytearray((tmp_path / "packed.npz").read_bytes())
    for at in range(60, len(content), 211 if thorough else 733):
        damaged = bytearray(content)
        damaged[at] ^= 0xFF
        (tmp_path / "packed.npz").write_bytes(damaged)
        ran = run("train", model, "--data", tmp_path / "packed.npz", "--steps", 0)
        assert ran.status == 0 or len(ran.err.splitlines()) == 1


def test_ports_lists_what_can_run(run: Run) -> None:
    targets = {s["target"] for s in run("ports", "--json").json["simulated"]}

    boards = [board for board in board_names() if board != "native"]
    assert "mps2_an386" in boards
    assert targets == {"native", *(f"sim:{board}" for board in boards)}


def test_check_compares_with_tflite_micro(run: Run, model: Path) -> None:
    pytest.importorskip("tflite_micro", reason="tflite-micro has no wheel for this platform")
    result = run("check", model, "--json").json

    assert result["mismatches"] == 0
    assert result["outputs"] > 1000


def test_class_names_travel_in_the_manifest(run: Run, model: Path, tmp_path: Path) -> None:
    names = "rest,walk,run,jump"
    ran = run("generate", model, "--class-names", names, "-o", tmp_path / "gen", "--json")

    manifest = json.loads(
        next(Path(f) for f in ran.json["files"] if f.endswith("small.json")).read_text()
    )
    assert manifest["class_names"] == names.split(",")
    assert manifest["classes"] == CLASSES


def test_what_was_trained_is_exported_checked_and_trained_on(
    run: Run, model: Path, data: Path, tmp_path: Path
) -> None:
    """The verbs in the order of a user: train, save, export, check, train on, export again."""
    saved, out, again = (tmp_path / name for name in ("s.npz", "out.tflite", "again.tflite"))
    head = ("--update", "last:2", "--classes", 3 + 1, "--spare-classes", 1)
    begun = ("train", model, *AT_A_RATE, "--data", data, *head, "--epochs", 1)
    first = run(*begun, "--save", saved, "--json")
    exported = run("export", model, "--state", saved, "-o", out, "--json").json
    checked = run("check", out, "--json").json
    second = run(
        "train", out, *AT_A_RATE, "--data", data, "--epochs", 1, "--export", again, "--json"
    )

    assert first.status == second.status == 0
    assert exported["steps"] == first.json["steps"] == 32
    assert exported["bytes"] == out.stat().st_size
    assert checked["outputs"] > 0 and checked["mismatches"] == 0
    assert second.json["update"] == "last:2"
    assert second.json["accuracy_before"] == first.json["accuracy_after"]
    assert run("plan", again, "--json").json["scheme"] == "last:2"


def test_a_tail_is_trained_towards_values(run: Run, model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    level = rng.integers(-60, 60, (24, 1, 1, 8))
    x = (level + rng.integers(-9, 10, (24, 5, 4, 8))).astype(np.int8)
    y = level[:, 0, 0, :2] / 60.0
    data = tmp_path / "values.npz"
    np.savez(data, x_train=x, y_train=y, x_test=x, y_test=y)
    args = ("--from", "sum", "--classes", 2, "--loss", "mse", "--target", "native", "--verify")
    ran = run("train", model, *AT_A_RATE, "--data", data, *args, "--epochs", 6, "--json")

    assert ran.status == 0, ran.err
    assert ran.json["bit_exact"] is True
    assert ran.json["mse_after"] < 0.7 * ran.json["mse_before"]
    assert_one_line(
        run("train", model, *AT_A_RATE, "--data", data, *args[:4], "--json"), "y_train is float64"
    )
    np.savez(data, x_train=x, y_train=y[:, :1], x_test=x, y_test=y)
    assert_one_line(
        run("train", model, *AT_A_RATE, "--data", data, *args, "--json"), "the model gives (2,)"
    )
