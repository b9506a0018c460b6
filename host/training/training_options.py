# SPDX-License-Identifier: Apache-2.0
"""How to train: what the loop over a runner is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from mcutrain.host.defaults import PATIENCE, SCHEDULE
from mcutrain.host.training.augmentation import Augmentation
from mcutrain.host.training.balance import AUTO, BALANCES
from mcutrain.host.training.rates import SCHEDULES
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.ops.sgd import LearningRate

PLACES = ("device", "host")


@dataclass(frozen=True)
class TrainingOptions:
    """How to train. ``rate`` None stands for the one that reset sets (host.training.rate_search
    finds a better one), ``steps`` None for all epochs, ``seed`` None for the plan's.

    ``guard`` keeps the best state that the validation samples saw, and stops after ``patience``
    epochs in a row that bring nothing better; with a schedule that ends at a low rate they are
    counted in the last third of the steps alone, since epochs at the high rate say little about
    those.
    ``validate_on`` is who computes the outputs: the device, or the host from the state it reads.
    ``monitor`` looks for saturation. ``order`` (N,) are the indices of the samples to train on, in
    place of the epochs. ``tests``: the test samples are looked at, before and after. ``balance`` is
    whether classes get as many steps each: ``auto`` where their numbers are far apart. ``augment``
    is what becomes of a sample before a step learns from it. Raises DataError for a value that
    there is not.
    """

    epochs: int = 10
    rate: float | None = None
    schedule: str = SCHEDULE
    seed: int | None = None
    steps: int | None = None
    verify: bool = False
    guard: bool = False
    patience: int = PATIENCE
    validate_on: str = "device"
    monitor: bool = False
    order: Array | None = None
    tests: bool = True
    balance: str = AUTO
    augment: Augmentation | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("schedule", self.schedule, SCHEDULES),
            ("place to validate on", self.validate_on, PLACES),
            ("balance", self.balance, BALANCES),
        ):
            if value not in known:
                raise DataError(f"unknown {name} '{value}': give {', '.join(known)}")
        try:
            LearningRate.from_real(0.0 if self.rate is None else self.rate)
        except ValueError as err:
            raise DataError(str(err)) from err
