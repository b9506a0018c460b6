# SPDX-License-Identifier: Apache-2.0
"""The training loop over a runner: epochs in a seeded order, accuracy before and after."""

from __future__ import annotations

import math
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
from trainer.interpreter import pack_state, target_of_input, unpack_state
from trainer.ops.conv2d import Conv2D
from trainer.ops.sgd import LearningRate
from trainer.plan import TrainingPlan
from trainer.tensor import Array

SPARSE_RATE, FULL_RATE, VALUES_RATE = 2.0**-6, 2.0**-7, 2.0**-9
SCHEDULES = ("step", "constant", "cosine")
FINAL_THIRD = 0.25  # of the learning rate, with the step schedule (SPEC 1.5)


@dataclass(frozen=True)
class Options:
    """How to train. ``rate`` None stands for the scheme's default, ``steps`` None for all epochs,
    ``seed`` None for the plan's.

    Raises DataError for a rate or a schedule that there is not.
    """

    epochs: int = 10
    rate: float | None = None
    schedule: str = "step"
    seed: int | None = None
    steps: int | None = None
    verify: bool = False

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise DataError(f"unknown schedule '{self.schedule}': give {', '.join(SCHEDULES)}")
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
    metric: float | None = None


Report = Callable[[Progress], None]


@dataclass
class Result:
    """What came of a training run."""

    seed: int = 0
    metric: str = "accuracy"  # of the test samples; or mse, in squared real units
    before: float | None = None  # None until it is measured
    after: float | None = None
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
            f"{self.metric}_before": self.before,
            f"{self.metric}_after": self.after,
            "steps": self.steps,
            "verified_steps": self.verified_steps,
            "bit_exact": self.bit_exact,
            "difference": None if self.difference is None else str(self.difference),
            "losses": self.losses,
            "seconds": round(self.seconds, 3),
        }


def default_rate(plan: TrainingPlan) -> float:
    """2**-6 for a sparse update, 2**-7 where every layer learns; 2**-9 towards given values, where
    errors are not bounded as those of classes are."""
    if not plan.takes_label and plan.target is not None:
        return VALUES_RATE
    learned = sum(t in plan.fractions for t in plan.learned)
    layers = sum(isinstance(node.op, Conv2D) for node in plan.forward)
    return FULL_RATE if learned == layers else SPARSE_RATE


def begun(plan: TrainingPlan, options: Options, state: bytes | None) -> tuple[int, int]:
    """(seed, steps already done): the plan goes on where an export or a saved state stopped."""
    assert plan.sgd.data is not None
    sgd = plan.sgd.data if state is None else unpack_state(plan, state)[plan.sgd]
    return int(sgd[0]) if options.seed is None else options.seed, int(sgd[1])


def sample_order(samples: int, epochs: int, seed: int, first_step: int = 0) -> Array:
    """(epochs * samples,) indices: a new permutation in each epoch, behind ``first_step`` steps."""
    first, done = divmod(first_step, samples)
    numbers = range(first, first + epochs + (done > 0))
    orders = [np.random.default_rng([seed, e]).permutation(samples) for e in numbers]
    order = np.concatenate(orders) if orders else np.zeros(0, np.int64)
    return order[done : done + epochs * samples]


