# SPDX-License-Identifier: Apache-2.0
"""The best float practice of a task: optimiser, batch and rate, on seeds that are not reported."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.methods import FLOAT32, OURS, PRACTICES, Practice
from benchmarks.optimisers import ADAM, MOMENTUM
from benchmarks.store import BenchmarkRun
from benchmarks.task import TUNING_SEEDS, Task

ADAM_RATES = tuple(2.0**-k for k in (5, 6, 7, 8, 9, 10))
MOMENTUM_SHIFT = 0.125  # of the rate: with 0.9 a gradient counts ten times
MOST_RATES = 20  # of a practice
BEHIND = 5.0  # points: a practice that is further behind another has its first rates only
# Of a first pass, which long tasks have.
PASS_SEEDS, PASS_RATES, PASS_FACTOR = TUNING_SEEDS[:1], 3, 4.0
LEFT_BEHIND = 3.0  # points: a practice that is further behind another there is tried no more


@dataclass(frozen=True)
class Tuned:
    """A scheme's best float practice, and the best rate of SGD at batch 1; ``is_interior``: both
    rates are best between others that were tried."""

    practice: Practice
    rate: float
    same_rate: float
    is_interior: bool


Grid = dict[tuple[str, Practice], list[float]]
Means = dict[tuple[str, Practice], dict[float, float]]
Train = Callable[[Iterable[BenchmarkRun]], list[BenchmarkRun]]


def tune(task: Task, train: Train) -> dict[str, Tuned]:
    """By scheme. Grids grow until the best rate of each practice that may be the best of all, and
    of ours, lies inside, if they have several rates."""
    grid = {
        (scheme, practice): first_rates(task, practice)
        for scheme in task.schemes
        for practice in PRACTICES
    }
    if task.is_long:
        grid = narrowed(task, grid, train)
    means = grown_means(task, grid, train, TUNING_SEEDS, 2.0)
    return {scheme: best_of(scheme, means) for scheme in task.schemes}


def narrowed(task: Task, grid: Grid, train: Train) -> Grid:
    """What a first pass leaves of a grid: the practices that are not far behind, and ours, each
    with its best rate of the pass between its neighbours. The pass has fewer seeds and, from the
    least rate on, larger steps between rates; its grids grow as well."""
    coarse = {
        key: [rates[0] * PASS_FACTOR**k for k in range(PASS_RATES)] for key, rates in grid.items()
    }
    means = grown_means(task, coarse, train, PASS_SEEDS, PASS_FACTOR)
    left: Grid = {}
    for (scheme, practice), scores in means.items():
        best = best_rate(scores)
        if practice == OURS or scores[best] >= most_of(scheme, means) - LEFT_BEHIND:
            left[scheme, practice] = [best / 2, best, best * 2]
    return left


def grown_means(task: Task, grid: Grid, train: Train, seeds: Iterable[int], factor: float) -> Means:
    """Of a grid that grows as long as it has to, if the task has several rates."""
    while True:
        means = means_of(train(tuning_runs(task, grid, seeds)))
        if len(task.rates) == 1 or not grow(grid, means, factor):
            return means


def first_rates(task: Task, practice: Practice) -> list[float]:
    """Larger batches stand larger rates: about as the root of their size."""
    rates = ADAM_RATES[: len(task.rates)] if practice.optimiser == ADAM else task.rates
    factor = 2.0 ** round(math.log2(practice.batch) / 2)
    factor *= MOMENTUM_SHIFT if practice.optimiser == MOMENTUM else 1
    return sorted(rate * factor for rate in rates)


def tuning_runs(task: Task, grid: Grid, seeds: Iterable[int]) -> Iterator[BenchmarkRun]:
    for (scheme, practice), rates in grid.items():
        for group in task.tuning_groups:
            for seed in seeds:
                for rate in rates:
                    yield BenchmarkRun(
                        task.name, scheme, group, seed, FLOAT32, rate, task.epochs,
                        practice.optimiser, practice.batch,
                    )  # fmt: skip


def means_of(runs: Iterable[BenchmarkRun]) -> Means:
    found: dict[tuple[str, Practice], dict[float, list[float]]] = {}
    for run in runs:
        by_rate = found.setdefault((run.scheme, Practice(run.optimiser, run.batch)), {})
        by_rate.setdefault(run.rate, []).append(run.after)
    return {
        key: {rate: float(np.mean(scores)) for rate, scores in sorted(by_rate.items())}
        for key, by_rate in found.items()
    }


def most_of(scheme: str, means: Means) -> float:
    """The best score of any practice and rate."""
    return max(max(scores.values()) for (of, _), scores in means.items() if of == scheme)


def grow(grid: Grid, means: Means, factor: float) -> bool:
    """Add rates beyond an end of a grid that is the best of it, by ``factor`` and its square;
    whether there was one."""
    grown = False
    for (scheme, practice), rates in grid.items():
        scores = means[scheme, practice]
        best = best_rate(scores)
        is_behind = practice != OURS and scores[best] < most_of(scheme, means) - BEHIND
        if is_behind or len(rates) >= MOST_RATES or is_inside(best, rates):
            continue
        grown = True
        beyond = 1 / factor if best == rates[0] else factor
        grid[scheme, practice] = sorted({*rates, best * beyond, best * beyond**2})
    return grown


def best_rate(scores: dict[float, float]) -> float:
    """Of several that are best the middle one."""
    most = max(scores.values())
    best = sorted(rate for rate, score in scores.items() if score == most)
    return best[len(best) // 2]


def is_inside(rate: float, rates: Iterable[float]) -> bool:
    return min(rates) < rate < max(rates)


def best_of(scheme: str, means: Means) -> Tuned:
    """The practice whose best rate is the best of all."""
    tried = [practice for practice in PRACTICES if (scheme, practice) in means]
    rates = {practice: best_rate(means[scheme, practice]) for practice in tried}
    best = max(tried, key=lambda practice: means[scheme, practice][rates[practice]])
    inside = all(is_inside(rates[p], means[scheme, p]) for p in (best, OURS))
    return Tuned(best, rates[best], rates[OURS], inside)
