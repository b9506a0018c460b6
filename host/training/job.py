# SPDX-License-Identifier: Apache-2.0
"""One training run as it is asked for, and what came of it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mcutrain.host.data.options import DEFAULT_DATA_OPTIONS, DataOptions
from mcutrain.host.defaults import (
    AUTO,
    BAUD,
    EPOCHS,
    GUARD_MINUTES,
    PATIENCE,
    RATE_MINUTES,
    RATIO,
    RECONNECT_S,
    SCHEDULE,
)
from mcutrain.host.keys import Keys
from mcutrain.host.link.protocol import Saved
from mcutrain.host.link.traffic import Traffic
from mcutrain.host.request import Request
from mcutrain.host.simulation.counts import Unit
from mcutrain.host.simulation.profile import Profile, profiles_json
from mcutrain.host.training.augmentation import Augmentation
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.fold_decision import FoldDecision
from mcutrain.host.training.latents import Saving
from mcutrain.host.training.leaving_out import NOTHING, LeftOut
from mcutrain.host.training.port_build import PortBuild
from mcutrain.host.training.rate_choice import RateChoice
from mcutrain.host.training.rates import given_rate
from mcutrain.host.training.result import Result
from mcutrain.host.training.time_budget import TimeBudget
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.errors import Error
from mcutrain.trainer.notes import Note
from mcutrain.trainer.replay import MOST_SLOTS
from mcutrain.trainer.training_plan import TrainingPlan

MOST_RATIO = 100  # replays of each new sample, which are then nearly all steps there are


@dataclass(frozen=True)
class TrainingJob:
    """What a run is asked to do; ``asked_job`` makes it of a user's options.

    ``state``: a file that `--save` wrote; ``save`` and ``export``: where what is learned is kept.

    ``unguarded`` says why the guard is off although it was asked for; ``decision`` is what it
    decided before the run, without validation samples of the file. ``rate`` is known once the run
    has one, which is looked for within ``rate_minutes``.
    """

    request: Request
    data: Path
    target: str
    port: str | None
    options: TrainingOptions
    count_instructions: bool = False
    verbose: bool = False
    baud: int = BAUD
    state: Path | None = None
    save: Path | None = None
    export: Path | None = None
    beginning: str | None = None  # FRESH or GO_ON, for a device that has learned already
    flash_image: Path | None = None  # a simulated device's flash, which it saves in at the end
    unguarded: str = ""
    decision: FoldDecision | None = None
    latents: str | None = None  # where they are kept; None is the default of host.training.latents
    flash_latents: Path | None = None  # the data set whose latents the build holds
    replay: int | None = None  # slots of the buffer, if the samples are a stream
    replay_ratio: int = RATIO
    profile: bool = False  # by node
    rate: RateChoice | None = None
    rate_minutes: float = RATE_MINUTES
    guard_minutes: float = GUARD_MINUTES
    minutes: float | None = None  # in place of epochs
    budget: TimeBudget | None = None  # what they came to
    reading: DataOptions = DEFAULT_DATA_OPTIONS  # how ``data`` is read
    left_out: LeftOut | None = None  # samples that it must not see
    gone: LeftOut = NOTHING  # those of them that ``data`` lacks already
    checkpoint: Path | None = None  # where all that a run needs to go on is kept
    checkpoint_steps: int | None = None  # between two of them, beside each epoch's end
    reconnect_s: float = RECONNECT_S  # for which a lost device is looked for
    keys: Keys | None = None  # of the device

    @property
    def counts(self) -> bool:
        """Whether instructions are counted, or cycles, as the emulator can."""
        return self.count_instructions or self.profile


def asked_job(
    request: Request,
    data: Path,
    target: str,
    *,
    port: str | None = None,
    epochs: int | None = None,
    lr: str = AUTO,
    lr_minutes: float = RATE_MINUTES,
    schedule: str = SCHEDULE,
    seed: int | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    balance: str = "auto",
    augment: str | None = None,
    verify: bool = False,
    guard: bool = True,
    guard_minutes: float = GUARD_MINUTES,
    patience: int = PATIENCE,
    validate_on: str = "device",
    checkpoint: Path | None = None,
    checkpoint_steps: int | None = None,
    reconnect_s: float = RECONNECT_S,
    replay: int | None = None,
    replay_ratio: int = RATIO,
    **others: Any,
) -> TrainingJob:
    """The job of a user's options, which the command and the Python interface share; ``others``
    are fields of TrainingJob. Raises Error for values that there are not, or that contradict."""
    for option, value in (("--lr-minutes", lr_minutes), ("--guard-minutes", guard_minutes)):
        if not 0 < value < math.inf:
            raise Error(f"{option} is a number of minutes above 0, not {value:g}")
    if checkpoint_steps is not None and checkpoint is None:
        raise Error("--checkpoint-steps N says how often --checkpoint FILE is written: give both")
    if checkpoint_steps is not None and checkpoint_steps < 1:
        raise Error(f"--checkpoint-steps is {checkpoint_steps}: give a number of steps, 1 or more")
    if not 0 <= reconnect_s < math.inf:
        raise Error(f"--reconnect is {reconnect_s:g}: give seconds, or 0 to give up at once")
    if minutes is not None and not (epochs is None and steps is None):
        raise Error("--minutes says how long to train: leave --epochs and --steps out")
    if minutes is not None and not 0 < minutes < math.inf:
        raise Error(f"--minutes is {minutes:g}: give a number above 0, such as 5")
    if replay is not None:
        epochs = stream_epochs(epochs, replay, replay_ratio)
    if epochs is None:
        epochs = max(EPOCHS, steps or 0)  # an epoch has a step or more
    options = TrainingOptions(
        epochs, given_rate(lr), schedule, seed, steps, verify, guard, patience, validate_on,
        monitor=True, balance=balance,
        augment=None if augment is None else Augmentation.parse(augment),
    )  # fmt: skip
    return TrainingJob(
        request, data, target, port, options, rate_minutes=lr_minutes,
        guard_minutes=guard_minutes, minutes=minutes, checkpoint=checkpoint,
        checkpoint_steps=checkpoint_steps, reconnect_s=reconnect_s, replay=replay,
        replay_ratio=replay_ratio, **others,
    )  # fmt: skip


def stream_epochs(epochs: int | None, slots: int, ratio: int) -> int:
    """The epochs of a stream: one. Raises Error for more, and for a buffer or a ratio that no
    stream has."""
    if epochs not in (None, 1):
        raise Error(
            f"--epochs {epochs}: --replay takes each sample of x_train once, as a stream: leave "
            "--epochs out; --steps N ends it sooner"
        )
    for option, value, least, most, unit in (
        ("--replay", slots, 1, MOST_SLOTS, "slots"),
        ("--replay-ratio", ratio, 0, MOST_RATIO, "replays of each new sample"),
    ):
        if not least <= value <= most:
            raise Error(f"{option} is {value}: give {least:,} to {most:,} {unit}")
    return 1


@dataclass
class Outcome:
    """A job's result, costs and counts; ``failure`` says what did not hold."""

    job: TrainingJob
    target: str
    result: Result
    cost: dict[str, Any]
    plan: TrainingPlan
    counted: dict[str, dict[str, float | None]] = field(default_factory=dict)  # in ``unit``
    profiles: dict[str, Profile] = field(default_factory=dict)  # by region, of a job's profile
    failure: str = ""
    stack_used_bytes: int | None = None  # seen on a simulated board
    saving: Saving | None = None  # by latents; None without
    notes: tuple[Note, ...] = ()  # of the plan and of the data, said before the training
    data: Dataset | None = None  # what it was trained and tested on
    traffic: Traffic | None = None  # of the link; None without one
    port_build: PortBuild | None = None  # what a board at a port runs
    store: Saved | None = None  # what the device's flash holds behind it, of a job with its image
    reconnects: int = 0  # how often the device was lost and found again
    unit: Unit = Unit.INSTRUCTIONS  # of what was counted; its word is in the keys
    device: dict[str, Any] | None = None  # at a port: which it is, and what became of it
    digest: int | None = None  # of what a device at a port has learned, as it says itself

    def to_json(self) -> dict[str, Any]:
        return {
            "model": str(self.job.request.model),
            "target": self.target,
            "device": self.device,
            "digest": None if self.digest is None else f"{self.digest:08x}",
            "update": self.plan.scheme.name,
            "seed": self.result.seed,
            "balance": self.job.options.balance,
            "augment": None if self.job.options.augment is None else str(self.job.options.augment),
            "unguarded": self.job.unguarded or None,
            "rate": None if self.job.rate is None else self.job.rate.to_json(),
            **self.result.to_json(),
            "budget": None if self.job.budget is None else self.job.budget.to_json(),
            **({"guard": decision.to_json()} if (decision := self.job.decision) else {}),
            **self.counted,
            **({"profile": profiles_json(self.profiles)} if self.profiles else {}),
            "latents": None if self.saving is None else self.saved(self.saving),
            "stack_used_bytes": self.stack_used_bytes,
            "reconnects": self.reconnects,
            "link": None if self.traffic is None else self.traffic.to_json(),
            **({} if self.store is None else {"store": asdict(self.store)}),
            "notes": [asdict(note) for note in self.notes],
            "build": None if self.port_build is None else self.port_build.to_json(),
            "cost": self.cost,
        }

    def counted_in(self, unit: Unit) -> dict[str, dict[str, float | None]]:
        """What was counted, if it was in this unit."""
        return self.counted if unit is self.unit else {}

    def saved(self, saving: Saving) -> dict[str, Any]:
        """What latents saved; in instructions or cycles too, where a prefix was counted."""
        prefix = self.counted.get(f"prefix_{self.unit.value}")
        mean = None if prefix is None else prefix["mean"]
        saved = None if mean is None else round(mean * saving.reused)
        return {**saving.to_json(), f"saved_{self.unit.value}": saved}


def judged(outcome: Outcome) -> Outcome:
    """The outcome with ``failure`` set if something asked for did not hold."""
    if outcome.result.difference is not None:
        outcome.failure = str(outcome.result.difference)
    elif outcome.job.options.verify and not outcome.result.bit_exact:
        outcome.failure = "the device was not verified in every step"
    elif outcome.job.counts and not has_both(outcome.counted):
        outcome.failure = f"no {outcome.unit.value} were counted: no step or no inference ran"
    elif (
        (used := outcome.stack_used_bytes) is not None
        and (bound := outcome.cost["stack_bytes"]) is not None
        and used > bound
    ):
        outcome.failure = (
            f"{used:,} bytes of stack were used, the bound is {bound:,}; this is a bug of mcutrain"
        )
    return outcome


def has_both(counted: dict[str, dict[str, float | None]]) -> bool:
    """Whether a step was counted, and an inference, whole or from a latent."""
    return {True, False} <= {"step" in key for key in counted if "prefix" not in key}
