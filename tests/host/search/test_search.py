# SPDX-License-Identifier: Apache-2.0
"""`mcutrain search`, from the command line: what it writes, what it measures, what it refuses."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.request import Request
from mcutrain.host.search import trial as trial_module
from mcutrain.host.search.trial import Samples, Setup, TrialEffort, judged
from mcutrain.trainer.ops.pixelwise_cross_entropy import IGNORED
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.scheme import parse_scheme
from mcutrain.trainer.tflite.reader import load, parse
from tests.support.command import Run
from tests.support.paths import ROOT
from tests.support.sample_files import dense_model
from tests.support.segmentation import CLASSES, scenes, segmenter, write_task
from tests.support.small_search import BUDGET, ONE, QUICK, scheme_lines, without_paths


@pytest.mark.slow
@pytest.mark.exhaustive
def test_the_watch_example_gets_a_scheme_within_its_budget(run: Run, tmp_path: Path) -> None:
    watch = ROOT / "examples" / "watch"
    output, plot = tmp_path / "found.toml", tmp_path / "front.png"
    found = run(
        "search", watch / "watch.tflite", "--data", watch / "demo.npz", "--sram", 3000,
        *QUICK, *ONE,
        "--output", output, "--plot", plot, "--json",
    ).json  # fmt: skip
    scheme = parse_scheme(str(output), load(watch / "watch.tflite"))
    plan = make_plan(load(watch / "watch.tflite"), PlanOptions(scheme))

    assert found["best"]["plan_bytes"] == plan.memory.arena_bytes + plan.memory.state_bytes <= 3000
    assert {str(k): r for k, r in scheme.ratios.items()} == found["best"]["weights"]
    assert sorted(scheme.biases) == found["best"]["biases"]
    assert (
        0 <= found["head"]["confirmed"]["accuracy"] <= found["best"]["confirmed"]["accuracy"] + 0.2
    )
    assert plot.read_bytes().startswith(b"\x89PNG")
    head = output.read_text().splitlines()
    assert "validation accuracy" in head[0] and "%" in head[0]
    assert f"{found['best']['plan_bytes']:,} bytes" in head[1] and "budget 3,000" in head[1]
    assert head[3].startswith("# mcutrain search ")


@pytest.mark.slow
def test_the_front_rises_with_the_bytes(search: Run) -> None:
    found = search("a").json
    front = found["front"]
    bytes_ = [row["plan_bytes"] for row in front]
    values = [row["trial"]["accuracy"] + row["trial"]["certainty"] for row in front]

    assert bytes_ == sorted(bytes_) and max(bytes_) <= BUDGET
    assert values == sorted(values)
    assert front[0]["scheme"] == "head alone"
    assert found["contributions"]


def test_a_table_tells_what_was_chosen(
    run: Run, model: Path, data: Path, tmp_path: Path, in_numpy: None
) -> None:
    output = tmp_path / "s.toml"
    ran = run("search", model, "--data", data, "--sram", BUDGET, *QUICK, *ONE, "--output", output)

    assert "Pareto front" in ran.out and "chosen" in ran.out
    assert f"--update {output}" in ran.out


@pytest.mark.exhaustive
@pytest.mark.slow
def test_one_job_repeats_a_search_exactly(search: Run, tmp_path: Path) -> None:
    one, other, third = search("a").json, search("b").json, search("c", "--seed", 5).json

    assert without_paths(one) == without_paths(other)
    assert without_paths(one) != without_paths(third)
    text = [(tmp_path / name / "scheme.toml").read_text() for name in "ab"]
    assert scheme_lines(text[0]) == scheme_lines(text[1])


def test_nothing_fits(search: Run) -> None:
    ran = search("a", "--sram", 100)

    assert ran.status == 1
    assert "nothing fits" in ran.err and "the budget is 100" in ran.err
    assert len(ran.err.strip().splitlines()) == 1


def test_without_a_target_instructions_are_predicted(search: Run) -> None:
    ran = search("a", "--instructions", 10)

    assert ran.status == 1
    assert re.search(r"needs [\d,]{5,} instructions a step, the budget is 10: ", ran.err)


def test_without_optuna_there_is_one_line(search: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    ran = search("a")

    assert ran.status == 1
    assert ran.err.strip() == "error: optuna is not installed; run: pip install 'mcutrain[search]'"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--update", "head"), "leave --update out"),
        (("--validation", 1.5), "between 0 and 1"),
        (("--target", "sim:none"), "unknown target"),
        (("--storage", "nonsense://x"), "cannot use the trials in nonsense://x"),
    ],
)
def test_what_makes_no_sense_is_refused(search: Run, args: tuple[object, ...], words: str) -> None:
    ran = search("a", *args)

    assert ran.status == 1
    assert words in ran.err
    assert len(ran.err.strip().splitlines()) == 1


def test_training_samples_that_are_clipped_are_told(search: Run, data: Path) -> None:
    with np.load(data) as file:
        arrays = dict(file)
    wide = arrays["x_train"] * np.float32(9), arrays["x_test"] * np.float32(9)
    np.savez(data, **{**arrays, "x_train": wide[0], "x_test": wide[1]})
    ran = search("a")

    assert [(n["about"], n["kind"]) for n in ran.json["data_notes"]] == [("x_train", "clipped")]
    assert ran.err.count("warning: ") == 1


def test_groups_must_name_each_sample(search: Run, data: Path) -> None:
    with np.load(data) as file:
        arrays = dict(file)
    np.savez(data, **arrays, group_train=np.zeros(3, np.int64))
    ran = search("a")

    assert ran.status == 1
    assert "group_train" in ran.err


def test_each_group_learns_from_its_own_samples(model: Path, data: Path, tmp_path: Path) -> None:
    with np.load(data) as file:
        x, y = file["x_train"].reshape(len(file["x_train"]), -1), file["y_train"]
    group = np.arange(len(y)) % 2
    setup = Setup(Request(model), load(model), Samples(x, y, group), tmp_path / "latents")
    one, other = setup.split(0, 0), setup.split(0, 1)

    assert set(group[one.learn]) == set(group[one.held]) == {0}
    assert set(group[other.learn]) == {1}
    assert not set(one.learn) & set(one.held)
    assert set(y[one.held]) == set(y[one.learn]) == set(y)
    assert not np.array_equal(setup.split(1, 0).held, one.held)


@pytest.mark.parametrize("spec", ["head", "last:2", "last:3", "bias", "full"])
def test_the_cut_prefix_changes_no_bit(
    model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    with np.load(data) as file:
        x, y = file["x_train"].reshape(len(file["x_train"]), -1), file["y_train"]
    samples = Samples(x, y, np.zeros(len(y), np.int64))
    loaded = load(model)
    setup = Setup(Request(model), loaded, samples, tmp_path / "latents")
    scheme = parse_scheme(spec, loaded)
    behind = setup.score(scheme, TrialEffort(3))
    monkeypatch.setattr(trial_module, "tail", lambda request, model, whole: (whole, None))

    assert setup.score(scheme, TrialEffort(3)) == behind


def test_values_as_targets_are_searched_by_their_error(
    run: Run, model: Path, tmp_path: Path, in_numpy: None
) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, (20, 9, 7, 3)).astype(np.int8)
    y = rng.uniform(-1, 1, (20, 4)).astype(np.float32)
    path, output = tmp_path / "values.npz", tmp_path / "s.toml"
    np.savez(path, x_train=x, y_train=y, x_test=x[:2], y_test=y[:2])
    args = ("--data", path, "--sram", BUDGET, *QUICK, *ONE, "--loss", "mse", "--output", output)
    found = run("search", model, *args, "--json").json

    assert 0 < found["best"]["confirmed"]["mse"] <= found["head"]["confirmed"]["mse"]
    assert "validation error mse" in output.read_text()


def test_classes_of_positions_are_searched_by_their_accuracy(
    run: Run, tmp_path: Path, in_numpy: None
) -> None:
    squares, data = write_task(tmp_path)
    args = ("--data", data, "--sram", "16K", *QUICK, *ONE, "--output", tmp_path / "s.toml")
    found = run("search", squares, *args, "--json").json

    assert 0 < found["head"]["confirmed"]["accuracy"] < 1
    assert found["head"]["confirmed"]["mse"] is None


def test_positions_that_take_no_part_are_not_judged() -> None:
    plan = make_plan(parse(segmenter(), "squares"), PlanOptions("head"))
    _, y = scenes(2, 4)
    labels = y.reshape(2, -1)
    perfect = np.eye(CLASSES, dtype=np.int64)[np.where(labels == IGNORED, 0, labels)]
    outputs = (100 * perfect).astype(np.int8).reshape(2, -1)
    other = np.where(labels[..., None] == IGNORED, -100, outputs.reshape(*labels.shape, -1))
    x = np.zeros((2, 1), np.int8)

    assert judged(plan, outputs, x, y, CLASSES).accuracy == 1.0
    assert judged(plan, other.astype(np.int8), x, y, CLASSES) == judged(
        plan, outputs, x, y, CLASSES
    )


@pytest.mark.slow
@pytest.mark.board
@pytest.mark.exhaustive  # test_board.py has what is counted there
def test_a_board_counts_stack_and_code(search: Run) -> None:
    found = search("a", "--sram", 16000, "--target", "sim:mps2_an386", "--instructions", 10**9).json

    assert found["best"]["plan_bytes"] < found["best"]["sram_bytes"] <= 16000
    assert 0.5 < found["instructions_per_predicted"] < 2  # of a model that none was fitted to


def test_a_model_of_one_layer_is_searched(run: Run, tmp_path: Path, in_numpy: None) -> None:
    """There is nothing to choose but the head."""
    (tmp_path / "one.tflite").write_bytes(dense_model((6,), 3, -1.0, 1.0))
    rng = np.random.RandomState(0)
    x, y = rng.uniform(-1, 1, (60, 6)).astype(np.float32), rng.randint(0, 3, 60)
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])

    found = run(
        "search", tmp_path / "one.tflite", "--data", tmp_path / "data.npz", "--sram", BUDGET,
        "--output", tmp_path / "scheme.toml", "--json", *QUICK, *ONE,
    ).json  # fmt: skip

    assert found["front"]
