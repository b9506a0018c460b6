# SPDX-License-Identifier: Apache-2.0
"""The ways to train that are compared: ours in its formats, and the float yardsticks."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from benchmarks.optimisers import OPTIMISERS, SGD
from benchmarks.scores import Score, real
from benchmarks.torch_parameters import Method
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.loop import train
from mcutrain.host.training.runner import Runner
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.formats import PLAIN, Formats
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.training_plan import TrainingPlan

torch.set_num_threads(1)  # at batch 1 more of them are slower; processes share the cores

DEFAULT = "default"  # integer training with no option given: the product finds the rate
NOT_PRECONDITIONED = "default, not preconditioned"  # the same with --precondition off
RATE_FOUND = (DEFAULT, NOT_PRECONDITIONED)
INTEGER = "integer"
FLOAT32 = "float32"
FLOAT_BACKWARD = "float backward"
NEAREST = "int8 nearest"
BEST_FLOAT = "best float"  # float32 by the optimiser, batch and rate that are best
# The yardsticks at the rate that the product found, not preconditioned, for this group and seed.
FOUND_FLOAT32, FOUND_FLOAT_BACKWARD = "float32, found rate", "float backward, found rate"
AT_FOUND_RATE = (FOUND_FLOAT32, FOUND_FLOAT_BACKWARD)
FORMATS = {
    NOT_PRECONDITIONED: Formats(),
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
    BEST_FLOAT: Method.FLOAT32,
    FOUND_FLOAT32: Method.FLOAT32,
    FOUND_FLOAT_BACKWARD: Method.FLOAT_BACKWARD,
}
INTEGERS = (DEFAULT, *FORMATS)  # ways to train in integers
METHODS = (*INTEGERS, *YARDSTICKS)
# The others are formats, which a task may ask for.
ALWAYS = (DEFAULT, NOT_PRECONDITIONED, INTEGER, *YARDSTICKS)


def formats_of(method: str, loss: str) -> Formats:
    """In which a method trains. The default's are the product's own, which depend on the loss; a
    yardstick's plan is plain."""
    return Formats.of(PlanOptions(loss=loss)) if method == DEFAULT else FORMATS.get(method, PLAIN)


@dataclass(frozen=True)
class Practice:
    """How float is trained, its rate aside: with as many samples a batch of 8 has an eighth of the
    steps."""

    optimiser: str = SGD
    batch: int = 1

    def __str__(self) -> str:
        return f"{self.optimiser}, batch {self.batch}"


OURS = Practice()
PRACTICES = tuple(Practice(name, batch) for name in OPTIMISERS for batch in (1, 8, 32))


@dataclass(frozen=True)
class Scores:
    """Of the test samples before and after training, which took ``seconds`` of the processor."""

    before: float
    after: float
    seconds: float


def measure_integer(
    plan: TrainingPlan,
    runner: Runner,
    data: Dataset,
    options: TrainingOptions,
    score: Score,
) -> Scores:
    """Train in integers."""
    assert options.seed is not None
    runner.reset(options.seed)
    before = outputs(plan, runner, data.x_test)
    started = time.process_time()
    train(plan, data, runner, replace(options, tests=False), lambda progress: None)
    seconds = time.process_time() - started
    after = outputs(plan, runner, data.x_test)
    return Scores(score(plan, before, data), score(plan, after, data), seconds)


def outputs(plan: TrainingPlan, runner: Runner, samples: Array) -> Array:
    """(N, outputs) in reals."""
    return real(plan.task.logits.type, np.stack([runner.infer(x) for x in samples]))
