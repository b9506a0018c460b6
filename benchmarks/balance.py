# SPDX-License-Identifier: Apache-2.0
"""What a balanced order is worth where one class has most of the samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.augmentation import quarter_turned
from benchmarks.data import digits
from benchmarks.data.watch import EXAMPLE, load_people
from benchmarks.gains import RATE_SEEDS, gain, quiet, typical_rate
from benchmarks.guard import as_input
from benchmarks.nets.digits import recipe
from mcutrain.host.building.library import in_process
from mcutrain.host.training.balance import OFF, ON
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.loop import train
from mcutrain.host.training.runner import Runner
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.model import Model
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan

RUNS = 20
EPOCHS = 20
UPDATE = "last:2"
INTRODUCTION = f"""\
One class, another in each run, has most of the training samples, the others few each: points that
`--balance on` is worth over `off`, {RUNS} pairs, `{UPDATE}`, {EPOCHS} epochs. Balanced accuracy is
the mean over the classes, plain accuracy that of samples as uneven as those trained on. The rates
are those that `--lr auto` finds with each."""


@dataclass(frozen=True)
class Setting:
    """Samples in parts (a person's, or all), and how many of the large class and of each other."""

    name: str
    parts: tuple[tuple[Array, Array], ...]
    large: int
    small: int


def settings() -> Iterator[tuple[Model, tuple[Setting, ...]]]:
    """Raises DataUnavailable."""
    people = tuple((x.reshape(len(x), -1), y) for x, y in load_people().values())
    windows = ((12, 4), (12, 3), (12, 1))
    yield (
        load(EXAMPLE / "watch.tflite"),
        tuple(Setting("watch", people, large, small) for large, small in windows),
    )
    turned = quarter_turned(digits.other_writers())
    images = ((24, 8), (40, 4), (72, 1))
    part = (as_input(turned.x), turned.y)
    yield (
        load(recipe().file()),
        tuple(Setting("digits, turned", (part,), large, small) for large, small in images),
    )


def uneven(setting: Setting, seed: int) -> Dataset:
    """The samples that a seed draws; all others test."""
    x, y = setting.parts[seed % len(setting.parts)]
    rng, labels = np.random.default_rng([seed, 7]), np.unique(y)
    largest = labels[seed % len(labels)]
    learn = np.concatenate(
        [
            rng.permutation(np.flatnonzero(y == label))[
                : setting.large if label == largest else setting.small
            ]
            for label in labels
        ]
    )
    test = np.setdiff1d(np.arange(len(y)), learn)
    return Dataset(x[learn], y[learn], x[test], y[test])


def scores(
    plan: TrainingPlan, runner: Runner, data: Dataset, options: TrainingOptions
) -> tuple[float, float]:
    """(balanced, plain) accuracy in percent; classes without test samples are left out."""
    train(plan, data, runner, options, quiet)
    right = np.array([runner.predict(x) for x in data.x_test]) == data.y_test
    tested = np.unique(data.y_test)
    recalls = np.array([right[data.y_test == label].mean() for label in tested])
    weights = np.array([(data.y_train == label).sum() for label in tested])
    return 100 * float(recalls.mean()), 100 * float(recalls @ weights / weights.sum())


def row(plan: TrainingPlan, runner: Runner, setting: Setting, short: bool) -> str:
    """A line of the table."""
    seeds, found = range(2 if short else RUNS), {}
    for balance in (OFF, ON):
        options = TrainingOptions(1 if short else EPOCHS, balance=balance)
        data = (uneven(setting, seed) for seed in RATE_SEEDS[: 1 if short else None])
        rate = typical_rate(plan, data, options)
        each = (replace(options, rate=rate, seed=seed) for seed in seeds)
        found[balance] = np.array(
            [scores(plan, runner, uneven(setting, o.seed or 0), o) for o in each]
        )
    cells = [setting.name, f"{setting.large} to {setting.small}"]
    for off, on in zip(found[OFF].T, found[ON].T, strict=True):
        cells += [f"{off.mean():.1f}", gain(on, off, 1)]
    return f"| {' | '.join(cells)} |"


def markdown(short: bool = False) -> str:
    """The section of docs/accuracy.md. Raises DataUnavailable."""
    lines = [
        INTRODUCTION,
        "",
        "| task | samples | balanced accuracy, off, % | gained | plain accuracy, off, % | gained |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for model, uneven_ones in settings():
        plan = make_plan(model, PlanOptions(UPDATE))
        with in_process(plan) as runner:
            lines += [row(plan, runner, s, short) for s in uneven_ones[: 1 if short else None]]
        if short:
            break
    return "\n".join(lines) + "\n"
