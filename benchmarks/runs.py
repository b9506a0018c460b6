# SPDX-License-Identifier: Apache-2.0
"""Runs a task's trainings in parallel processes; each result is kept, so a run can be resumed."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.latents import tail
from benchmarks.methods import FLOAT32, INTEGER, METHODS, YARDSTICKS, measure
from benchmarks.places import BUILD
from benchmarks.task import TUNING_SEED, Task
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.loop import TrainingOptions
from mcutrain.trainer.graph.tensor import Array

RESULTS_DIR = BUILD / "benchmarks"


@dataclass(frozen=True)
class BenchmarkRun:
    """One training: accuracies in percent."""

    task: str
    scheme: str
    group: str
    seed: int
    method: str
    rate: float
    epochs: int
    before: float = 0.0
    after: float = 0.0

    @property
    def key(self) -> tuple[str, str, str, int, str, float, int]:
        """What was asked for."""
        return (
            self.task, self.scheme, self.group, self.seed, self.method, self.rate, self.epochs,
        )  # fmt: skip


class Store:
    """Runs that are done, a line of JSON each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: dict[tuple[object, ...], BenchmarkRun] = {}
        if path.is_file():
            for line in path.read_text().splitlines():
                run = BenchmarkRun(**json.loads(line))
                self.runs[run.key] = run

    def add(self, run: BenchmarkRun) -> None:
        self.runs[run.key] = run
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(run)) + "\n")


def execute(task: Task, wanted: tuple[BenchmarkRun, ...]) -> list[BenchmarkRun]:
    """The runs of one scheme, group and seed, which share data and the frozen prefix."""
    first = wanted[0]
    data = at_most(task.most, task.dataset(first.group, first.seed))
    model = task.model() if task.model_of is None else task.model_of(data)
    plan_of, data = tail(model, task.schemes[first.scheme], task.classes, data)
    plans = functools.cache(plan_of)
    order = None if task.order is None else task.order(first.group, first.seed)
    if order is not None:
        order = order[order < len(data.x_train)]
    done = []
    for run in wanted:
        options = TrainingOptions(run.epochs, run.rate, seed=run.seed, order=order)
        found = measure(run.method, plans, data, options)
        done.append(
            BenchmarkRun(
                **{**asdict(run), "before": 100 * found.before, "after": 100 * found.after}
            )
        )
    return done


def at_most(count: int | None, data: Dataset) -> Dataset:
    """``count`` samples to learn from and as many to test, from all over each."""
    if count is None:
        return data

    def some(part: Array) -> Array:
        return part[:: max(1, len(part) // count)][:count]

    parts = (data.x_train, data.y_train, data.x_test, data.y_test)
    return Dataset(*map(some, parts))


def in_parallel(
    task_of: Callable[[], Task],
    wanted: Iterable[BenchmarkRun],
    store: Store,
    jobs: int,
    report: Callable[[int, int], None],
) -> list[BenchmarkRun]:
    """All wanted runs, those that are missing trained now in ``jobs`` processes."""
    wanted = list(wanted)
    missing: dict[tuple[str, str, int], list[BenchmarkRun]] = {}
    for run in wanted:
        if run.key not in store.runs:
            missing.setdefault((run.scheme, run.group, run.seed), []).append(run)
    total, done = sum(map(len, missing.values())), 0
    report(done, total)
    for found in executed(task_of, list(missing.values()), jobs):
        for run in found:
            store.add(run)
        done += len(found)
        report(done, total)
    return [store.runs[run.key] for run in wanted]


def executed(
    task_of: Callable[[], Task], parts: list[list[BenchmarkRun]], jobs: int
) -> Iterator[list[BenchmarkRun]]:
    """The runs of each part as they are done; one job runs in this process."""
    if jobs == 1:
        yield from (_execute(task_of, tuple(runs)) for runs in parts)
        return
    with ProcessPoolExecutor(jobs) as pool:
        futures = [pool.submit(_execute, task_of, tuple(runs)) for runs in parts]
        yield from (future.result() for future in as_completed(futures))


def _execute(task_of: Callable[[], Task], wanted: tuple[BenchmarkRun, ...]) -> list[BenchmarkRun]:
    return execute(_task(task_of), wanted)


@functools.cache
def _task(task_of: Callable[[], Task]) -> Task:
    """Once in a process: a task may load its data when it is made."""
    return task_of()


def tuning_runs(task: Task, scheme: str) -> Iterator[BenchmarkRun]:
    for group in task.tuning_groups:
        for rate in task.rates:
            yield BenchmarkRun(task.name, scheme, group, TUNING_SEED, FLOAT32, rate, task.epochs)


def best_rates(runs: Iterable[BenchmarkRun]) -> dict[str, float]:
    """The rate of each scheme with the best mean accuracy of float32 training."""
    found: dict[str, dict[float, list[float]]] = {}
    for run in runs:
        found.setdefault(run.scheme, {}).setdefault(run.rate, []).append(run.after)
    return {
        scheme: max(by_rate, key=lambda rate: sum(by_rate[rate]) / len(by_rate[rate]))
        for scheme, by_rate in found.items()
    }


def reported_runs(task: Task, rates: dict[str, float]) -> Iterator[BenchmarkRun]:
    methods = [m for m in METHODS if m == INTEGER or m in YARDSTICKS or m in task.formats]
    for scheme in task.schemes:
        for seed in range(task.seeds):
            for group in task.groups:
                for method in methods:
                    yield BenchmarkRun(
                        task.name, scheme, group, seed, method, rates[scheme], task.epochs
                    )


def run_task(
    task_of: Callable[[], Task],
    jobs: int,
    report: Callable[[str, int, int], None],
    results: Path = RESULTS_DIR,
) -> tuple[dict[str, float], list[BenchmarkRun]]:
    """(learning rate by scheme, the reported runs) of a task."""
    task = task_of()
    store = Store(results / f"{task.name}.jsonl")
    tuning = [run for scheme in task.schemes for run in tuning_runs(task, scheme)]
    tuned = in_parallel(task_of, tuning, store, jobs, functools.partial(report, "rates"))
    rates = best_rates(tuned)
    wanted = reported_runs(task, rates)
    return rates, in_parallel(task_of, wanted, store, jobs, functools.partial(report, "runs"))
