# SPDX-License-Identifier: Apache-2.0
"""What is settled before the first step of a job: how many steps, at which learning rate, and
whether the guard lets it train at all. The last two are found on this computer, in this process."""

from __future__ import annotations

from dataclasses import replace

from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.duration import within
from mcutrain.host.training.fold_guard import decide, undecidable
from mcutrain.host.training.folds import Pool
from mcutrain.host.training.in_process import in_process_plan, in_process_runner
from mcutrain.host.training.job import TrainingJob
from mcutrain.host.training.keeping import Keeper
from mcutrain.host.training.progress import Report
from mcutrain.host.training.rate_choice import RateChoice, nothing_learns
from mcutrain.host.training.rate_search import find_rate
from mcutrain.host.training.replay import streamed
from mcutrain.host.training.reporter import Reporter
from mcutrain.host.training.runners import DeviceRunner, ReferenceRunner, with_latents
from mcutrain.trainer.training_plan import TrainingPlan


def timed(
    job: TrainingJob,
    plan: TrainingPlan,
    data: Dataset,
    runner: ReferenceRunner | DeviceRunner,
    state: bytes | None,
) -> TrainingJob:
    """The job with as many steps as its minutes hold, by timing a few on ``runner``."""
    if job.minutes is None:
        return job
    assert job.latents is not None
    wrapped = with_latents(runner, job.latents)
    options, budget = within(job.minutes, plan, data, wrapped, job.options, state)
    return replace(job, options=options, budget=budget)


def settled(
    job: TrainingJob,
    plan: TrainingPlan,
    data: Dataset,
    state: bytes | None,
    reporter: Reporter,
    keeper: Keeper,
) -> TrainingJob:
    """The job with a rate, as the guard lets it run from ``state``."""
    if job.options.rate is not None and not job.options.guard:
        return replace(job, rate=RateChoice(job.options.rate))  # nothing to find, so no plan for it
    here, state = in_process_plan(job.request, plan, state)
    with reporter.training(here) as report:
        job = with_rate(job, here, data, state, report)
        job = guarded(job, here, data, state, report)
    keeper.is_decided = job.decision is not None
    if job.rate is not None and not job.rate.learns:
        reporter.say(nothing_learns(job.rate))
    if job.unguarded:
        reporter.say(f"guard: off: {job.unguarded}")
    return job


def with_rate(
    job: TrainingJob, plan: TrainingPlan, data: Dataset, state: bytes | None, report: Report
) -> TrainingJob:
    """The job with a rate: its own, or the one found for its data. ``plan`` is for this
    computer."""
    options = job.options
    if options.rate is not None:
        return replace(job, rate=RateChoice(options.rate))
    if job.replay is not None:
        data, options, _ = streamed(plan, data, job.replay, options, state, job.replay_ratio)
    found = find_rate(plan, data, options, report, state, job.rate_minutes)
    return replace(job, rate=found, options=replace(job.options, rate=found.chosen))


def guarded(
    job: TrainingJob, plan: TrainingPlan, data: Dataset, state: bytes | None, report: Report
) -> TrainingJob:
    """The job as the guard lets it run: with the file's validation samples; or without any step, if
    folds of the training samples say that it would not help; or with the guard off, and why."""
    options = job.options
    if not options.guard or (data.x_val is not None and not data.is_clipped("val")):
        return job
    reason = reason_not_to_guard(job, plan, data)
    job = replace(job, options=replace(options, guard=False))
    if reason:
        return replace(job, unguarded=reason)
    if 0 in (options.epochs, options.steps):
        return job
    decision = decide(
        plan, data, job.options, in_process_runner, report, state, job.replay, job.replay_ratio,
        job.guard_minutes,
    )  # fmt: skip
    steps = options.steps if decision.helps else 0
    return replace(job, options=replace(job.options, steps=steps), decision=decision)


def reason_not_to_guard(job: TrainingJob, plan: TrainingPlan, data: Dataset) -> str:
    """Why folds cannot decide; "" if they can."""
    if job.counts:
        return "instructions are counted, whatever the steps bring"
    if data.x_val is not None:
        return "x_val or its targets are out of range and clipped: they say little"
    return undecidable(plan, Pool.of(data, job.replay is not None))
