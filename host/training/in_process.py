# SPDX-License-Identifier: Apache-2.0
"""Trains a plan in this process, where no byte counts: to the bits that a device learns."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import numpy as np

from mcutrain.host.request import Request
from mcutrain.host.training.latents import CachedRunner, HostLatents
from mcutrain.host.training.runner import LatentRunner, Runner
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.host.training.tail import MEMORY_OPTIONS, fastest
from mcutrain.trainer.chip import GENERIC
from mcutrain.trainer.errors import Error
from mcutrain.trainer.interpreter import pack_state, unpack_state
from mcutrain.trainer.training_plan import TrainingPlan

QUICK_SECONDS = 2.0  # what may be trained in NumPy: compiling takes about as long


@contextmanager
def in_process_runner(plan: TrainingPlan, steps: int) -> Iterator[LatentRunner]:
    """What does so many steps of ``plan`` soonest: the reference, or the generated C. A compiler
    that fails is done without: nobody asked for one."""
    reference = ReferenceRunner(plan)
    if seconds_of_step(reference) * steps < QUICK_SECONDS:
        yield reference
        return
    with ExitStack() as stack:
        runner: LatentRunner = reference
        with suppress(Error, OSError):
            runner = stack.enter_context(fastest(plan))
        yield runner


def seconds_of_step(reference: ReferenceRunner) -> float:
    """In NumPy."""
    plan = reference.plan
    sample, target = np.zeros(plan.task.input.type.size, np.int8), np.array(0)
    if not plan.takes_label and plan.task.target is not None:
        target = np.zeros(plan.task.target.type.size, np.int8)
    taken = []
    for _ in range(2):  # the first one also fills caches
        started = time.monotonic()
        reference.step(sample, target, False)
        taken.append(time.monotonic() - started)
    return min(taken)


def with_host_latents(plan: TrainingPlan, runner: LatentRunner) -> Runner:
    """The runner with the latents of its samples kept here, where there are any."""
    if plan.latents.tensor is None:
        return runner
    return CachedRunner(plan, runner, HostLatents(runner))


def in_process_plan(
    request: Request, plan: TrainingPlan, state: bytes | None
) -> tuple[TrainingPlan, bytes | None]:
    """The request's ``plan`` as it is made for this computer, without what a board's memory or
    instructions ask for, and a state of it as it lies there. Both compute the same bits."""
    here = request.on(GENERIC).without(MEMORY_OPTIONS)
    if here == request and plan.chip == GENERIC:
        return plan, state
    other = here.plan()
    return other, None if state is None else moved(plan, state, other)


def moved(plan: TrainingPlan, state: bytes, other: TrainingPlan) -> bytes:
    """A state of ``plan`` as it lies in the memory of ``other``, which computes the same."""
    assert plan.numerics_hash == other.numerics_hash
    values = unpack_state(plan, state).values()
    return pack_state(other, dict(zip(other.learning.state, values, strict=True)))
