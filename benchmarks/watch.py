# SPDX-License-Identifier: Apache-2.0
"""Adapts the watch model to each person's left wrist, in integers and in float32, in pairs.

    python -m benchmarks.watch [--target native | reference] [--people 10] [--seeds 3] [--json FILE]

Five windows of each exercise teach, the person's other left-wrist windows test. A seed picks the
windows and the order of the steps; integer and float32 training get the same of both, the same
scheme and the same learning rates. The gap of a pair is integer minus float32 accuracy.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.float32 import FloatTrainer
from host.build import build
from host.dataset import Dataset
from host.runner import ReferenceRunner, Runner, simulated
from host.target import Kind, Target
from host.train import Options, default_rate, rates, sample_order, train
from trainer.plan import TrainingPlan, make_plan
from trainer.tensor import Array
from trainer.tflite import load

EXAMPLE = Path(__file__).parents[1] / "examples" / "watch"
SCHEMES = ("head", "last:2", "full")
SHOTS = 5
EPOCHS = 30


@dataclass(frozen=True)
class Pair:
    """One person, one seed: accuracies in percent."""

    scheme: str
    person: int
    seed: int
    before: float
    integer: float
    float32: float
    float32_before: float

    @property
    def gap(self) -> float:
        return self.integer - self.float32


@dataclass(frozen=True)
class Summary:
    """Means over all pairs of a scheme, in percent; ``gap_error`` is the standard error."""

    scheme: str
    before: float
    integer: float
    float32: float
    gap: float
    gap_error: float

    @classmethod
    def of(cls, scheme: str, pairs: list[Pair]) -> Summary:
        mine = [pair for pair in pairs if pair.scheme == scheme]
        gaps = np.array([pair.gap for pair in mine])
        before, integer, float32 = (
            float(np.mean([getattr(pair, name) for pair in mine]))
            for name in ("before", "integer", "float32")
        )
        error = float(gaps.std(ddof=1) / np.sqrt(len(gaps))) if len(gaps) > 1 else 0.0
        return cls(scheme, before, integer, float32, float(gaps.mean()), error)


def load_people(path: Path = EXAMPLE / "watch.npz") -> dict[int, tuple[Array, Array]]:
    """(windows int8, labels) of each person's left wrist."""
    with np.load(path) as file:
        x, y, person = file["x"], file["y"].astype(np.int64), file["person"]
    return {int(p): (x[person == p], y[person == p]) for p in np.unique(person)}


def split(x: Array, y: Array, seed: int, person: int) -> Dataset:
    """SHOTS windows of each class, drawn by ``seed``, to learn from; the others to test."""
    rng = np.random.default_rng([seed, person])
    drawn = [rng.permutation(np.flatnonzero(y == label))[:SHOTS] for label in np.unique(y)]
    learn = np.concatenate(drawn)
    test = np.setdiff1d(np.arange(len(y)), learn)
    flat = x.reshape(len(x), -1)
    return Dataset(flat[learn], y[learn], flat[test], y[test])


@contextmanager
def integer_runner(plan: TrainingPlan, target: Target) -> Iterator[Runner]:
    """What trains in integers: the NumPy reference, or the firmware on a port."""
    if target.kind is Kind.REFERENCE:
        yield ReferenceRunner(plan)
    else:
        with simulated(build(plan, target)) as runner:
            yield runner


def train_float32(plan: TrainingPlan, data: Dataset, options: Options) -> tuple[float, float]:
    """Accuracy before and after, with the samples, order and rates of ``host.train.train``."""
    trainer = FloatTrainer.of(plan)
    rate = options.rate if options.rate is not None else default_rate(plan)
    order = sample_order(len(data.x_train), options.epochs, options.seed)
    schedule = dict(rates(len(order), rate, options.schedule))
    before = trainer.accuracy(data.x_test, data.y_test)
    for k, index in enumerate(order):
        if k in schedule:
            rate = schedule[k].real
        trainer.step(data.x_train[index], int(data.y_train[index]), rate)
    return before, trainer.accuracy(data.x_test, data.y_test)


def measure_pair(
    plan: TrainingPlan, runner: Runner, data: Dataset, person: int, options: Options
) -> Pair:
    result = train(plan, data, runner, options, lambda progress: None)
    float_before, float_after = train_float32(plan, data, options)
    percents = (result.before, result.after, float_after, float_before)
    return Pair(plan.scheme.name, person, options.seed, *(100 * p for p in percents))


def run(target: Target, people: int, seeds: int, report: Callable[[str], None]) -> list[Pair]:
    model = load(EXAMPLE / "watch.tflite")
    windows = dict(list(load_people().items())[:people])
    pairs: list[Pair] = []
    for scheme in SCHEMES:
        plan = make_plan(model, scheme)
        started = time.monotonic()
        with integer_runner(plan, target) as runner:
            for seed in range(seeds):
                for person, (x, y) in windows.items():
                    options = Options(epochs=EPOCHS, seed=seed)
                    data = split(x, y, seed, person)
                    pairs.append(measure_pair(plan, runner, data, person, options))
        count = seeds * len(windows)
        report(f"{scheme}: {count} pairs in {time.monotonic() - started:.0f} s")
    return pairs


def table(summaries: list[Summary]) -> str:
    lines = [f"{'update':8} {'before':>7} {'integer':>8} {'float32':>8} {'gap':>7}   s.e."]
    for s in summaries:
        percents = f"{s.before:7.2f} {s.integer:8.2f} {s.float32:8.2f} {s.gap:+7.2f}"
        lines.append(f"{s.scheme:8} {percents} {s.gap_error:6.2f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--target", type=Target.parse, default=Target.parse("native"))
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write every pair and the summary here")
    arguments = parser.parse_args()

    pairs = run(
        arguments.target,
        arguments.people,
        arguments.seeds,
        lambda line: print(line, file=sys.stderr),
    )
    summaries = [Summary.of(scheme, pairs) for scheme in SCHEMES]
    print(table(summaries))
    if arguments.json:
        results = {
            "target": arguments.target.name,
            "epochs": EPOCHS,
            "summary": [asdict(summary) for summary in summaries],
            "pairs": [asdict(pair) for pair in pairs],
        }
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
