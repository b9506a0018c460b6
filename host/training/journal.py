# SPDX-License-Identifier: Apache-2.0
"""What has brought a device to its state, so that the host can compute that state without it.

Each step follows from the state before it and its sample, bit for bit, so a replay in this process
gives what the device had, be it reset or gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mcutrain.host.training.in_process import in_process_runner
from mcutrain.host.training.runner import LatentRunner
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.interpreter import StepRecord, pack_state, state_digest, unpack_state
from mcutrain.trainer.training_plan import TrainingPlan

Change = Callable[[LatentRunner], tuple[StepRecord, int] | None]  # a step gives its result


@dataclass(frozen=True)
class Moment:
    """A state, the step number and the digest that a device in it tells of."""

    state: bytes
    steps: int
    digest: int


@dataclass
class Journal:
    """The last state that is known, and the changes since. Nothing is known at first."""

    plan: TrainingPlan
    changes: list[Change] = field(default_factory=list)
    _known: bytes | dict[Tensor, Array] | None = None
    _seed: int | None = None  # a reset was the last that is known

    @property
    def knows(self) -> bool:
        return self._known is not None or self._seed is not None

    def begin(self, known: bytes | dict[Tensor, Array]) -> None:
        """The device has this state."""
        self._known, self._seed = known, None
        self.changes.clear()

    def reset(self, seed: int) -> None:
        self._known, self._seed = None, seed
        self.changes.clear()

    def replay(self, then: Change | None = None) -> tuple[Moment, Moment | None, StepRecord | None]:
        """The state now, and with ``then`` the one behind that change and what the step gave."""
        assert self.knows
        with in_process_runner(self.plan, len(self.changes) + 1) as runner:
            if self._seed is not None:
                runner.reset(self._seed)
            elif self._known is not None:
                known = self._known
                runner.load(known if isinstance(known, bytes) else pack_state(self.plan, known))
            for change in self.changes:
                change(runner)
            now = moment(self.plan, runner)
            self.begin(now.state)
            if then is None:
                return now, None, None
            result = then(runner)
            return now, moment(self.plan, runner), None if result is None else result[0]


def moment(plan: TrainingPlan, runner: LatentRunner) -> Moment:
    state = runner.state()
    values = unpack_state(plan, state)
    return Moment(state, int(values[plan.learning.sgd][1]), state_digest(plan, values))
