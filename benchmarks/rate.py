# SPDX-License-Identifier: Apache-2.0
"""Whether the rate that is found beats the constant that was the default, and comes near the best.

Tasks of the accuracy benchmarks, and public models that learn made-up patterns, at every power of
two of a wide grid: accuracy on test samples at the rate that `--lr auto` takes, at a constant, and
at the best of the grid, which is chosen by these very samples and so flatters itself.
"""

from __future__ import annotations

import importlib
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.data.fetch import DataUnavailable
from benchmarks.data.models import model_file
from benchmarks.task import Task
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.in_process import in_process_runner, with_host_latents
from mcutrain.host.training.loop import train
from mcutrain.host.training.progress import Progress
from mcutrain.host.training.rate_choice import RateChoice, rate_text
from mcutrain.host.training.rate_search import find_rate
from mcutrain.host.training.runner import Runner
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.model import Model
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan

GRID = tuple(2.0**-k for k in range(1, 15))
CONSTANT = 2.0**-6  # 2**-7 where all layers learn
TASKS = ("watch", "hapt")
EPOCHS, PEOPLE = 10, 5  # of the tasks
SEED = 3000  # none of the benchmarks, nor the one that the rule was chosen by (2000)
# Public models: their file below zoo/, and what learns.
MODELS = {
    "ambiq_kws": "last:2", "ard_magic_wand": "last:2", "atomic14_marvin": "last:2",
    "esp_person": "head", "itemis_rps": "head", "mlc_str_ww": "full",
    "mltk_audio_example1": "last:2",
    "mltk_keyword_spotting_alexa": "last:2", "mltk_rock_paper_scissors": "head",
    "mltk_tflite_micro_speech": "full", "tflm_micro_speech": "full",
}  # fmt: skip
CLASSES, LEARNED, TESTED = 4, 12, 25  # made-up patterns, and samples of each
PATTERN_EPOCHS = 5
COARSE = 6  # a pattern has so many different stretches along each side
INTRODUCTION = """\
Points of accuracy on test samples below the best rate of 2^-1 to 2^-14, for the rate that
`--lr auto` finds from the training samples alone, and for the constant that it took the place of
(2^-6; 2^-7 if all layers learn). The public models get a new head of four classes, each a made-up
pattern under noise. The seconds are those of this computer, compiling included."""


@dataclass(frozen=True)
class Case:
    """What learns, from the data of each of several people, or from one data set."""

    name: str
    plan: TrainingPlan
    data: list[Dataset]
    epochs: int


@dataclass(frozen=True)
class RateRow:
    """Means over the data sets: accuracies in percent, and what a search took beside a training."""

    name: str
    best_rate: float
    best: float
    choices: list[RateChoice]
    found: float
    constant: float
    chance: float
    seconds: float
    training_seconds: float


def task_cases(name: str) -> Iterator[Case]:
    """Each scheme of a benchmark's task, with people that no rate was tuned on."""
    task: Task = importlib.import_module(f"benchmarks.tasks.{name}").task()
    groups = [g for g in task.groups if g not in task.tuning_groups][:PEOPLE]
    data = [task.dataset(group, SEED) for group in groups]
    for scheme, update in task.schemes.items():
        yield Case(f"{name} {scheme}", make_plan(task.model(), PlanOptions(update)), data, EPOCHS)


def model_cases() -> Iterator[Case]:
    """The public models that are there."""
    for name, update in MODELS.items():
        model = load(model_file(f"zoo/{name}.tflite"))
        plan = make_plan(model, PlanOptions(update, classes=CLASSES))
        yield Case(f"{name} {update}", plan, [made_up(model)], PATTERN_EPOCHS)


def made_up(model: Model) -> Dataset:
    """A coarse random pattern for each class, under noise that hides much of it."""
    rng = np.random.default_rng([SEED, len(model.name)])
    shape = model.input.type.shape
    patterns = [coarse(rng, shape) for _ in range(CLASSES)]

    def draw(count: int) -> tuple[Array, Array]:
        y = np.repeat(np.arange(CLASSES), count)
        x = [patterns[label] + rng.normal(0, 60, math.prod(shape)) for label in y]
        return np.clip(np.round(x), -128, 127).astype(np.int8), y

    return Dataset(*draw(LEARNED), *draw(TESTED))


