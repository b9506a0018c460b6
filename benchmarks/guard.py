# SPDX-License-Identifier: Apache-2.0
"""What the guard saves: digits of new writers, on which the model is good already.

Some samples of each digit teach, the others test. The head learns at three rates, without the
guard from all of the samples, with it from four fifths of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.data import RawSamples, digits, learn_and_test
from benchmarks.nets.digits import INPUT_QUANT, recipe
from mcutrain.host.building.library import in_process
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.loop import Result, TrainingOptions, train
from mcutrain.host.training.runner import Runner
from mcutrain.host.training.validation import held_out
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.making.quantiser import quantize_array
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan

UPDATE = "head"
EPOCHS = 10
SHOTS = (20, 50)  # samples of each digit
SEEDS = range(100, 106)  # the guard's rule was chosen on seeds 0 to 7
INTRODUCTION = """\
A net of 6,000 parameters that knows the digits of some writers (scikit-learn's 8 x 8 digits)
learns those of others, which it knows already: `head`, 10 epochs, mean of six seeds. With the guard
a fifth of the samples validates. Accuracy is on the others' remaining digits."""
RATES = {"small, 2^-9": 2.0**-9, "default, 2^-6": 2.0**-6, "too large, 2^-2": 2.0**-2}


@dataclass(frozen=True)
class GuardRow:
    """One rate, one seed: accuracies on the test samples in percent."""

    rate: str
    seed: int
    before: float
    unguarded: float
    guarded: float
    rolled_back: bool


def dataset(samples: RawSamples, shots: int, seed: int) -> Dataset:
    """``shots`` samples of each digit, drawn by ``seed``, to learn from; the others to test."""
    learn, test = learn_and_test(samples, shots, seed)
    return Dataset(as_input(learn.x), learn.y, as_input(test.x), test.y)


def as_input(x: Array) -> Array:
    return quantize_array(x, INPUT_QUANT).reshape(len(x), -1)


def trained(plan: TrainingPlan, data: Dataset, runner: Runner, options: TrainingOptions) -> Result:
    return train(plan, data, runner, options, lambda progress: None)


def measure(
    plan: TrainingPlan, data: Dataset, runner: Runner, rate: str, seed: int, epochs: int
) -> GuardRow:
    """Train with and without the guard."""
    options = TrainingOptions(epochs, RATES[rate], seed=seed)
    bare = trained(plan, data, runner, options)
    validated, reason = held_out(plan, data, seed)
    assert not reason, reason
    kept = trained(plan, validated, runner, replace(options, guard=True))
    assert kept.guarded is not None
    accuracies = (100 * (value or 0.0) for value in (bare.before, bare.after, kept.after))
    return GuardRow(rate, seed, *accuracies, kept.guarded.rolled_back)


def table(rows: list[GuardRow]) -> Iterator[str]:
    """A line per rate: means over the seeds, how often it was rolled back, the greatest loss."""
    yield "| rate | before, % | unguarded, % | guarded, % | rolled back | worst of the guarded |"
    yield "|---|---|---|---|---|---|"
    for rate in RATES:
        mine = [row for row in rows if row.rate == rate]
        means = (np.mean([getattr(r, n) for r in mine]) for n in ("before", "unguarded", "guarded"))
        worst = min(r.guarded - r.before for r in mine)
        cells = [*(f"{mean:.1f}" for mean in means), f"{sum(r.rolled_back for r in mine)} of "
                 f"{len(mine)}", f"{worst:+.1f} points"]  # fmt: skip
        yield f"| {rate} | {' | '.join(cells)} |"


def markdown(short: bool = False) -> str:
    """The section of docs/accuracy.md. Raises DataUnavailable."""
    plan, samples = make_plan(load(recipe().file()), PlanOptions(UPDATE)), digits.other_writers()
    lines = [INTRODUCTION]
    with in_process(plan) as runner:
        for shots in SHOTS[:1] if short else SHOTS:
            rows = [
                measure(plan, data, runner, rate, seed, 1 if short else EPOCHS)
                for rate in RATES
                for seed in SEEDS[: 1 if short else None]
                for data in [dataset(samples, shots, seed)]
            ]
            lines += ["", f"{shots} samples of each digit:", "", *table(rows)]
    return "\n".join(lines) + "\n"
