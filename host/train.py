# SPDX-License-Identifier: Apache-2.0
"""The training loop over a runner: epochs in a seeded order, accuracy before and after."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from host.dataset import Dataset
from host.device import Device
from host.runner import DeviceRunner, Runner
from host.verify import Difference, Differs, Verifier
from trainer.errors import DataError
from trainer.ops.conv2d import Conv2D
from trainer.ops.sgd import LearningRate
from trainer.plan import TrainingPlan
from trainer.tensor import Array

SPARSE_RATE, FULL_RATE = 2.0**-6, 2.0**-7
SCHEDULES = ("step", "constant")
FINAL_THIRD = 0.25  # of the learning rate, with the step schedule (SPEC 1.5)


@dataclass(frozen=True)
class Options:
    """How to train. ``rate`` None stands for the scheme's default, ``steps`` None for all epochs.

    Raises DataError for a rate or a schedule that there is not.
    """

    epochs: int = 10
    rate: float | None = None
    schedule: str = "step"
    seed: int = 0
    steps: int | None = None
    verify: bool = False

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise DataError(f"unknown schedule '{self.schedule}': give {' or '.join(SCHEDULES)}")
        try:
            LearningRate.from_real(0.0 if self.rate is None else self.rate)
        except ValueError as err:
            raise DataError(str(err)) from err


@dataclass(frozen=True)
class Progress:
    """What is under way, for whoever shows it."""

    phase: str  # "before", "train" or "after"
    done: int
    total: int
    loss: float | None = None
    accuracy: float | None = None


Report = Callable[[Progress], None]


@dataclass
class Result:
    """What came of a training run."""

    accuracy_before: float | None = None  # None until it is measured
    accuracy_after: float | None = None
    steps: int = 0
    verified_steps: int = 0
    losses: list[float] = field(default_factory=list)
    difference: Difference | None = None
    verified: bool = False
    seconds: float = 0.0
    state: bytes = b""

    @property
    def bit_exact(self) -> bool | None:
        """Whether every step and prediction was equal to the reference's; None if not compared."""
        if not self.verified:
            return None
        return self.difference is None and self.verified_steps == self.steps

    def to_json(self) -> dict[str, Any]:
        return {
            "accuracy_before": self.accuracy_before,
            "accuracy_after": self.accuracy_after,
            "steps": self.steps,
            "verified_steps": self.verified_steps,
            "bit_exact": self.bit_exact,
            "difference": None if self.difference is None else str(self.difference),
            "losses": self.losses,
            "seconds": round(self.seconds, 3),
        }


def default_rate(plan: TrainingPlan) -> float:
    """2**-6 for a sparse update, 2**-7 where every layer learns."""
    learned = sum(t in plan.fractions for t in plan.learned)
    layers = sum(isinstance(node.op, Conv2D) for node in plan.forward)
    return FULL_RATE if learned == layers else SPARSE_RATE


def sample_order(samples: int, epochs: int, seed: int) -> Array:
    """(epochs * samples,) indices: a new permutation in each epoch."""
    orders = [np.random.default_rng([seed, e]).permutation(samples) for e in range(epochs)]
    return np.concatenate(orders) if orders else np.zeros(0, np.int64)


def rates(total: int, rate: float, schedule: str) -> list[tuple[int, LearningRate]]:
    """(first step, learning rate) of each part of a run of ``total`` steps."""
    first = (0, LearningRate.from_real(rate))
    if schedule == "constant":
        return [first]
    return [first, (total - total // 3, LearningRate.from_real(rate * FINAL_THIRD))]


def train(
    plan: TrainingPlan, data: Dataset, runner: Runner, options: Options, report: Report
) -> Result:
    """Reset the runner and train it. With ``verify``, stops at the first difference."""
    result = Result(verified=options.verify)
    verifier = Verifier(plan, options.seed) if options.verify else None
    started = time.monotonic()
    try:
        runner.reset(options.seed)
        result.accuracy_before = evaluate(runner, verifier, data, "before", report)
        run_steps(plan, data, runner, verifier, options, report, result)
        result.accuracy_after = evaluate(runner, verifier, data, "after", report)
        result.state = runner.state()
    except Differs as parted:
        result.difference = parted.difference
    result.verified_steps = verifier.verified_steps if verifier else 0
    result.seconds = time.monotonic() - started
    return result


def run_steps(
    plan: TrainingPlan,
    data: Dataset,
    runner: Runner,
    verifier: Verifier | None,
    options: Options,
    report: Report,
    result: Result,
) -> None:
    """All steps of a run, counted in ``result``. Raises Differs."""
    rate = options.rate if options.rate is not None else default_rate(plan)
    order = sample_order(len(data.x_train), options.epochs, options.seed)[: options.steps]
    schedule = dict(rates(len(order), rate, options.schedule))
    for k, index in enumerate(order):
        if k in schedule:
            runner.set_learning_rate(schedule[k])
            if verifier:
                verifier.set_learning_rate(schedule[k])
        sample, label = data.x_train[index], int(data.y_train[index])
        loss, digest = runner.step(sample, label, options.verify)
        result.steps += 1
        result.losses.append(loss.real(plan.logit_scale))
        if verifier and not verifier.step(sample, label, loss, digest):
            raise Differs(verifier.locate(device_of(runner), sample, label))
        report(Progress("train", k + 1, len(order), result.losses[-1]))


def device_of(runner: Runner) -> Device:
    """The device of a runner that differs from the reference: it is not the reference."""
    assert isinstance(runner, DeviceRunner)
    return runner.device


def evaluate(
    runner: Runner, verifier: Verifier | None, data: Dataset, phase: str, report: Report
) -> float:
    """Accuracy on the test samples. Raises Differs if the reference predicts otherwise."""
    correct = 0
    for k, (sample, label) in enumerate(zip(data.x_test, data.y_test, strict=True)):
        predicted = runner.predict(sample)
        if verifier and predicted != int(verifier.reference.infer(sample).argmax()):
            raise Differs(verifier.locate_prediction(device_of(runner), sample))
        correct += predicted == int(label)
        report(Progress(phase, k + 1, len(data.x_test), accuracy=correct / (k + 1)))
    return correct / len(data.x_test)
