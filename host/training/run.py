# SPDX-License-Identifier: Apache-2.0
"""Runs a training job: plan, build, connect, train, measure."""

from __future__ import annotations

import tempfile
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mcutrain.host.building.firmware import Build, build
from mcutrain.host.building.target import Target, TargetKind, check_runs_here
from mcutrain.host.cost import measured, planned
from mcutrain.host.link import health
from mcutrain.host.simulation.counting import check_counts, unit_of
from mcutrain.host.simulation.counts import Unit, read_counts, summary
from mcutrain.host.simulation.profile import profiles
from mcutrain.host.training.absent import absent_notes, calls_for_mask
from mcutrain.host.training.beforehand import settled, timed
from mcutrain.host.training.checkpoints import Checkpoints
from mcutrain.host.training.class_names import named
from mcutrain.host.training.dataset import Dataset, load_dataset
from mcutrain.host.training.export import check_exportable
from mcutrain.host.training.feed import (
    check_stream,
    decided_balance,
    feed_notes,
    ordered_epochs,
)
from mcutrain.host.training.going_on import beginning, checkpoints_of, settled_once
from mcutrain.host.training.job import Outcome, TrainingJob, judged
from mcutrain.host.training.keeping import Keeper
from mcutrain.host.training.latents import DEVICE, OFF, CachedRunner, Saving, place_of
from mcutrain.host.training.learned import GO_ON, going_on, planned_on, settle
from mcutrain.host.training.leaving_out import without
from mcutrain.host.training.loop import train
from mcutrain.host.training.on_flash import begun_from, check_flash_target, save_learned
from mcutrain.host.training.port_build import Known, keep_counts, port_build
from mcutrain.host.training.progress import Report
from mcutrain.host.training.replay import train_stream
from mcutrain.host.training.reporter import SILENT, Reporter
from mcutrain.host.training.result import Result
from mcutrain.host.training.runners import (
    DeviceRunner,
    ReferenceRunner,
    SimulatedRunner,
    connected,
    profiling,
    simulated,
    with_latents,
)
from mcutrain.host.training.state import SavedState
from mcutrain.host.training.steady_runner import Reconnects, SteadyRunner
from mcutrain.host.training.unused_options import unused_notes
from mcutrain.trainer.errors import Error
from mcutrain.trainer.notes import Note
from mcutrain.trainer.options import AUTO, KEEP
from mcutrain.trainer.training_plan import TrainingPlan

COUNTED = {
    "{unit}_per_step": "step",
    "forward_{unit}": "forward",
    "prefix_{unit}": "prefix",
    "{unit}_per_step_from_latent": "latent_step",
    "forward_{unit}_from_latent": "latent_forward",
}


@dataclass(frozen=True)
class Prepared:
    """A job whose files are read and whose options go together: the next thing is to build."""

    job: TrainingJob
    plan: TrainingPlan
    data: Dataset
    state: bytes | None
    notes: tuple[Note, ...]
    checkpoints: Checkpoints | None = None


def prepared(job: TrainingJob, target: Target, reporter: Reporter) -> Prepared:
    """Plan, and read what the job reads. Raises Error for all that can be seen before work."""
    check_together(job, target)
    target.require()
    if job.flash_image is not None:
        job = replace(job, request=job.request.but(store=True))
    job = replace(job, request=named(job.request.resolved(), job.data, job.reading))
    if job.replay is not None and job.latents == DEVICE:
        job = replace(job, request=job.request.but(latent_slots=job.replay))
    saved = SavedState.read(job.state) if job.state else None
    if saved and job.request.options.absent == AUTO:
        job = replace(job, request=job.request.but(absent=saved.absent))
    plan = planned_on(job.request, job.flash_latents, target.chip)
    job = replace(job, latents=latents_place(job, plan, target))
    if job.export is not None:
        check_exportable(job.request, plan)
    if job.request.leaves_state():
        reporter.say(
            f"note: {job.request.model} holds the state of an earlier training, which is left out: "
            "--update or --classes begin anew; without them training goes on"
        )
    with reporter.working(f"reading {job.data}") as update:
        data = load_dataset(
            job.data, plan, job.reading,
            lambda done, total: update(f"reading {job.data}: {done} of {total or '?'}"),
        )  # fmt: skip
    if job.left_out is not None:
        data = without(data, job.left_out, job.gone)
    is_stream = job.replay is not None
    if job.port is None and saved is None and calls_for_mask(plan, data, is_stream):
        job = replace(job, request=job.request.but(absent=KEEP))
        plan = planned_on(job.request, job.flash_latents, target.chip)
    state = saved.state(plan) if saved else None
    if is_stream:
        check_stream(data, job.replay_ratio)
    else:
        ordered_epochs(data, job.options)
    balance = decided_balance(plan, data, job.options, is_stream)
    options = replace(job.options, balance=balance)
    notes = (
        *plan.notes,
        *data.notes,
        *absent_notes(plan, data, state, is_stream),
        *feed_notes(plan, data, options, is_stream, job.replay_ratio if is_stream else 0),
        *unused_notes(job, data),
    )
    job = replace(job, options=options)
    reporter.tell(notes)
    return Prepared(job, plan, data, state, notes)


