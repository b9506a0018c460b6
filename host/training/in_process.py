# SPDX-License-Identifier: Apache-2.0
"""Trains a plan in this process, where no byte counts: to the bits that a device learns."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from mcutrain.host.request import Request
from mcutrain.host.training.runner import LatentRunner
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.host.training.tail import MEMORY_OPTIONS, fastest
from mcutrain.trainer.chip import GENERIC
from mcutrain.trainer.interpreter import pack_state, unpack_state
from mcutrain.trainer.training_plan import TrainingPlan

BACKWARD = 3.0  # a step in forward passes
QUICK_SECONDS = 2.0  # what may be trained in NumPy: compiling takes about as long


@contextmanager
def in_process_runner(plan: TrainingPlan, steps: int) -> Iterator[LatentRunner]:
    """What does so many steps of ``plan`` soonest: the reference, or the generated C."""
    reference = ReferenceRunner(plan)
    if seconds_of_step(reference) * steps < QUICK_SECONDS:
        yield reference
        return
    with fastest(plan) as runner:
        yield runner


def seconds_of_step(reference: ReferenceRunner) -> float:
    """Roughly, in NumPy."""
    sample = np.zeros(reference.plan.task.input.type.size, np.int8)
    taken = []
    for _ in range(2):  # the first one also fills caches
        started = time.monotonic()
        reference.infer(sample)
        taken.append(time.monotonic() - started)
    return BACKWARD * min(taken)


def in_process_plan(
    request: Request, plan: TrainingPlan, state: bytes | None
) -> tuple[TrainingPlan, bytes | None]:
    """The request's ``plan`` without what saves memory on its chip, and a state of it as it lies
    there. Both compute the same bits."""
    here = request.on(GENERIC).without(MEMORY_OPTIONS).plan()
    assert here.numerics_hash == plan.numerics_hash
    if state is None:
        return here, None
    values = unpack_state(plan, state).values()
    return here, pack_state(here, dict(zip(here.learning.state, values, strict=True)))
