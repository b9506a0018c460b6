# SPDX-License-Identifier: Apache-2.0
"""What the guard saves and costs: digits of new writers, on which the model is good already, and
the same digits changed, on which it is not.

Some samples of each digit teach, the others test. Without the guard the head learns from them; with
it, it does so where folds of them say that this helps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from benchmarks.data import RawSamples, digits, learn_and_test
from benchmarks.nets.digits import INPUT_QUANT, recipe
from mcutrain.host.building.library import LibraryRunner, in_process
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.fold_guard import borrowed, decide
from mcutrain.host.training.loop import train
from mcutrain.host.training.progress import Progress
from mcutrain.host.training.rate_search import find_rate
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.making.quantiser import quantize_array
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan

UPDATE = "head"
EPOCHS = 10
SHOTS = (10, 5)  # samples of each digit
SEEDS = range(300, 318)  # the rule was chosen on seeds 200 to 217
CLEAN = "as they are"
TOO_LARGE = 2.0**-2
INTRODUCTION = """\
A net of 6,000 parameters that knows the digits of some writers (scikit-learn's 8 x 8 digits)
learns those of others: as they are, which it knows already, and changed, which it does not. `head`,
10 epochs, 18 seeds, at the rate that `--lr auto` finds unless one is named; accuracy is on the
others' remaining digits. With the guard the run happens if five folds of its samples say that it
helps: "trained" counts such runs."""


@dataclass(frozen=True)
class GuardRow:
    """One set of digits, one seed: accuracies on the test samples in percent."""

    name: str
    seed: int
    before: float
    unguarded: float
    helps: bool

    @property
    def guarded(self) -> float:
        return self.unguarded if self.helps else self.before


def cases() -> Iterator[tuple[str, RawSamples, float | None]]:
    """Name, samples and learning rate of each; None is the one found. Raises DataUnavailable."""
    samples = digits.other_writers()
    yield CLEAN, samples, None
    yield f"{CLEAN}, rate 2^-2", samples, TOO_LARGE
    for name, altered in digits.ALTERED.items():
        yield name, RawSamples(altered(samples.x), samples.y), None


def dataset(samples: RawSamples, shots: int, seed: int) -> Dataset:
    """``shots`` samples of each digit, drawn by ``seed``, to learn from; the others to test."""
    learn, test = learn_and_test(samples, shots, seed)
    return Dataset(as_input(learn.x), learn.y, as_input(test.x), test.y)


def as_input(x: Array) -> Array:
    return quantize_array(x, INPUT_QUANT).reshape(len(x), -1)


def quiet(progress: Progress) -> None:
    pass


def measure(
    plan: TrainingPlan, data: Dataset, runner: LibraryRunner, name: str, options: TrainingOptions
) -> GuardRow:
    """Train without the guard, and ask it; at the rate that is found if the options have none."""
    if options.rate is None:
        options = replace(options, rate=find_rate(plan, data, options, quiet).chosen)
    decision = decide(plan, data, options, borrowed(runner), quiet)
    result = train(plan, data, runner, options, quiet)
    before, after = (100 * (value or 0.0) for value in (result.before, result.after))
    return GuardRow(name, result.seed, before, after, decision.helps)


def table(rows: list[GuardRow]) -> Iterator[str]:
    """A line per set of digits: means over the seeds, the worst seed, how often it trained."""
    yield (
        "| digits | before, % | change without, points | worst "
        "| change with the guard | worst | trained |"
    )
    yield "|---|---|---|---|---|---|---|"
    for name in dict.fromkeys(row.name for row in rows):
        mine = [row for row in rows if row.name == name]
        before = np.array([row.before for row in mine])
        cells = [name, f"{before.mean():.1f}"]
        for kind in ("unguarded", "guarded"):
            change = np.array([getattr(row, kind) for row in mine]) - before
            cells += [f"{change.mean():+.2f}", f"{change.min():+.1f}"]
        yield f"| {' | '.join(cells)} | {sum(row.helps for row in mine)} of {len(mine)} |"


def markdown(short: bool = False) -> str:
    """The section of docs/accuracy.md. Raises DataUnavailable."""
    plan = make_plan(load(recipe().file()), PlanOptions(UPDATE))
    epochs, seeds = (1, SEEDS[:1]) if short else (EPOCHS, SEEDS)
    lines = [INTRODUCTION]
    with in_process(plan) as runner:
        for shots in SHOTS[:1] if short else SHOTS:
            rows = [
                measure(plan, dataset(samples, shots, seed), runner, name, options)
                for name, samples, rate in islice(cases(), 2 if short else None)
                for seed in seeds
                for options in [TrainingOptions(epochs, rate, seed=seed)]
            ]
            lines += ["", f"{shots} samples of each digit:", "", *table(rows)]
    return "\n".join(lines) + "\n"