def run_job(job: TrainingJob, reporter: Reporter = SILENT, keeper: Keeper | None = None) -> Outcome:
    """Plan, build, train and measure; ``reporter`` is told of it. Raises Error.

    ``keeper`` keeps what is learned, first of all and also where the run then fails.
    """
    keeper = Keeper(job.save, job.export) if keeper is None else keeper
    target = Target.parse(job.target)
    if keeper.record is not None:
        if job.counts:
            raise Error("--record asks for a digest in each step, which would count: leave one out")
        keeper.record.ask(job)
    ready = prepared(job, target, reporter)
    job, plan, data, state, notes = ready.job, ready.plan, ready.data, ready.state, ready.notes
    checkpoints = checkpoints_of(job, plan, data, state, reporter)
    ready = replace(ready, checkpoints=checkpoints)
    if job.port is not None:
        found = run_on_port(ready, job.port, reporter, keeper)
        return judged(replace(found, notes=notes, data=data))
    if target.kind is TargetKind.REFERENCE:
        runner = ReferenceRunner(plan)
        job = settled_on(ready, runner, reporter, keeper)
        with reporter.training(plan) as report:
            result, saving = train_job(job, plan, data, runner, report, state, keeper, checkpoints)
        cost = planned(plan)
        found = Outcome(job, target.name, result, cost, plan, saving=saving, notes=notes, data=data)
        return judged(found)
    with reporter.working(f"building for {target.name}"):
        built = build(plan, target, job.verbose, job.keys)
    ready = replace(ready, plan=built.plan)
    is_new = checkpoints is None or checkpoints.found is None
    if job.flash_image is not None and is_new:
        state = begun_from(built, job.flash_image, job.beginning, state, reporter)
        ready = replace(ready, state=state)
    if job.minutes is not None and is_new:
        with simulated(built) as device:
            job = timed(job, built.plan, data, device, state)
    job = settled_on(replace(ready, job=job), None, reporter, keeper)
    found = run_simulated(replace(ready, job=job), built, reporter, keeper)
    return judged(replace(found, notes=notes, data=data))


def settled_on(
    ready: Prepared,
    runner: ReferenceRunner | DeviceRunner | None,
    reporter: Reporter,
    keeper: Keeper,
) -> TrainingJob:
    """The job as it is settled before its first step: once, if it goes on from a checkpoint. Its
    minutes are timed on ``runner``; None if they have been."""
    plan, data, state = ready.plan, ready.data, ready.state

    def settle(job: TrainingJob) -> TrainingJob:
        if runner is not None:
            job = timed(job, plan, data, runner, state)
        return settled(job, plan, data, state, reporter, keeper)

    return settled_once(ready.job, plan, state, keeper, ready.checkpoints, settle)


def counted_unit(target: Target) -> Unit | None:
    """What is counted on a target; None for nothing."""
    return Unit.INSTRUCTIONS if target.kind is TargetKind.CORE else unit_of(target.board)


def check_together(job: TrainingJob, target: Target) -> None:
    """Raises Error for options that contradict each other."""
    if job.port is not None and target.kind is not TargetKind.REFERENCE:
        raise Error("give --port or --target, not both")
    check_runs_here(target)
    if job.flash_image is not None:
        check_flash_target(target, job.port)
    keeps = job.port or job.flash_image or job.checkpoint
    if job.beginning is not None and not keeps:
        instead = "or --state FILE" if job.beginning == GO_ON else "or leave it out"
        raise Error(
            f"--{job.beginning} is for a board at a serial port, an image of its flash, or a "
            f"checkpoint: give --port, --flash-image, --checkpoint, {instead}"
        )
    if job.checkpoint is not None and job.counts:
        raise Error("--checkpoint: instructions are counted in one go: leave it out, or the counts")
    if job.beginning == GO_ON and job.state is not None:
        raise Error("give --go-on, for the state that the device has, or --state, not both")
    if job.minutes is not None and (job.counts or job.replay is not None):
        other = "--replay takes each sample once" if job.replay else "instructions are counted"
        raise Error(f"--minutes times a few steps first, but {other}: give --steps N instead")
    asked = "--profile" if job.profile else "--count-instructions"
    is_core = target.kind is TargetKind.CORE
    if is_core and job.profile:
        raise Error(f"{asked} needs a simulated board: Unicorn counts steps, and not their nodes")
    is_board = job.port is None and target.kind is TargetKind.SIMULATED
    if job.counts and not is_board and not is_core:
        raise Error(f"{asked} needs a simulated board: --target sim:BOARD, or unicorn:CORE")
    if job.counts and is_board:
        check_counts(target.board, asked, by_node=job.profile)


