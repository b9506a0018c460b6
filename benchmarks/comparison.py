# SPDX-License-Identifier: Apache-2.0
"""One task's trainings: float is tuned first, then all methods are trained in pairs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gaps import Gap, Verdict
from benchmarks.methods import (
    ALWAYS,
    AT_FOUND_RATE,
    BEST_FLOAT,
    DEFAULT,
    METHODS,
    NOT_PRECONDITIONED,
    OURS,
    RATE_FOUND,
)
from benchmarks.places import BUILD
from benchmarks.runs import TaskOf, in_parallel
from benchmarks.store import BenchmarkRun, Store
from benchmarks.task import Task
from benchmarks.tuning import Tuned, tune

RESULTS_DIR = BUILD / "benchmarks"


@dataclass(frozen=True)
class Comparison:
    """What came of a task."""

    task: Task
    tuned: dict[str, Tuned]
    runs: list[BenchmarkRun]


def run_task(
    task_of: TaskOf,
    jobs: int,
    report: Callable[[str, int, int], None],
    results: Path = RESULTS_DIR,
) -> Comparison:
    """Train the task, with more seeds while the default's gap to float is undecided."""
    task = task_of()
    store = Store(results / f"{task.name}.jsonl")

    def train(phase: str, wanted: Iterable[BenchmarkRun]) -> list[BenchmarkRun]:
        return in_parallel(task_of, wanted, store, jobs, functools.partial(report, phase))

    tuned = tune(task, functools.partial(train, "tuning"))
    seeds = task.seeds
    while True:
        of_default = train("default", reported_runs(task, tuned, seeds, {}))
        rates = {pair_of(r): r.found for r in of_default if r.method == NOT_PRECONDITIONED}
        runs = of_default + train(f"{seeds} seeds", reported_runs(task, tuned, seeds, rates))
        if 2 * seeds > task.most_seeds or not is_undecided(task, runs):
            return Comparison(task, tuned, runs)
        seeds *= 2


Pair = tuple[str, str, int]


def pair_of(run: BenchmarkRun) -> Pair:
    return run.scheme, run.group, run.seed


def reported_runs(
    task: Task, tuned: dict[str, Tuned], seeds: int, found: dict[Pair, float]
) -> Iterator[BenchmarkRun]:
    """Those for which the product finds the rate; or, by the rates that it ``found``, of all other
    methods. Formats beside the usual ones have the first seeds only."""
    for scheme in task.schemes:
        for method in METHODS:
            if (method in RATE_FOUND) == bool(found):
                continue
            asked = seeds if method in ALWAYS else task.seeds * (method in task.formats)
            for seed in range(asked):
                for group in task.groups:
                    rate = found.get((scheme, group, seed), 0.0)
                    yield asked_run(task, scheme, group, seed, method, tuned[scheme], rate)


def asked_run(
    task: Task, scheme: str, group: str, seed: int, method: str, tuned: Tuned, found: float
) -> BenchmarkRun:
    """What finds its rate is given none."""
    practice = tuned.practice if method == BEST_FLOAT else OURS
    rate = tuned.rate if method == BEST_FLOAT else tuned.same_rate
    if method in (*RATE_FOUND, *AT_FOUND_RATE):
        rate = found
    return BenchmarkRun(
        task.name, scheme, group, seed, method, rate, task.epochs,
        practice.optimiser, practice.batch,
    )  # fmt: skip


def is_undecided(task: Task, runs: list[BenchmarkRun]) -> bool:
    def of(scheme: str, method: str) -> list[BenchmarkRun]:
        return [run for run in runs if (run.scheme, run.method) == (scheme, method)]

    gaps = (Gap.of(of(scheme, DEFAULT), of(scheme, BEST_FLOAT)) for scheme in task.schemes)
    return any(gap.verdict is Verdict.UNDECIDED for gap in gaps)
