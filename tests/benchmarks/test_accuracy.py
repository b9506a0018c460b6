# SPDX-License-Identifier: Apache-2.0
"""The accuracy benchmarks: a shortened form of each, and what their tables are made of."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.trainer.options import (
    CROSS_ENTROPY,
    RECONSTRUCTION,
    SQUARED_ERROR,
    PlanOptions,
    Scheme,
)
from tests.support.marks import exhaustive

pytest.importorskip("torch", reason="the yardsticks need PyTorch: pip install .[benchmarks]")

from benchmarks import designing, overall, search, shrinking
from benchmarks.__main__ import OTHERS, TASKS, TaskNamed
from benchmarks.comparison import run_task
from benchmarks.data.fetch import DataUnavailable
from benchmarks.data.watch import EXAMPLE, load_people, split
from benchmarks.document import put_section
from benchmarks.figures import Figure, Kept, table
from benchmarks.gaps import Gap, Verdict
from benchmarks.latents import tail
from benchmarks.methods import (
    ALWAYS,
    BEST_FLOAT,
    DEFAULT,
    FLOAT32,
    FLOAT_BACKWARD,
    FOUND_FLOAT32,
    FOUND_FLOAT_BACKWARD,
    INTEGER,
    METHODS,
    NEAREST,
    NOT_PRECONDITIONED,
    formats_of,
)
from benchmarks.runs import execute, with_inputs
from benchmarks.stacked import train_stack
from benchmarks.store import BenchmarkRun, Store
from benchmarks.tables import ALL, SPLIT, TaskRow, markdown, plot, rows_of
from benchmarks.task import Task
from mcutrain.trainer.errors import BudgetError, Error
from mcutrain.trainer.formats import Formats
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load

# Others are of the same kind.
LONG_TASKS = (
    "mcunet",
    "cifar",
    "hapt",
    "calibrated",
    "digits",
    "fashion",
    "incremental",
    "vibration",
)
LONG_SECTIONS = (
    "forgetting",
    "precondition",
    "enrolment",
    "augmentation",
    "forward",
    "rate",
    "guard",
)


def quiet(phase: str, done: int, total: int) -> None:
    pass


@pytest.mark.slow
@pytest.mark.parametrize("name", [exhaustive(name, LONG_TASKS) for name in TASKS])
def test_a_shortened_benchmark_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Starting models that are trained here: less well, and so other files in the cache.
    monkeypatch.setattr("benchmarks.nets.fashion.EPOCHS", 1)
    monkeypatch.setattr("benchmarks.nets.fashion.PER_CLASS", 60)
    monkeypatch.setattr("benchmarks.nets.hapt.EPOCHS", 1)
    monkeypatch.setattr("benchmarks.nets.digits.EPOCHS", 1)
    monkeypatch.setattr("benchmarks.nets.vibration.EPOCHS", 4)
    monkeypatch.setattr("benchmarks.nets.vibration.COUNT", 256)
    try:
        task = TaskNamed(name, True)()
    except DataUnavailable as reason:
        pytest.skip(str(reason))
    found = run_task(TaskNamed(name, True), 1, quiet, tmp_path)
    rows = rows_of(task, found.runs)
    text = markdown(found, rows)
    plot(task, rows, tmp_path / "plot.png")

    assert {run.method for run in found.runs} == {*ALWAYS, *task.formats}
    assert {run.scheme for run in found.runs} == set(task.schemes)
    assert all(run.after <= 100 and run.found > 0 for run in found.runs)
    assert any(run.after != run.before for run in found.runs)
    assert all(f"| `{scheme}` |" in text for scheme in task.schemes)
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_a_task_counts_once_in_the_mean_over_tasks(tmp_path: Path) -> None:
    def row(group: str, gap: float, error: float, float_after: float = 60.0) -> dict[str, Any]:
        parts = {name: {"mean": gap / len(SPLIT), "error": 1.0} for name in SPLIT}
        best = {"mean": gap, "error": error}
        scores = {"before_float": 50.0, "after": {BEST_FLOAT: float_after}}
        seconds = {"seconds": 0.5, "search_seconds": 4}
        return {"group": group, "best": best, "split": parts, **scores, **seconds}

    for name, rows in {
        "one": [row(ALL, -4.0, 0.5), row("fog", 90.0, 0.5)],
        "three": [
            row("a", 1.0, 0.25),
            row("b", 2.0, 0.5),
            row("c", 3.0, 0.75),
            row("forgets in float, too", -80.0, 0.5, 40.0),
        ],
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"rows": rows}))
    told = overall.markdown(tmp_path)

    parts = " | ".join(["-0.80"] * len(SPLIT))
    assert f"| one | -4.00 ± 0.50 | {parts} | 1 missed | 4.00 | 0.50 |" in told
    assert "| three | +2.00 ± 0.50 |" in told and "| 3 met |" in told
    assert "| **mean** | **-1.00 ± 0.35** | -0.20 |" in told and "| missed |" in told
    assert overall.markdown(tmp_path / "none") == ""


class Undecided(TaskNamed):
    """Of one pair the error is not known."""

    def __call__(self) -> Task:
        return replace(super().__call__(), seeds=1, most_seeds=3)


def test_seeds_are_added_while_a_row_is_undecided_and_runs_are_kept(tmp_path: Path) -> None:
    task = Undecided("watch", True)
    first = run_task(task, 1, quiet, tmp_path)
    counts: list[int] = []
    again = run_task(task, 1, lambda phase, done, total: counts.append(total), tmp_path)

    assert {run.seed for run in first.runs} == {0, 1}
    assert again.runs == first.runs and again.tuned == first.tuned
    assert set(counts) == {0}


def test_a_limit_of_seeds_is_kept() -> None:
    task = TaskNamed("watch", most_seeds=2)()
    more = TaskNamed("machine", most_seeds=5)()

    assert (task.seeds, task.most_seeds) == (2, 2)
    assert (more.seeds, more.most_seeds) == (3, 5)


def test_other_samples_are_other_runs() -> None:
    class Longer(TaskNamed):
        def __call__(self) -> Task:
            return replace(super().__call__(), most=21)

    asked = run(INTEGER, 0, 0.0)
    asked = replace(asked, group="1", scheme="last:2")
    tasks = (TaskNamed("watch", True), TaskNamed("watch", True), Longer("watch", False))
    first, same, other = (with_inputs(task, asked).inputs for task in tasks)

    assert first == same != other
    by_default, without = (
        with_inputs(tasks[0], replace(asked, method=method)).inputs
        for method in (DEFAULT, NOT_PRECONDITIONED)
    )
    assert by_default.startswith(first) and by_default != first  # the rule for the rate is in it
    assert without.startswith(first) and without != by_default  # and the steps


@pytest.mark.parametrize("loss", [CROSS_ENTROPY, SQUARED_ERROR, RECONSTRUCTION])
def test_what_reconstructs_its_input_is_not_preconditioned_by_default(loss: str) -> None:
    assert formats_of(DEFAULT, loss).has_input_shifts == (loss != RECONSTRUCTION)
    assert not any(formats_of(m, loss).has_input_shifts for m in METHODS if m != DEFAULT)


def test_methods_that_ask_for_one_training_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stacks: list[int] = []

    def counted(plan: Any, method: Any, runs: Any, *rest: Any) -> list[Any]:
        stacks.append(len(runs))
        return train_stack(plan, method, runs, *rest)

    monkeypatch.setattr("benchmarks.runs.train_stack", counted)
    task = TaskNamed("watch", True)
    asked = BenchmarkRun("watch", "last:2", "1", 0, FLOAT32, 0.125, 1)
    other = replace(asked, method=FOUND_FLOAT32, rate=2.0**-20)
    both = execute(task, [asked, replace(asked, method=FOUND_FLOAT32), other])

    assert stacks == [2]
    assert [run.method for run in both] == [FLOAT32, FOUND_FLOAT32, FOUND_FLOAT32]
    assert both[0].after == both[1].after != both[2].after


@pytest.mark.parametrize("scheme", ["head", "last:2", "last:3"])
def test_the_tail_trains_to_the_bits_of_the_whole(scheme: str) -> None:
    model, people = load(EXAMPLE / "watch.tflite"), load_people()
    data = split(*people[1], seed=0, person=1)
    plan_of, behind = tail(model, scheme, None, data)
    whole, cut = Interpreter(make_plan(model, PlanOptions(scheme))), Interpreter(plan_of(Formats()))
    for k in range(20):
        record = whole.step(data.x_train[k], int(data.y_train[k]))

        assert cut.step(behind.x_train[k], int(data.y_train[k])) == record
    assert cut.digest() == whole.digest()
    assert behind.x_train.shape[1] == cut.plan.task.input.type.size


def run(
    method: str, seed: int, after: float, rate: float = 0.5, scheme: str = "head"
) -> BenchmarkRun:
    return BenchmarkRun("t", scheme, "g", seed, method, rate, 1, before=10.0, after=after)


def test_a_gap_is_paired_by_seed() -> None:
    ours = [run(INTEGER, 0, 50.0), run(INTEGER, 1, 70.0)]
    theirs = [run(FLOAT32, 1, 71.0), run(FLOAT32, 0, 50.5)]
    gap = Gap.of(ours, theirs)

    assert gap.mean == pytest.approx(-0.75)
    assert gap.error == pytest.approx(np.std([-0.5, -1.0], ddof=1) / np.sqrt(2))
    assert Gap.of(ours[:1], theirs).verdict is Verdict.UNDECIDED  # of one pair nothing is known


@pytest.mark.parametrize(
    ("mean", "error", "verdict"),
    [
        (-0.25, 0.25, Verdict.MET), (-0.25, 0.5, Verdict.UNDECIDED), (0.5, 1.25, Verdict.UNDECIDED),
        (-0.75, 0.25, Verdict.UNDECIDED), (-0.75, 0.125, Verdict.MISSED), (3.0, 0.0, Verdict.MET),
    ],
)  # fmt: skip
def test_a_row_is_met_only_where_its_error_leaves_no_doubt(
    mean: float, error: float, verdict: Verdict
) -> None:
    assert Gap(mean, error).verdict is verdict


def test_the_gap_to_the_best_float_is_the_sum_of_its_parts() -> None:
    afters = {
        DEFAULT: 62,
        NOT_PRECONDITIONED: 60,
        INTEGER: 63,
        FLOAT_BACKWARD: 64,
        NEAREST: 10,
        FOUND_FLOAT_BACKWARD: 61,
        FOUND_FLOAT32: 63,
        FLOAT32: 66,
        BEST_FLOAT: 70,
    }
    runs = [run(m, seed, after + seed) for m, after in afters.items() for seed in (0, 1)]
    row = TaskRow.of("head", ALL, runs)

    assert {name: gap.mean for name, gap in row.split.items()} == {
        "preconditioning": 2, "backward pass": -1, "int8 forward pass": -2, "rate": -3,
        "SGD at batch 1": -4,
    }  # fmt: skip
    assert row.best.mean == sum(gap.mean for gap in row.split.values()) == -8


def test_a_store_is_read_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs.jsonl")
    store.add(run(INTEGER, 3, 50.0))

    assert Store(tmp_path / "runs.jsonl").runs == store.runs


def test_a_section_is_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text("# Title\n<!-- begin x -->\nold\n<!-- end x -->\nafter\n")
    put_section(document, "x", "new\n")

    assert document.read_text() == "# Title\n<!-- begin x -->\nnew\n<!-- end x -->\nafter\n"
    with pytest.raises(Error, match="no section 'y'"):
        put_section(document, "y", "")


def test_methods_have_names_of_their_own() -> None:
    assert len(set(METHODS)) == len(METHODS)


@pytest.mark.slow
@pytest.mark.parametrize("name", [exhaustive(name, LONG_SECTIONS) for name in OTHERS])
def test_a_shortened_section_is_written(name: str) -> None:
    try:
        text = OTHERS[name](short=True)
    except DataUnavailable as reason:
        pytest.skip(str(reason))

    assert re.search(r"^\| .* \d+\.\d+ \|", text, re.M), text


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_shortened_search_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "FOLDER", tmp_path)
    rows = search.watch(search.How(1, True, 1, True))["rows"]

    assert [row.method.split()[0] for row in rows] == ["found", "head", "random", "fisher"]
    assert all(row.plan_bytes <= search.WATCH_BUDGETS[0] for row in rows)
    assert all(len(row.accuracies) == 10 for row in rows)


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("case", shrinking.CASES)
def test_a_shortened_shrinking_is_compared(case: str, tmp_path: Path) -> None:
    kept = Kept(tmp_path / "figures.jsonl", shrinking.rule)
    try:
        shrinking.CASES[case](kept, shrinking.How(1, False, True, tmp_path))
    except DataUnavailable as reason:
        pytest.skip(str(reason))
    limits = {"fashion": shrinking.FASHION_BYTES, "watch": shrinking.WATCH_BYTES}
    small = [f for f in kept.of(case) if f.method == shrinking.SMALL]

    assert all(0 < f.plan_bytes <= limits[case] for f in small)
    assert Kept(kept.path, shrinking.rule).figures == kept.figures
    assert re.search(r"^\| .* \d+\.\d+ \|", shrinking.section(kept), re.M)


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("case", designing.TASKS)
def test_a_shortened_design_is_compared(case: str, tmp_path: Path) -> None:
    kept = Kept(tmp_path / "figures.jsonl", designing.rule)
    try:
        designing.measure(kept, case, designing.How(1, True, tmp_path))
    except DataUnavailable as reason:
        pytest.skip(str(reason))

    assert all(0 < f.plan_bytes <= designing.TASKS[case].limit for f in kept.of(case))
    assert kept.figures[0].method.startswith("designed: ")
    assert 3 <= len(kept.figures) <= 4


def test_a_scheme_is_searched_of_the_widest_net_that_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    designs = designing.Designs("digits", designing.How(1, True, tmp_path))
    least = 75

    def scheme(self: designing.Designs, net: designing.Net) -> Scheme:
        if dict(net.genes)["percent"] > least:
            raise BudgetError("nothing fits", 2, 1)
        return Scheme("found", {0: 1.0})

    monkeypatch.setattr(designing.Designs, "scheme", scheme)

    assert designs.found("digits").net.shown == "digits at 75 %"
    assert designs.found("digits").method.startswith("digits at 75 %, the scheme that ")
    least = 25
    assert designs.found("digits").net.shown == "digits at 25 %"
    least = 20
    with pytest.raises(BudgetError):
        designs.found("digits")


ERRORS = [("designed", (4.0, 4.5)), ("shrunk (twice)", (8.0, 9.0)), ("by hand", (5.0, 3.0))]


def test_small_models_are_compared_in_pairs_with_the_first() -> None:
    figures = [
        Figure("vibration", method, str(group), seed, "", 100 * (seed + 1), value + group)
        for method, values in ERRORS
        for seed, value in enumerate(values)
        for group in (1, 2)
    ]
    rows = [*table(figures, [m for m, _ in ERRORS], "error", designing.error)]

    assert rows[2] == "| designed | 200 | 5.75 |  | 4 |"
    assert rows[3] == "| shrunk (twice) | 200 | 10.00 | +4.25 ± 0.25 | 4 |"
    assert [*designing.verdict("vibration", figures)] == [
        "The designed net is better than shrunk.",
        "Chance alone could make the difference to by hand.",
    ]
    first = next(designing.verdict("watch", figures))
    assert first == "The designed net is worse than shrunk."


def test_figures_of_another_code_are_made_again(tmp_path: Path) -> None:
    rules = ["first"]
    kept = Kept(tmp_path / "figures.jsonl", lambda case, method: rules[-1])
    wanted = Figure("watch", "designed", "1", 0)
    kept.get(wanted, lambda: (10, 1.0))
    kept.get(wanted, lambda: (10, 2.0))
    rules.append("second")
    kept.get(wanted, lambda: (10, 3.0))

    assert [f.value for f in kept.of("watch")] == [3.0]
    assert [f.value for f in kept.figures] == [1.0, 3.0]
