# SPDX-License-Identifier: Apache-2.0
"""What a training tells whoever keeps a record of it: all that its end depends on.

A record that a run goes on with after it was stopped is told where it stood: see ``Recorder``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.job import TrainingJob
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.training_plan import TrainingPlan


@dataclass(frozen=True)
class Taken:
    """A step that was taken: its number as in ``sgd``, and what it learned from.

    ``sample`` (input size,) int8 and ``target`` are as the runner got them; ``source`` is the split
    and the number that the sample has there. ``at_latent``: the step began at the sample's latent.
    """

    step: int
    sample: Array
    target: Array
    source: tuple[str, int]
    rate: LearningRate
    at_latent: bool
    digest: int


class Recorder(Protocol):
    """Keeps a record of a run. The methods are called in this order, and raise Error."""

    def ask(self, job: TrainingJob) -> None:
        """What is asked for."""
        ...

    def prepare(self, job: TrainingJob, plan: TrainingPlan, data: Dataset) -> None:
        """The job as it is settled: with a rate, as the guard lets it run."""
        ...

    def begin(self, plan: TrainingPlan, seed: int, state: bytes, is_reset: bool) -> None:
        """The state in which the runner begins; ``is_reset``: the plan's own, for that seed."""
        ...

    def event(self, name: str, facts: Mapping[str, Any]) -> None:
        """Something between two steps: what has changed the state, or decided about it."""
        ...

    def step(self, taken: Taken) -> None: ...

    def end(self, state: bytes) -> None:
        """The state that the run has come to."""
        ...

    def position(self) -> dict[str, Any]:
        """Where the record stands now, as JSON, for a checkpoint of the run."""
        ...

    def resume(self, position: Mapping[str, Any]) -> None:
        """Go on behind a position of the record, in place of ``begin``; what was written later is
        dropped."""
        ...
