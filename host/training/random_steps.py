# SPDX-License-Identifier: Apache-2.0
"""Steps on random samples, to count what a plan executes before there are data for it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from mcutrain.host.building.firmware import Build
from mcutrain.host.simulation.profile import Profile, owners, profiles
from mcutrain.host.training.rates import default_rate
from mcutrain.host.training.runners import simulated
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.training_plan import TrainingPlan

# A head of zeros sends no errors back, so the first step is left out of the median.
STEPS = 4
SEED = 1


def profiled(build: Build, steps: int = STEPS) -> dict[str, Profile]:
    """Steps and an inference on a simulated board, counted by node, from the plan's initial state.

    Samples and targets are random: where a kernel skips what is
    zero, a step on real samples takes a little less or more.
    """
    plan = build.plan
    with tempfile.TemporaryDirectory(prefix="mct-") as folder:
        counts = Path(folder) / "counts"
        with simulated(build, counts, owners(build)) as runner:
            runner.reset(SEED)
            runner.set_learning_rate(LearningRate.from_real(default_rate(plan)))
            *taught, (asked, _) = random_samples(plan, steps + 1)
            for sample, target in taught:
                runner.step(sample, target, wants_digest=False)
            runner.infer(asked)
        return profiles(build, counts)


def random_samples(plan: TrainingPlan, count: int) -> list[tuple[Array, Array]]:
    """Samples and targets of all int8 values, labels in turn; each time the same."""
    rng, found = np.random.RandomState(SEED), []
    for number in range(count):
        sample = random_values(rng, plan.task.input.type.shape)
        found.append((sample, target_of(plan, rng, number, sample)))
    return found


def random_values(rng: np.random.RandomState, shape: tuple[int, ...]) -> Array:
    return rng.randint(-128, 128, shape).astype(np.int8)


def target_of(plan: TrainingPlan, rng: np.random.RandomState, number: int, sample: Array) -> Array:
    """A label among the classes in use, random values, or the sample where that is the target."""
    if plan.takes_label:
        active = plan.task.active
        in_use = plan.classes if active is None or active.data is None else int(active.data[0])
        return np.array(number % in_use)
    return sample if plan.task.target is None else random_values(rng, plan.task.target.type.shape)
