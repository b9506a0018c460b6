# SPDX-License-Identifier: Apache-2.0
"""What ``--precondition inputs`` is worth over the default, and how far both are behind the best
float practice, on the pairs for which the task's own table has them."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable
from dataclasses import replace

from benchmarks.comparison import RESULTS_DIR
from benchmarks.data.fetch import DataUnavailable
from benchmarks.gaps import Gap
from benchmarks.methods import BEST_FLOAT, DEFAULT, PRECONDITIONED
from benchmarks.runs import in_parallel
from benchmarks.store import BenchmarkRun, Store
from benchmarks.task import Task

TASKS = ("digits", "hapt", "machine", "vibration", "watch")
INTRODUCTION = """\
The default and the same with `--precondition inputs`, on the pairs of the tasks' tables: what the
option is worth in points, and what each is behind the best float practice. Each run has the rate
that `--lr auto` finds for it; the rates shown are those in the middle."""


@functools.cache
def task_named(name: str) -> Task:
    task: Task = importlib.import_module(f"benchmarks.tasks.{name}").task()
    return task


def markdown(short: bool) -> str:
    """The table; of the tasks that were measured."""
    head = "| task | update | default | preconditioned | gained | default - best float |"
    head += " preconditioned - best float | rate, default | rate | pairs |"
    lines = [INTRODUCTION, "", head, "|---|---|" + "---:|" * 8]
    for name in TASKS[:1] if short else TASKS:
        store = Store(RESULTS_DIR / f"{name}.jsonl")
        for scheme in task_named(name).schemes:
            lines += row(name, scheme, store, most=2 if short else None)
    if len(lines) == 4:
        raise DataUnavailable(f"no pairs yet: run python -m benchmarks {' '.join(TASKS)} first")
    return "\n".join(lines) + "\n"


def row(name: str, scheme: str, store: Store, most: int | None) -> list[str]:
    stored = [run for run in store.runs.values() if run.scheme == scheme]
    # Of several runs of a pair, by earlier rules or practices, the last counts.
    plain = {(run.group, run.seed): run for run in stored if run.method == DEFAULT}
    best = {(run.group, run.seed): run for run in stored if run.method == BEST_FLOAT}
    pairs = [pair for pair in plain if pair in best][:most]
    if not pairs:
        return []
    asked = [replace(plain[pair].key, method=PRECONDITIONED) for pair in pairs]
    found = in_parallel(functools.partial(task_named, name), asked, store, 1, lambda *_: None)
    of_plain, of_best = [plain[pair] for pair in pairs], [best[pair] for pair in pairs]
    gained, behind, left = (
        Gap.of(*both) for both in ((found, of_plain), (of_plain, of_best), (found, of_best))
    )
    means = " | ".join(f"{mean(runs):.2f}" for runs in (of_plain, found))
    gaps = " | ".join(map(str, (gained, behind, left)))
    used = " | ".join(rates(runs) for runs in (of_plain, found))
    return [f"| {name} | `{scheme}` | {means} | {gaps} | {used} | {len(pairs)} |"]


def mean(runs: list[BenchmarkRun]) -> float:
    return sum(run.after for run in runs) / len(runs)


def rates(runs: Iterable[BenchmarkRun]) -> str:
    """The rate in the middle."""
    found = sorted(run.found for run in runs)
    return f"{found[len(found) // 2]:g}"
