# SPDX-License-Identifier: Apache-2.0
"""`mcutrain search`, from the command line: what it writes, that it goes on, what it refuses."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.host.request import Request
from mcutrain.host.search import trial as trial_module
from mcutrain.host.search.budget import Limits
from mcutrain.host.search.command import SearchJob, run_search
from mcutrain.host.search.effort import SearchPlan
from mcutrain.host.search.study import RECORDS, Study
from mcutrain.host.search.trial import Samples, Setup, TrialEffort, TrialScore
from mcutrain.host.training import tail as tail_module
from mcutrain.host.training.reporter import SILENT
from mcutrain.trainer.errors import SchemeError
from mcutrain.trainer.options import PlanOptions, Scheme
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.scheme import parse_scheme, scheme_text
from mcutrain.trainer.tflite.reader import load
from tests.support.command import AT_A_RATE, Ran, Run
from tests.support.marks import exhaustive, sampled
from tests.support.paths import ROOT
from tests.support.sample_files import dense_model
from tests.support.small_models import residual_model, write_dataset

BUDGET = 1600  # bytes: more than the head of the small model needs, less than all its layers
QUICK = (
    *AT_A_RATE,
    *("--trials", 4, "--promote", 1, "--folds", 1, "--epochs", 1, "--trial-steps", 5),
)
ONE = ("--jobs", 1)


@pytest.fixture
def in_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trains in the reference: for a few steps quicker than compiling a model for each scheme."""
    monkeypatch.setattr(tail_module, "native_compiler", lambda: None)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data.npz")


@pytest.fixture
def search(run: Run, model: Path, data: Path, tmp_path: Path, in_numpy: None) -> Run:
    """The search of the small model; a first argument names its output and study."""

    def search_(name: str, *args: object) -> Ran:
        output = tmp_path / name / "scheme.toml"
        output.parent.mkdir(exist_ok=True)
        given = ("--data", data, "--sram", BUDGET, "--output", output, "--json")
        return run("search", model, *given, *QUICK, *ONE, *args)

    return search_


@pytest.fixture(scope="module")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study of a finished search as `search` makes it."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "small.tflite").write_bytes(residual_model())
    data = write_dataset(folder / "data.npz")
    effort = SearchPlan(trials=4, promoted=1, folds=1, epochs=1, steps=5)
    request, output = Request(folder / "small.tflite"), folder / "scheme.toml"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail_module, "native_compiler", lambda: None)
        job = SearchJob(request, data, Limits(BUDGET), effort, rate=2**-6, jobs=1, output=output)
        run_search(job, SILENT, "")
    return folder / "scheme.study"


@pytest.fixture
def study(finished_study: Path, tmp_path: Path) -> Path:
    """A finished study where the search "a" looks for its own."""
    return Path(shutil.copytree(finished_study, tmp_path / "a" / "scheme.study"))


def without_paths(found: Any) -> Any:
    return {key: value for key, value in found.items() if key != "output"}


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


def scheme_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


@pytest.mark.slow
@pytest.mark.parametrize("after", [exhaustive(after, (1, 20)) for after in (1, 17, 20)])
def test_an_interrupted_search_goes_on_to_the_same_end(
    search: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Killed in the contributions, the trials, or the confirmation; the last line half written."""
    whole = search("whole").json
    records = (tmp_path / "whole" / "scheme.study" / RECORDS).read_text().splitlines()
    add, added = Study.add, []

    def killed(self: Study, key: str, score: TrialScore) -> None:
        if len(added) == after:
            with self.path.open("a") as file:
                file.write('{"key": "w 3')
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


@pytest.mark.slow
@pytest.mark.board
@pytest.mark.exhaustive  # test_board.py has what is counted there
def test_a_board_counts_stack_and_code(search: Run) -> None:
    found = search("a", "--sram", 16000, "--target", "sim:mps2_an386", "--instructions", 10**9).json

    assert found["best"]["plan_bytes"] < found["best"]["sram_bytes"] <= 16000
    assert 0.5 < found["instructions_per_predicted"] < 2  # of a model that none was fitted to


@pytest.mark.parametrize("seed", sampled(range(12), 5))
def test_a_scheme_file_is_read_back_to_the_same_scheme(
    model: Path, tmp_path: Path, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    loaded = load(model)
    layers = len(loaded.weighted)
    ratios = {k: float(rng.choice([0.25, 0.5, 1.0])) for k in range(layers) if rng.random() < 0.6}
    biases = frozenset(k for k in range(layers) if rng.random() < 0.6)
    path = tmp_path / "scheme.toml"
    scheme = Scheme("scheme", ratios, biases)
    path.write_text(scheme_text(scheme, layers))

    assert parse_scheme(str(path), loaded) == scheme


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("biases = 3", "biases must be a list"),
        ("biases = [true]", "biases must be a list"),
        ("biases = [1, 1]", "names a layer twice"),
        ("biases = [9]", "layer 9 is beyond"),
        ('biases = ["nowhere"]', "no weighted layer 'nowhere'"),
        ("biases = [-1]", "no weighted layer '-1'"),
    ],
)
def test_a_list_of_biases_that_makes_no_sense_is_refused(
    model: Path, tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "scheme.toml"
    path.write_text(text)

    with pytest.raises(SchemeError, match=words):
        parse_scheme(str(path), load(model))


def test_biases_of_single_layers(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "scheme.toml"
    path.write_text('biases = [0, "dw_w"]\n')

    assert parse_scheme(str(path), load(model)).biases == {0, 1, 3}


def test_channels_cannot_be_in_a_file() -> None:
    with pytest.raises(SchemeError, match="names channels"):
        scheme_text(Scheme("s", {0: 0.5}, frozenset(), {0: (1,)}), 2)


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