def rates(total: int, rate: float, schedule: str) -> list[tuple[int, LearningRate]]:
    """(first step, learning rate) of each part of a run of ``total`` steps.

    The cosine schedule (Loshchilov and Hutter 2017, equation 5, without restarts) changes when
    the device's 8-bit rate does.
    """
    first = (0, LearningRate.from_real(rate))
    if schedule == "constant":
        return [first]
    if schedule == "step":
        return [first, (total - total // 3, LearningRate.from_real(rate * FINAL_THIRD))]
    found = [first]
    for step in range(1, total):
        now = LearningRate.from_real(rate * (1 + math.cos(math.pi * step / total)) / 2)
        if now != found[-1][1]:
            found.append((step, now))
    return found


def train(
    plan: TrainingPlan,
    data: Dataset,
    runner: Runner,
    options: Options,
    report: Report,
    state: bytes | None = None,
) -> Result:
    """Reset the runner, or let it take up ``state``, and train it.

    Spare classes that the data has are taken into use. With ``verify``, stops at the first
    difference.
    """
    metric = "accuracy" if plan.takes_label else "mse"
    seed, first_step = begun(plan, options, state)
    result = Result(seed, metric, verified=options.verify)
    verifier = Verifier(plan, seed) if options.verify else None
    started = time.monotonic()
    try:
        runner.reset(seed)
        for trained in (runner, verifier) if verifier else (runner,):
            if state is not None:
                trained.load(with_seed(plan, state, seed))
            if count := new_classes(plan, data, state):
                trained.set_classes(count)
        result.before = evaluate(plan, runner, verifier, data, "before", report)
        run_steps(plan, data, runner, verifier, options, first_step, report, result)
        result.after = evaluate(plan, runner, verifier, data, "after", report)
        result.state = runner.state()
    except Differs as parted:
        result.difference = parted.difference
    result.verified_steps = verifier.verified_steps if verifier else 0
    result.seconds = time.monotonic() - started
    return result


def with_seed(plan: TrainingPlan, state: bytes, seed: int) -> bytes:
    """The state with another seed."""
    tensors = unpack_state(plan, state)
    tensors[plan.sgd][0] = seed
    return pack_state(plan, tensors)


def new_classes(plan: TrainingPlan, data: Dataset, state: bytes | None) -> int | None:
    """How many classes to take into use, if the data has more than the state counts."""
    if plan.active is None or plan.active.data is None:
        return None
    in_use = plan.active.data if state is None else unpack_state(plan, state)[plan.active]
    present = 1 + max(int(y.max(initial=0)) for y in (data.y_train, data.y_test))
    return present if present > int(in_use[0]) else None


def run_steps(
    plan: TrainingPlan,
    data: Dataset,
    runner: Runner,
    verifier: Verifier | None,
    options: Options,
    first_step: int,
    report: Report,
    result: Result,
) -> None:
    """All steps of a run, counted in ``result``. Raises Differs."""
    rate = options.rate if options.rate is not None else default_rate(plan)
    order = sample_order(len(data.x_train), options.epochs, result.seed, first_step)
    order = order[: options.steps]
    schedule = dict(rates(len(order), rate, options.schedule))
    for k, index in enumerate(order):
        if k in schedule:
            runner.set_learning_rate(schedule[k])
            if verifier:
                verifier.set_learning_rate(schedule[k])
        sample, target = data.x_train[index], data.y_train[index]
        loss, digest = runner.step(sample, target, options.verify)
        result.steps += 1
        result.losses.append(loss.real(plan))
        if verifier and not verifier.step(sample, target, loss, digest):
            raise Differs(verifier.locate(device_of(runner), sample, target))
        report(Progress("train", k + 1, len(order), result.losses[-1]))


def device_of(runner: Runner) -> Device:
    """The device of a runner that differs from the reference: it is not the reference."""
    assert isinstance(runner, DeviceRunner)
    return runner.device


def evaluate(
    plan: TrainingPlan,
    runner: Runner,
    verifier: Verifier | None,
    data: Dataset,
    phase: str,
    report: Report,
) -> float:
    """The metric on the test samples. Raises Differs if the reference computes otherwise."""
    total = 0.0
    for k, (sample, target) in enumerate(zip(data.x_test, data.y_test, strict=True)):
        if plan.takes_label:
            found = np.array(runner.predict(sample))
            expected = verifier.reference.predict(sample) if verifier else found
            total += int(found) == int(target)
        else:
            found = runner.infer(sample)
            expected = verifier.reference.infer(sample) if verifier else found
            total += squared_error(plan, sample, target, found)
        if verifier and not np.array_equal(found, expected):
            raise Differs(verifier.locate_prediction(device_of(runner), sample))
        report(Progress(phase, k + 1, len(data.x_test), metric=total / (k + 1)))
    return total / len(data.x_test)


def squared_error(plan: TrainingPlan, sample: Array, target: Array, output: Array) -> float:
    """The loss of one output, in real units."""
    if plan.target is None:
        target = target_of_input(plan, sample).reshape(-1)
    difference = output.astype(np.int64) - target
    return plan.real_loss(np.array([int((difference**2).sum()), 0]))
