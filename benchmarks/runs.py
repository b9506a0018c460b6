# SPDX-License-Identifier: Apache-2.0
"""Runs trainings in parallel processes; each result is kept, so that they can be resumed.

Float runs of one plan are trained in stacks. Integer runs of one plan share its library.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.latents import Tail
from benchmarks.methods import INTEGERS, RATE_FOUND, YARDSTICKS, formats_of, measure_integer
from benchmarks.product import found_rate, rule_digest
from benchmarks.stacked import StackedRun, runs_of_stack, train_stack, untrained
from benchmarks.store import BenchmarkRun, Store
from benchmarks.task import Task
from mcutrain.host.building.library import in_process
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.rates import sample_order
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.training_plan import TrainingPlan

TaskOf = Callable[[], Task]
INTEGER_PART, FLOAT_PART = 8, 128  # runs that one process does at a time
KEPT = 256  # data sets in memory
SCHEDULE = TrainingOptions().schedule


@dataclass(frozen=True, eq=False)
class Prepared:
    """What the runs of one scheme, group and seed share."""

    tail: Tail
    data: Dataset
    order: Array | None
    digest: str

    def steps(self, epochs: int, seed: int) -> Array:
        """The indices of the samples, step by step."""
        if self.order is not None:
            return self.order
        return sample_order(len(self.data.x_train), epochs, seed)

    @property
    def prefix_macs(self) -> int:
        """Of what the data went through before."""
        return self.tail.whole.prefix_macs if self.tail.is_cut else 0


@functools.lru_cache(KEPT)
def prepared(task_of: TaskOf, scheme: str, group: str, seed: int) -> Prepared:
    task = _task(task_of)
    data = at_most(task.most, task.dataset(group, seed))
    tail = tail_of(task, scheme, data) if task.model_of else _tail(task_of, scheme)
    order = None if task.order is None else task.order(group, seed)
    if order is not None:
        order = order[order < len(data.x_train)]
    digest = hashlib.sha256(tail.whole.numerics_hash + SCHEDULE.encode())
    for array in (data.x_train, data.y_train, data.x_test, data.y_test, order):
        digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    return Prepared(tail, tail.taken(data), order, digest.hexdigest()[:12])


def tail_of(task: Task, scheme: str, data: Dataset | None = None) -> Tail:
    model = task.model() if task.model_of is None or data is None else task.model_of(data)
    return Tail.of(model, task.schemes[scheme], task.classes, task.loss)


@functools.cache
def _tail(task_of: TaskOf, scheme: str) -> Tail:
    return tail_of(_task(task_of), scheme)


@functools.cache
def _task(task_of: TaskOf) -> Task:
    """Once in a process: a task may load its data when it is made."""
    return task_of()


def at_most(count: int | None, data: Dataset) -> Dataset:
    """``count`` samples to learn from and as many to test, from all over each."""
    if count is None:
        return data

    def some(part: Array) -> Array:
        return part[:: max(1, len(part) // count)][:count]

    parts = (data.x_train, data.y_train, data.x_test, data.y_test)
    return Dataset(*map(some, parts))


def with_inputs(task_of: TaskOf, run: BenchmarkRun) -> BenchmarkRun:
    """The run with the digest of what it depends on."""
    inputs = prepared(task_of, run.scheme, run.group, run.seed).digest
    if run.method in RATE_FOUND:
        precondition = formats_of(run.method, _task(task_of).loss).precondition
        inputs += f"{rule_digest()} precondition {precondition}"
    return replace(run, inputs=inputs)


def in_parallel(
    task_of: TaskOf,
    wanted: Iterable[BenchmarkRun],
    store: Store,
    jobs: int,
    report: Callable[[int, int], None],
) -> list[BenchmarkRun]:
    """All wanted runs, those that are missing trained now in ``jobs`` processes."""
    wanted = [with_inputs(task_of, run) for run in wanted]
    missing = dict.fromkeys(run for run in wanted if run not in store.runs)
    total, done = len(missing), 0
    report(done, total)
    for found in executed(task_of, list(parts(missing)), jobs):
        for run in found:
            store.add(run)
        done += len(found)
        report(done, total)
    return [store.runs[run] for run in wanted]


def parts(runs: Iterable[BenchmarkRun]) -> Iterator[list[BenchmarkRun]]:
    """Runs that one process does together: by scheme, way to train and size of a batch."""
    alike: dict[tuple[object, ...], list[BenchmarkRun]] = {}
    for run in runs:
        way = YARDSTICKS.get(run.method, run.method)
        alike.setdefault((run.scheme, way, run.batch), []).append(run)
    for found in alike.values():
        size = INTEGER_PART if found[0].method in INTEGERS else FLOAT_PART
        yield from (found[k : k + size] for k in range(0, len(found), size))


def executed(
    task_of: TaskOf, parts: list[list[BenchmarkRun]], jobs: int
) -> Iterator[list[BenchmarkRun]]:
    """The runs of each part as they are done; one job runs in this process."""
    if jobs == 1 or len(parts) == 1:
        yield from (execute(task_of, runs) for runs in parts)
        return
    with ProcessPoolExecutor(jobs) as pool:
        futures = [pool.submit(execute, task_of, runs) for runs in parts]
        yield from (future.result() for future in as_completed(futures))


def execute(task_of: TaskOf, wanted: list[BenchmarkRun]) -> list[BenchmarkRun]:
    """The runs of a part, of one scheme and way to train."""
    by_plan: dict[bytes, list[tuple[BenchmarkRun, Prepared]]] = {}
    for run in wanted:
        found = prepared(task_of, run.scheme, run.group, run.seed)
        by_plan.setdefault(found.tail.whole.numerics_hash, []).append((run, found))
    method, task, done = wanted[0].method, _task(task_of), list[BenchmarkRun]()
    for pairs in by_plan.values():
        plan = pairs[0][1].tail.plan_of(formats_of(method, task.loss))
        train = integer_runs if method in INTEGERS else float_runs
        done += train(task, plan, pairs)
    return done


def integer_runs(
    task: Task, plan: TrainingPlan, pairs: list[tuple[BenchmarkRun, Prepared]]
) -> Iterator[BenchmarkRun]:
    with in_process(plan) as runner:
        for run, found in pairs:
            options = TrainingOptions(run.epochs, seed=run.seed, order=found.order)
            rate, started = run.rate, time.process_time()
            if run.method in RATE_FOUND:
                rate = found_rate(plan, found.prefix_macs, found.data, options)
            searched = time.process_time() - started
            options = replace(options, rate=rate)
            got = measure_integer(plan, runner, found.data, options, task.score)
            yield replace(
                run, before=got.before, after=got.after, found=rate, seconds=got.seconds,
                search_seconds=searched,
            )  # fmt: skip


def float_runs(
    task: Task, plan: TrainingPlan, pairs: list[tuple[BenchmarkRun, Prepared]]
) -> Iterator[BenchmarkRun]:
    first = pairs[0][0]
    method = YARDSTICKS[first.method]
    before = {
        found.digest: task.score(plan, untrained(plan, method, found.data), found.data)
        for found in {found.digest: found for _, found in pairs}.values()
    }
    # One training serves all methods that ask for the same.
    by_training: dict[tuple[object, ...], list[tuple[BenchmarkRun, Prepared]]] = {}
    for run, found in pairs:
        key = (run.group, run.seed, run.epochs, run.rate, run.optimiser)
        by_training.setdefault(key, []).append((run, found))
    by_length: dict[int, list[tuple[StackedRun, list[tuple[BenchmarkRun, Prepared]]]]] = {}
    for alike in by_training.values():
        run, found = alike[0]
        order = found.steps(run.epochs, run.seed)
        stacked = StackedRun(found.data, order, run.rate, run.optimiser)
        by_length.setdefault(len(order), []).append((stacked, alike))
    size = runs_of_stack(plan, first.batch)
    for trainings in by_length.values():
        for k in range(0, len(trainings), size):
            some = trainings[k : k + size]
            stack = [stacked for stacked, _ in some]
            all_outputs = train_stack(plan, method, stack, SCHEDULE, first.batch)
            for (_, alike), outputs in zip(some, all_outputs, strict=True):
                after = task.score(plan, outputs, alike[0][1].data)
                for run, found in alike:
                    yield replace(run, before=before[found.digest], after=after, found=run.rate)