def latents_place(job: TrainingJob, plan: TrainingPlan, target: Target) -> str:
    """Where latents are kept: as asked for, or where there is room for them, if that pays."""
    is_device = job.port is not None or target.kind is not TargetKind.REFERENCE
    # Whole samples are received ahead.
    sends_ahead = plan.options.receive_ahead and is_device and job.replay is None
    is_again = job.options.epochs > 1 or job.replay is not None
    asked = job.latents
    if job.options.augment is not None and job.replay is None:
        if asked not in (None, OFF):
            raise Error(
                f"--latents {asked}: with --augment each step has its own sample, so no latent "
                "can be kept: leave one of them out"
            )
        return OFF
    if asked is None and is_device and plan.options.latent_slots and job.replay is None:
        asked = DEVICE if (is_again or job.counts) and not sends_ahead else None
    # Without room that was asked for, whole steps are counted.
    place = place_of(asked, plan, is_again and not job.counts and not sends_ahead)
    if place == DEVICE and not is_device:
        raise Error("--latents device needs a device: give --target native, sim:BOARD, or --port")
    return place


def run_on_port(ready: Prepared, port: str, reporter: Reporter, keeper: Keeper) -> Outcome:
    """The job on a device that runs a build of its plan."""
    job, checkpoints = ready.job, ready.checkpoints
    plans = partial(planned_on, job.request, job.flash_latents)
    reconnects = Reconnects(job.reconnect_s, reporter.say)
    with (
        connected(port, plans, job.baud, job.keys) as found,
        SteadyRunner(found.device, found.plan, job.baud, reconnects, job.keys) as runner,
    ):
        plan, state = runner.plan, ready.state
        if checkpoints is not None and checkpoints.found is not None:
            settle(runner)
            state = beginning(checkpoints.found, plan)
        elif own := going_on(runner, runner.device.name, job.beginning, reporter):
            state = own
        ready = replace(ready, plan=plan, state=state)
        job = settled_on(ready, runner, reporter, keeper)
        with reporter.training(plan) as report:
            result, saving = train_job(
                job, plan, ready.data, runner, report, state, keeper, checkpoints
            )
        info, digest = runner.device.info, runner.digest()
        traffic = runner.device.traffic
    known = port_build(plan, found.board, is_keyed=job.keys is not None)
    return Outcome(
        job, runner.device.name, result, known.cost, plan, saving=saving, traffic=traffic,
        port_build=known, counted=dict(known.counts.counted), unit=known.counts.unit,
        reconnects=reconnects.done, device=health.to_json(info), digest=digest,
    )  # fmt: skip


def train_job(
    job: TrainingJob,
    plan: TrainingPlan,
    data: Dataset,
    runner: ReferenceRunner | DeviceRunner,
    report: Report,
    state: bytes | None,
    keeper: Keeper,
    checkpoints: Checkpoints | None = None,
) -> tuple[Result, Saving | None]:
    """Train as the job says, from latents or not; the saving by those that were kept."""
    assert job.latents is not None
    keep = partial(keeper.keep, job.request, plan)
    if keeper.record is not None:
        keeper.record.prepare(job, plan, data)
        if checkpoints is not None:
            checkpoints.join("record", keeper.record)
    if job.replay is not None:
        return train_stream(
            plan,
            data,
            runner,
            job.replay,
            job.options,
            report,
            job.replay_ratio,
            job.latents,
            state,
            keep,
            checkpoints,
            keeper.record,
        )
    wrapped = with_latents(runner, job.latents)
    result = train(
        plan, data, wrapped, job.options, report, state, keep, checkpoints, keeper.record
    )
    return result, wrapped.saving if isinstance(wrapped, CachedRunner) else None


def running_job(
    job: TrainingJob, built: Build, counts: Path | None
) -> AbstractContextManager[SimulatedRunner]:
    if job.profile:
        return profiling(built, counts, job.flash_image)
    return simulated(built, counts, image=job.flash_image)


def run_simulated(ready: Prepared, built: Build, reporter: Reporter, keeper: Keeper) -> Outcome:
    """The settled job on the build's simulator."""
    job, plan = ready.job, built.plan
    store = None
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts" if job.counts else None
        with (
            running_job(job, built, counts) as runner,
            reporter.training(plan) as report,
        ):
            result, saving = train_job(
                job, plan, ready.data, runner, report, ready.state, keeper, ready.checkpoints
            )
            if job.flash_image is not None:
                store = save_learned(runner, job.flash_image, reporter)
            used, traffic = runner.stack_used_bytes(), runner.device.traffic
        counts = counts if counts and counts.is_file() else None
        found = read_counts(counts) if counts else {}
        by_region = profiles(built, counts) if counts and job.profile else {}
    cost = measured(built)
    outcome = Outcome(
        job, built.target.name, result, cost, plan, stack_used_bytes=used, saving=saving,
        profiles=by_region, traffic=traffic, store=store,
    )  # fmt: skip
    unit = counted_unit(built.target) if job.counts else None
    if unit is None:
        return outcome
    counted = {
        key.format(unit=unit.value): summary(region, found[region])
        for key, region in COUNTED.items()
        if found.get(region)
    }
    if counted:
        keep_counts(built, Known(counted, unit))
    return replace(outcome, counted=counted, unit=unit)
