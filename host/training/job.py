# SPDX-License-Identifier: Apache-2.0
"""One training run as asked for on the command line, and what came of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from mcutrain.host.building.firmware import Build, build
from mcutrain.host.building.target import Target, TargetKind
from mcutrain.host.cost import measured, planned
from mcutrain.host.defaults import BAUD, RATIO
from mcutrain.host.extras import require_extra
from mcutrain.host.request import Request
from mcutrain.host.simulation.instructions import read_counts
from mcutrain.host.training.dataset import Dataset, load_dataset
from mcutrain.host.training.export import check_exportable
from mcutrain.host.training.flash_latents import with_flash_latents
from mcutrain.host.training.latents import DEVICE, CachedRunner, Saving, place_of
from mcutrain.host.training.loop import Progress, Report, Result, TrainingOptions, begun, train
from mcutrain.host.training.replay import train_stream
from mcutrain.host.training.runners import (
    DeviceRunner,
    ReferenceRunner,
    connected,
    simulated,
    with_latents,
)
from mcutrain.host.training.state import SavedState
from mcutrain.host.training.validation import held_out
from mcutrain.trainer.chip import Chip
from mcutrain.trainer.errors import Error
from mcutrain.trainer.training_plan import TrainingPlan

CLIPPED_WARNING = 0.01
COUNTED = {
    "instructions_per_step": "step",
    "forward_instructions": "forward",
    "prefix_instructions": "prefix",
    "instructions_per_step_from_latent": "latent_step",
    "forward_instructions_from_latent": "latent_forward",
}


@dataclass(frozen=True)
class TrainingJob:
    """What `mcutrain train` was asked to do. ``state``: a file that `--save` wrote.

    ``unguarded`` says why the guard is off although it was asked for.
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
    export: Path | None = None
    validation: float | None = None  # share of the training samples; None is the default
    unguarded: str = ""
    latents: str | None = None  # where they are kept; None is the default of host.training.latents
    flash_latents: Path | None = None  # the data set whose latents the build holds
    replay: int | None = None  # slots of the buffer, if the samples are a stream
    replay_ratio: int = RATIO


@dataclass
class Outcome:
    """A job's result, costs and instruction counts; ``failure`` says what did not hold."""

    job: TrainingJob
    target: str
    result: Result
    cost: dict[str, Any]
    plan: TrainingPlan
    instructions: dict[str, dict[str, float]] = field(default_factory=dict)
    failure: str = ""
    stack_used_bytes: int | None = None  # seen on a simulated board
    saving: Saving | None = None  # by latents; None without

    def to_json(self) -> dict[str, Any]:
        return {
            "model": str(self.job.request.model),
            "target": self.target,
            "update": self.plan.scheme.name,
            "seed": self.result.seed,
            "unguarded": self.job.unguarded or None,
            **self.result.to_json(),
            **self.instructions,
            "latents": None if self.saving is None else self.saved(self.saving),
            "stack_used_bytes": self.stack_used_bytes,
            "cost": self.cost,
        }

    def saved(self, saving: Saving) -> dict[str, Any]:
        """What latents saved; in instructions too, where a prefix was counted."""
        prefix = self.instructions.get("prefix_instructions")
        saved = None if prefix is None else round(prefix["mean"] * saving.reused)
        return {**saving.to_json(), "saved_instructions": saved}


def warn_of_clipped(share: float, console: Console) -> None:
    """Say so if more than a few training values are outside what the input can hold."""
    if share > CLIPPED_WARNING:
        console.print(
            f"warning: {100 * share:.1f} % of x_train lies outside the input's real range "
            "and is clipped; `mcutrain inspect` shows the range",
            markup=False,
            soft_wrap=True,
        )


def run_job(job: TrainingJob, console: Console) -> Outcome:
    """Plan, build, train and measure; progress goes to ``console``. Raises Error."""
    target = Target.parse(job.target)
    if job.port is not None and target.kind is not TargetKind.REFERENCE:
        raise Error("give --port or --target, not both")
    if job.count_instructions and (job.port is not None or target.kind is not TargetKind.SIMULATED):
        raise Error("--count-instructions needs a simulated board: --target sim:BOARD")
    if target.kind is not TargetKind.REFERENCE:
        require_extra("build")
    job = replace(job, request=job.request.resolved())
    if job.replay is not None and job.latents == DEVICE:
        job = replace(job, request=job.request.but(latent_slots=job.replay))
    plan = planned_on(job, target.chip)
    pays = job.options.epochs > 1 or job.replay is not None
    # Whole steps are counted, and whole samples are received ahead.
    is_device = job.port is not None or target.kind is not TargetKind.REFERENCE
    sends_ahead = plan.options.receive_ahead and is_device and job.replay is None
    pays = pays and not job.count_instructions and not sends_ahead
    job = replace(job, latents=place_of(job.latents, plan, pays))
    if job.latents == DEVICE and job.port is None and target.kind is TargetKind.REFERENCE:
        raise Error("--latents device needs a device: give --target native, sim:BOARD, or --port")
    if job.export is not None:
        check_exportable(job.request, plan)
    if job.request.leaves_state():
        console.print(
            f"note: {job.request.model} holds the state of an earlier training, which is left out: "
            "--update or --classes begin anew; without them training goes on",
            markup=False,
            soft_wrap=True,
        )
    data = load_dataset(job.data, plan)
    state = SavedState.read(job.state).state(plan) if job.state else None
    warn_of_clipped(data.clipped, console)
    job, data = guarded(job, plan, data, state)
    if job.port is not None:
        with (
            connected(job.port, partial(planned_on, job), job.baud) as runner,
            bars(console, job, plan) as report,
        ):
            plan = runner.plan
            result, saving = train_job(job, plan, data, runner, report, state)
        return judged(Outcome(job, job.port, result, planned(plan), plan, saving=saving))
    if target.kind is TargetKind.REFERENCE:
        with bars(console, job, plan) as report:
            result, saving = train_job(job, plan, data, ReferenceRunner(plan), report, state)
        return judged(Outcome(job, target.name, result, planned(plan), plan, saving=saving))
    with console.status(f"building for {target.name}"):
        built = build(plan, target, job.verbose)
    return judged(run_simulated(job, built.plan, built, data, state, console))


