# SPDX-License-Identifier: Apache-2.0
"""Samples and targets of a plan for which there are no data yet: random, each time the same."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.training_plan import TrainingPlan

SEED = 1


def random_samples(plan: TrainingPlan, count: int) -> list[tuple[Array, Array]]:
    """Samples and targets of all int8 values, labels in turn."""
    rng, found = np.random.RandomState(SEED), []
    for number in range(count):
        sample = random_values(rng, plan.task.input.type.shape)
        found.append((sample, target_of(plan, rng, number, sample)))
    return found


def random_values(rng: np.random.RandomState, shape: tuple[int, ...]) -> Array:
    return rng.randint(-128, 128, shape).astype(np.int8)


def target_of(plan: TrainingPlan, rng: np.random.RandomState, number: int, sample: Array) -> Array:
    """A label among the classes in use, a map of them, random values, or the sample where that is
    the target."""
    if plan.takes_label:
        active = plan.task.active
        in_use = plan.classes if active is None or active.data is None else int(active.data[0])
        return np.array(number % in_use)
    if plan.takes_label_map and plan.task.target is not None:
        return rng.randint(0, plan.classes, plan.task.target.type.size).astype(np.uint8)
    return sample if plan.task.target is None else random_values(rng, plan.task.target.type.shape)
