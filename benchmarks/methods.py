# SPDX-License-Identifier: Apache-2.0
"""The ways to train that are compared: ours in its formats, and the float yardsticks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.float_trainer import FloatTrainer, Method
from mcutrain.host.building.library import in_process
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.loop import TrainingOptions, rates, train
from mcutrain.host.training.rates import sample_order
from mcutrain.trainer.formats import Formats
from mcutrain.trainer.training_plan import TrainingPlan

torch.set_num_threads(1)  # at batch 1 more of them are slower; processes share the cores

INTEGER = "integer"
FLOAT32 = "float32"
FLOAT_BACKWARD = "float backward"
NEAREST = "int8 nearest"
FORMATS = {
    INTEGER: Formats(),
    "E8 errors": Formats(errors="e8"),
    "int8 weights": Formats(weights="int8"),
    "E8, int8 weights": Formats(errors="e8", weights="int8"),
    "sum of 4": Formats(accumulate=4),
}
YARDSTICKS = {
    FLOAT32: Method.FLOAT32,
    FLOAT_BACKWARD: Method.FLOAT_BACKWARD,
    NEAREST: Method.INT8_NEAREST,
}
METHODS = (*FORMATS, *YARDSTICKS)


@dataclass(frozen=True)
class Accuracy:
    """Of the test samples, 0 to 1, before and after training."""

    before: float
    after: float


def measure(
    method: str, plan_of: Callable[[Formats], TrainingPlan], data: Dataset, options: TrainingOptions
) -> Accuracy:
    """Train by ``method``; all methods get the same samples, order, steps and rates."""
    if method in FORMATS:
        plan = plan_of(FORMATS[method])
        with in_process(plan) as runner:
            result = train(plan, data, runner, options, lambda progress: None)
        assert result.before is not None and result.after is not None
        return Accuracy(result.before, result.after)
    return train_float(plan_of(Formats()), YARDSTICKS[method], data, options)


def train_float(
    plan: TrainingPlan, method: Method, data: Dataset, options: TrainingOptions
) -> Accuracy:
    """What ``host.training.loop.train`` does, with a yardstick in place of the device."""
    trainer = FloatTrainer.of(plan, method)
    before = trainer.accuracy(data.x_test, data.y_test)
    train_steps(trainer, data, options)
    return Accuracy(before, trainer.accuracy(data.x_test, data.y_test))


def train_steps(trainer: FloatTrainer, data: Dataset, options: TrainingOptions) -> None:
    """All steps of a run, unless it diverges."""
    assert options.rate is not None and options.seed is not None
    order = options.order
    if order is None:
        order = sample_order(len(data.x_train), options.epochs, options.seed)
    order = order[: options.steps]
    schedule = dict(rates(len(order), options.rate, options.schedule))
    rate = options.rate
    for k, index in enumerate(order):
        if k in schedule:
            rate = schedule[k].real
        loss = trainer.step(data.x_train[index], int(data.y_train[index]), rate)
        if not np.isfinite(loss):
            return  # what is left predicts nothing
