# SPDX-License-Identifier: Apache-2.0
"""The learning rate of a job, found on this computer before anything is trained elsewhere."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.job import TrainingJob
from mcutrain.host.training.loop import Progress as Done
from mcutrain.host.training.loop import begun
from mcutrain.host.training.rate_choice import RateChoice, told
from mcutrain.host.training.rate_search import find_rate
from mcutrain.host.training.replay import streamed
from mcutrain.host.training.tail import MEMORY_OPTIONS
from mcutrain.trainer.chip import GENERIC
from mcutrain.trainer.interpreter import pack_state, unpack_state
from mcutrain.trainer.training_plan import TrainingPlan


def with_rate(
    job: TrainingJob, plan: TrainingPlan, data: Dataset, state: bytes | None, console: Console
) -> TrainingJob:
    """The job with a rate: its own, or the one found for its data, which has no held-out samples
    any more, from the state that it goes on from."""
    options = job.options
    if options.rate is not None:
        return replace(job, rate=RateChoice(options.rate))
    here = plan_here(job, plan)
    if state is not None:
        state = moved(plan, state, here)
    if job.replay is not None:
        seed, _ = begun(here, options, state)
        data, stream = streamed(here, data, job.replay, seed, job.replay_ratio)
        options = replace(options, order=stream.order)
    columns = (
        TextColumn("{task.description:<9}"), BarColumn(), TaskProgressColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as view:
        task = view.add_task("find rate", total=None)

        def report(done: Done) -> None:
            view.update(task, completed=done.done, total=done.total)

        found = find_rate(here, data, options, report, state, job.rate_minutes)
        view.update(task, completed=1, total=1)
    if not found.learns:
        console.print(told(found)[-1], markup=False, highlight=False, soft_wrap=True)
    return replace(job, rate=found, options=replace(job.options, rate=found.chosen))


def plan_here(job: TrainingJob, plan: TrainingPlan) -> TrainingPlan:
    """The job's plan as it is made for this computer: the same bits, without what a board's memory
    or instructions ask for, so that these change neither the budget's steps nor the rate."""
    here = job.request.on(GENERIC).without(MEMORY_OPTIONS)
    return plan if here == job.request and plan.chip == GENERIC else here.plan()


def moved(plan: TrainingPlan, state: bytes, other: TrainingPlan) -> bytes:
    """A state of ``plan`` as it lies in the memory of ``other``, which computes the same."""
    assert plan.numerics_hash == other.numerics_hash
    values = unpack_state(plan, state).values()
    return pack_state(other, dict(zip(other.learning.state, values, strict=True)))