def coarse(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    values = rng.normal(0, 40, [min(COARSE, side) for side in shape])
    for axis, side in enumerate(shape):
        values = np.take(values, np.arange(side) * values.shape[axis] // side, axis)
    return values.reshape(-1)


def silent(progress: Progress) -> None:
    pass


def measure(case: Case) -> RateRow:
    plan, options = case.plan, TrainingOptions(case.epochs, seed=SEED)
    choices = [find_rate(plan, data, options, silent) for data in case.data]
    found, seconds, grid = [], 0.0, np.zeros((len(case.data), len(GRID)))
    for k, (data, choice) in enumerate(zip(case.data, choices, strict=True)):
        with in_process_runner(plan, case.epochs * len(data.x_train)) as inner:
            runner = with_host_latents(plan, inner)

            def accuracy(rate: float, data: Dataset = data, runner: Runner = runner) -> float:
                result = train(plan, data, runner, replace(options, rate=rate), silent)
                return 100 * (result.after or 0.0)

            grid[k] = [accuracy(rate) for rate in GRID]
            started = time.monotonic()
            found.append(accuracy(choice.chosen))
            seconds += time.monotonic() - started
    means = grid.mean(axis=0)
    best = int(means.argmax())
    is_full = plan.scheme.name == "full"
    return RateRow(
        case.name,
        GRID[best],
        float(means[best]),
        choices,
        float(np.mean(found)),
        float(means[GRID.index(CONSTANT / 2 if is_full else CONSTANT)]),
        float(np.mean([100 * np.bincount(d.y_test).max() / len(d.y_test) for d in case.data])),
        float(np.mean([choice.seconds for choice in choices])),
        seconds / len(case.data),
    )


def table(rows: list[RateRow]) -> Iterator[str]:
    yield (
        "| | best of the grid, % | `auto` | points | constant, points | trainings | "
        "seconds | of a training |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for row in rows:
        chosen = [choice.chosen for choice in row.choices]
        taken = " to ".join(map(rate_text, sorted({min(chosen), max(chosen)})))
        trainings = np.mean([len(choice.tried) for choice in row.choices])
        yield (
            f"| {row.name} | {row.best:.1f} ({rate_text(row.best_rate)}) | {taken} | "
            f"{row.found - row.best:+.1f} | {row.constant - row.best:+.1f} | {trainings:.1f} | "
            f"{row.seconds:.1f} | {row.training_seconds:.2f} |"
        )
    gaps = np.array([(row.found - row.best, row.constant - row.best) for row in rows])
    for text, (mine, constant) in (("mean", gaps.mean(axis=0)), ("worst", gaps.min(axis=0))):
        yield f"| {text} | | | {mine:+.1f} | {constant:+.1f} | | | |"


def lost(rows: list[RateRow]) -> str:
    """Those that stay at chance although a rate of the grid learns."""
    learnable = [row for row in rows if row.best > row.chance + 20]
    names = {
        kind: [r.name for r in learnable if getattr(r, kind) < r.chance + 10]
        for kind in ("found", "constant")
    }
    said = {kind: f"{len(v)} ({', '.join(v)})" if v else "none" for kind, v in names.items()}
    return (
        f"Of {len(learnable)} that some rate of the grid teaches, {said['found']} stay at chance "
        f"with `auto`, {said['constant']} with the constant."
    )


def cases() -> Iterator[Case]:
    for name in TASKS:
        try:
            yield from task_cases(name)
        except DataUnavailable as reason:
            print(f"left out: {reason}")
    try:
        yield from model_cases()
    except DataUnavailable as reason:
        print(f"left out: {reason}")


def markdown(short: bool = False) -> str:
    """The section of docs/accuracy.md."""
    rows = []
    for case in cases():
        rows.append(measure(case))
        print(*list(table(rows[-1:]))[2:3], file=sys.stderr, flush=True)
        if short:
            break
    return "\n".join([INTRODUCTION, "", *table(rows), "", lost(rows)]) + "\n"
