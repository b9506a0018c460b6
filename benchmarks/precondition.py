# SPDX-License-Identifier: Apache-2.0
"""What ``--precondition inputs``, the default, is worth, and how far the default is behind the best
float practice with it and without, on the pairs for which the task's own table has them."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable
from dataclasses import replace

from benchmarks.comparison import RESULTS_DIR
from benchmarks.data.fetch import DataUnavailable
from benchmarks.gaps import Gap
from benchmarks.methods import BEST_FLOAT, DEFAULT, NOT_PRECONDITIONED
from benchmarks.runs import in_parallel
from benchmarks.store import BenchmarkRun, Store
from benchmarks.task import Task

# Those with the option by default: `machine` reconstructs its input.
TASKS = (
    "digits",
    "hapt",
    "vibration",
    "watch",
    "fashion",
    "incremental",
    "cifar",
    "calibrated",
    "mcunet",
)
INTRODUCTION = """\
The default and the same with `--precondition off`, on the pairs of the tasks' tables: what
preconditioning is worth in points, and what each is behind the best float practice. Each run has
the rate that `--lr auto` finds for it; the rates shown are those in the middle."""


@functools.cache
def task_named(name: str) -> Task:
    task: Task = importlib.import_module(f"benchmarks.tasks.{name}").task()
    return task


def markdown(short: bool) -> str:
    """The table; of the tasks that were measured."""
    head = "| task | update | off | default | gained | off - best float |"
    head += " default - best float | rate, off | rate, default | pairs |"
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
    default = {(run.group, run.seed): run for run in stored if run.method == DEFAULT}
    best = {(run.group, run.seed): run for run in stored if run.method == BEST_FLOAT}
    pairs = [pair for pair in default if pair in best][:most]
    if not pairs:
        return []

    def trained(method: str) -> list[BenchmarkRun]:
        asked = [replace(default[pair].key, method=method) for pair in pairs]
        return in_parallel(functools.partial(task_named, name), asked, store, 1, lambda *_: None)

    without, with_it = trained(NOT_PRECONDITIONED), trained(DEFAULT)
    of_best = [best[pair] for pair in pairs]
    compared = ((with_it, without), (without, of_best), (with_it, of_best))
    means = " | ".join(f"{mean(runs):.2f}" for runs in (without, with_it))
    gaps = " | ".join(str(Gap.of(*both)) for both in compared)
    used = " | ".join(rates(runs) for runs in (without, with_it))
    return [f"| {name} | `{scheme}` | {means} | {gaps} | {used} | {len(pairs)} |"]


def mean(runs: list[BenchmarkRun]) -> float:
    return sum(run.after for run in runs) / len(runs)


def rates(runs: Iterable[BenchmarkRun]) -> str:
    """The rate in the middle."""
    found = sorted(run.found for run in runs)
    return f"{found[len(found) // 2]:g}"