def planned_on(job: TrainingJob, chip: Chip) -> TrainingPlan:
    """The job's plan for a chip."""
    return with_flash_latents(job.request.on(chip).plan(), job.flash_latents)


def guarded(
    job: TrainingJob, plan: TrainingPlan, data: Dataset, state: bytes | None
) -> tuple[TrainingJob, Dataset]:
    """The job and the data with validation samples; or with the guard off, and why."""
    if not job.options.guard:
        return job, data
    if job.replay is not None and data.x_val is None:
        reason = "in a stream, what comes next is not known beforehand; give x_val"
        return replace(job, options=replace(job.options, guard=False), unguarded=reason), data
    seed, _ = begun(plan, job.options, state)
    data, reason = held_out(plan, data, seed, job.validation)
    if reason:
        job = replace(job, options=replace(job.options, guard=False), unguarded=reason)
    return job, data


def train_job(
    job: TrainingJob,
    plan: TrainingPlan,
    data: Dataset,
    runner: ReferenceRunner | DeviceRunner,
    report: Report,
    state: bytes | None,
) -> tuple[Result, Saving | None]:
    """Train as the job says, from latents or not; the saving by those that were kept."""
    assert job.latents is not None
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
        )
    wrapped = with_latents(runner, job.latents)
    result = train(plan, data, wrapped, job.options, report, state)
    return result, wrapped.saving if isinstance(wrapped, CachedRunner) else None


def run_simulated(
    job: TrainingJob,
    plan: TrainingPlan,
    built: Build,
    data: Dataset,
    state: bytes | None,
    console: Console,
) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts" if job.count_instructions else None
        with simulated(built, counts) as runner, bars(console, job, plan) as report:
            result, saving = train_job(job, plan, data, runner, report, state)
            used = runner.stack_used_bytes()
        found = read_counts(counts) if counts and counts.is_file() else {}
    cost = measured(built)
    outcome = Outcome(
        job, built.target.name, result, cost, plan, stack_used_bytes=used, saving=saving
    )
    for key, region in COUNTED.items():
        if values := found.get(region):
            mean = sum(values) / len(values)
            outcome.instructions[key] = {"min": min(values), "mean": mean, "max": max(values)}
    return outcome


def judged(outcome: Outcome) -> Outcome:
    """The outcome with ``failure`` set if something asked for did not hold."""
    if outcome.result.difference is not None:
        outcome.failure = str(outcome.result.difference)
    elif outcome.job.options.verify and not outcome.result.bit_exact:
        outcome.failure = "the device was not verified in every step"
    elif outcome.job.count_instructions and not has_both(outcome.instructions):
        outcome.failure = "no instructions were counted: no step or no inference ran"
    elif (used := outcome.stack_used_bytes) is not None and used > outcome.cost["stack_bytes"]:
        outcome.failure = (
            f"{used:,} bytes of stack were used, the bound is {outcome.cost['stack_bytes']:,}; "
            "this is a bug of mcutrain"
        )
    return outcome


def has_both(instructions: dict[str, dict[str, float]]) -> bool:
    """Whether a step was counted, and an inference, whole or from a latent."""
    return {True, False} <= {"step" in key for key in instructions if "prefix" not in key}


@contextmanager
def bars(
    console: Console, job: TrainingJob, plan: TrainingPlan
) -> Iterator[Callable[[Progress], None]]:
    """A progress bar for each phase, on a terminal."""
    if job.unguarded:
        console.print(f"guard: off: {job.unguarded}", markup=False, soft_wrap=True)
    columns = (
        TextColumn("{task.description:<9}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"), TimeRemainingColumn(),
    )  # fmt: skip
    names = {
        "before": "evaluate", "validate": "validate", "train": "train", "after": "evaluate"
    }  # fmt: skip
    with Bars(*columns, console=console) as view:
        tasks: dict[str, Any] = {}
        average = None

        def report(progress: Progress) -> None:
            nonlocal average
            if progress.phase not in tasks:
                name = names[progress.phase]
                tasks[progress.phase] = view.add_task(name, total=progress.total, note="")
            note = ""
            if progress.loss is not None:
                average = (
                    progress.loss if average is None else 0.95 * average + 0.05 * progress.loss
                )
                note = f"loss {average:.3f}"
            elif progress.metric is not None:
                value = progress.metric
                note = f"accuracy {100 * value:.1f} %" if plan.takes_label else f"mse {value:.4g}"
            view.update(tasks[progress.phase], completed=progress.done, note=note)

        yield report
