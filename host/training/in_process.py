# SPDX-License-Identifier: Apache-2.0
"""Trains a plan in this process, where no byte counts: to the bits that a device learns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from shutil import which

from mcutrain.host.building.library import COMPILER, in_process
from mcutrain.host.request import Request
from mcutrain.host.training.runner import LatentRunner
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.trainer.chip import GENERIC
from mcutrain.trainer.options import DEFAULT_OPTIONS, Effect
from mcutrain.trainer.training_plan import TrainingPlan

MEMORY_OPTIONS = [*DEFAULT_OPTIONS.to_json(Effect.MEMORY)]


@contextmanager
def in_process_runner(plan: TrainingPlan) -> Iterator[LatentRunner]:
    """The generated C in this process; the reference where there is no compiler, or for kernels of
    another instruction set."""
    if which(COMPILER) is None or plan.needs:
        yield ReferenceRunner(plan)
    else:
        with in_process(plan) as runner:
            yield runner


def in_process_plan(request: Request) -> TrainingPlan:
    """The request's plan with nothing that saves memory: it learns the same bits."""
    return request.on(GENERIC).without(MEMORY_OPTIONS).plan()
