# SPDX-License-Identifier: Apache-2.0
"""What trains a plan: the NumPy reference, or a device on the link. Both do the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import StepRecord
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.training_plan import TrainingPlan


@dataclass(frozen=True)
class Answer:
    """What a runner makes of one sample: its class (0 where there are none), and the int8 output
    (output size,)."""

    predicted: int
    output: Array

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Answer):
            return NotImplemented
        return self.predicted == other.predicted and np.array_equal(self.output, other.output)


class Runner(Protocol):
    """One training run in progress."""

    def reset(self, seed: int) -> None: ...

    def set_learning_rate(self, rate: LearningRate) -> None: ...

    def set_classes(self, classes: int) -> None:
        """Take spare classes into use."""
        ...

    def step(self, sample: Array, target: Array, wants_digest: bool) -> tuple[StepRecord, int]:
        """(loss, digest of the state after the step, or 0). ``target``: see Dataset.y_train."""
        ...

    def announce(self, sample: Array, target: Array) -> None:
        """What the step after the next will be on: may be sent ahead, and changes no result."""
        ...

    def predict(self, sample: Array) -> int: ...

    def infer(self, sample: Array) -> Array:
        """The logits, int8."""
        ...

    def logits(self) -> Array:
        """The logits (output size,) int8 of the last inference, be it predict or infer."""
        ...

    def digest(self) -> int: ...

    def state(self) -> bytes: ...

    def load(self, state: bytes) -> None:
        """Take up a state that ``state`` gave."""
        ...


class LatentRunner(Runner, Protocol):
    """A runner that can begin at the latent (SPEC 1.10) of a plan that has one."""

    plan: TrainingPlan

    def latent_of(self, sample: Array) -> Array:
        """The latent of a sample, int8."""
        ...

    def step_from_latent(
        self, latent: Array, target: Array, wants_digest: bool
    ) -> tuple[StepRecord, int]: ...

    def predict_from_latent(self, latent: Array) -> int: ...

    def infer_from_latent(self, latent: Array) -> Array: ...


class SlotRunner(Runner, Protocol):
    """A runner that keeps latents itself, in slots with numbers (SPEC 1.10)."""

    plan: TrainingPlan

    def keep(self, slot: int, sample: Array, label: int) -> None:
        """Keep the latent of a sample, and its label, in a slot."""
        ...

    def step_from_slot(
        self, slot: int, target: Array, wants_digest: bool
    ) -> tuple[StepRecord, int]: ...

    def predict_from_slot(self, slot: int) -> int: ...

    def infer_from_slot(self, slot: int) -> Array: ...


def answer(plan: TrainingPlan, runner: Runner, sample: Array) -> Answer:
    """What a runner makes of a sample, in one inference."""
    if plan.task.predicted is None:
        return Answer(0, runner.infer(sample))
    return Answer(runner.predict(sample), runner.logits())
