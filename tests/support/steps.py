# SPDX-License-Identifier: Apache-2.0
"""Whole steps of a plan, in generated C and in the reference, compared after each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.ops.pixelwise_cross_entropy import IGNORED
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.planner.memory import STATE
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.native import NativeModel
from tests.support.random_models import samples


def rate_at(step: int) -> LearningRate:
    """Small, great, none at all, and back: the rate may change from step to step."""
    return [LearningRate(128, 13), LearningRate(255, 9), LearningRate(0, 0), LearningRate(181, 11)][
        step // 3 % 4
    ]


def target_at(plan: TrainingPlan, reference: Interpreter, step: int) -> int | Array:
    """A label in use, a map of them, or random values."""
    if plan.takes_label:
        return step * 7 % reference.classes
    if plan.takes_label_map and plan.task.target is not None:
        rng = np.random.RandomState(step)
        labels = rng.randint(0, plan.classes, plan.task.target.type.shape).astype(np.uint8)
        return np.where(rng.uniform(size=labels.shape) < 0.1, IGNORED, labels).astype(np.uint8)
    return (
        np.random.RandomState(step).randint(-128, 128, plan.task.logits.type.shape).astype(np.int8)
    )


def use_arena(device: NativeModel, seed: int) -> None:
    """Write what the firmware pleases into all of the model's RAM but its state."""
    rng = np.random.default_rng(seed)
    for name, region in device.regions.items():
        if name != STATE:
            region[:] = rng.integers(0, 256, region.size, np.uint8)


def margin_of(reference: Interpreter, logits: Array) -> int:
    """By how much the first of the logits in use is above the next one; 0 without labels."""
    plan = reference.plan
    if not plan.takes_label:
        return 0
    if logits.size == 1:
        return abs(int(logits[0]) - plan.task.logits.type.zero_point)
    next_, first = np.sort(logits[: reference.classes].astype(int))[-2:]
    return int(first - next_)


def assert_steps_are_equal(
    plan: TrainingPlan, folder: Path, steps: int, *flags: str
) -> Interpreter:
    """Trains both; every tensor of the state, the loss and the digest are equal after each step,
    and what the answer's margin is. Between steps a firmware has the arena for itself: here, too.
    """
    reference, device = Interpreter(plan, seed=99), NativeModel(plan, folder, *flags)
    device.reset(99)
    drawn = samples(plan.task.input.type.shape, max(steps - 3, 0), seed=steps)[:steps]
    for step, sample in enumerate(drawn):
        rate = rate_at(step)
        reference.set_learning_rate(rate)
        device.set_learning_rate(rate)
        target = target_at(plan, reference, step)
        use_arena(device, step)
        np.testing.assert_array_equal(device.infer(sample), reference.infer(sample))
        assert device.call("margin") == margin_of(reference, device.logits())
        if plan.task.predicted is not None:
            assert device.call("predicted") == reference.predict(sample)
        use_arena(device, step)

        assert device.step(sample, target) == reference.step(sample, target), f"step {step}: loss"
        for tensor in plan.learning.state:
            np.testing.assert_array_equal(
                device[tensor], reference.state[tensor], f"step {step}: {tensor.name}"
            )
        assert device.digest() == reference.digest()
    assert reference.steps == device.call("steps") == steps
    return reference


def changed(plan: TrainingPlan, reference: Interpreter) -> set[str]:
    """The learned tensors that are not what they were."""
    found = set()
    for tensor in plan.learned:
        parts = [tensor, *plan.learning.companions.beside(tensor).values()]
        if any((reference.state[t] != t.data).any() for t in parts):
            found.add(tensor.name)
    return found
