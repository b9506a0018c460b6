# SPDX-License-Identifier: Apache-2.0
"""A training run under way: what the parts of the loop share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mcutrain.host.link.traffic import Traffic
from mcutrain.host.training.checkpoints import Checkpoints
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.guard import Guard
from mcutrain.host.training.interrupt import Interrupt
from mcutrain.host.training.latents import innermost
from mcutrain.host.training.monitor import Monitor
from mcutrain.host.training.progress import Report
from mcutrain.host.training.recording import Recorder
from mcutrain.host.training.result import Result
from mcutrain.host.training.runner import Runner
from mcutrain.host.training.runners import DeviceRunner
from mcutrain.host.training.steady_runner import SteadyRunner
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.host.training.verify import Verifier
from mcutrain.trainer.training_plan import TrainingPlan

Keep = Callable[[bytes], None]


@dataclass
class TrainingRun:
    """A training run under way: what its parts share."""

    plan: TrainingPlan
    data: Dataset
    runner: Runner
    options: TrainingOptions
    report: Report
    result: Result
    first_step: int
    interrupt: Interrupt
    keep: Keep | None = None
    checkpoints: Checkpoints | None = None
    record: Recorder | None = None
    started: float = 0.0  # by time.monotonic, less what earlier parts of the run took
    verifier: Verifier | None = None
    guard: Guard | None = None
    monitor: Monitor | None = None
    classes: int = 0  # in use, while the guard validates
    seen: bytes = b""  # the last state that was read, for the monitor
    epochs: int = 0  # of the run, with those that are cut
    epochs_done: int = 0  # that have ended, and were judged
    is_over: bool = False  # all its steps are done, and the best state is taken up

    @property
    def traffic(self) -> Traffic | None:
        """What the link has carried; None without a device."""
        found = innermost(self.runner)
        return found.device.traffic if isinstance(found, DeviceRunner) else None

    @property
    def steady(self) -> SteadyRunner | None:
        """The device at a port, which is found again where it is lost."""
        found = innermost(self.runner)
        return found if isinstance(found, SteadyRunner) else None

    def trust(self) -> None:
        """The device and the reference are equal: the reference knows the device's state."""
        if self.verifier is not None and (steady := self.steady) is not None:
            steady.journal.begin(dict(self.verifier.reference.state))

    def last_known(self) -> bytes | None:
        """The state behind the last step that was done, though the device is gone."""
        steady = self.steady
        if steady is None or not self.result.steps or not steady.journal.knows:
            return None
        return steady.journal.replay()[0].state

    @property
    def trained(self) -> tuple[Runner | Verifier, ...]:
        """What goes through the run side by side."""
        return (self.runner, self.verifier) if self.verifier else (self.runner,)
