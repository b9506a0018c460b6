# SPDX-License-Identifier: Apache-2.0
"""`mcutrain evaluate`: what a model, or a saved state, makes of samples, without training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target, TargetKind, check_runs_here
from mcutrain.host.data.options import DEFAULT_DATA_OPTIONS, DataOptions
from mcutrain.host.defaults import BAUD
from mcutrain.host.keys import Keys
from mcutrain.host.request import Request
from mcutrain.host.training.class_names import named
from mcutrain.host.training.dataset import Dataset, load_dataset
from mcutrain.host.training.evaluation import Evaluation, evaluate_with
from mcutrain.host.training.in_process import in_process_runner
from mcutrain.host.training.learned import planned_on, settle
from mcutrain.host.training.on_flash import check_flash_target, request_of_image
from mcutrain.host.training.on_port import request_of_port
from mcutrain.host.training.progress import Progress
from mcutrain.host.training.reporter import Reporter
from mcutrain.host.training.runner import Runner
from mcutrain.host.training.runners import connected, simulated
from mcutrain.host.training.state import SavedState
from mcutrain.trainer.errors import DataError, Error
from mcutrain.trainer.training_plan import TrainingPlan


@dataclass(frozen=True)
class EvaluationJob:
    """What `mcutrain evaluate` was asked to do. ``request`` makes the plan of the model alone; with
    ``state``, a file that `mcutrain train --save` wrote, that file says it all."""

    request: Request
    data: Path
    split: str = "test"
    target: str = "reference"
    state: Path | None = None
    reading: DataOptions = DEFAULT_DATA_OPTIONS
    verbose: bool = False
    port: str | None = None  # of a board, whose own weights are evaluated
    baud: int = BAUD
    keys: Keys | None = None  # of the device
    flash_image: Path | None = None  # of a simulated device, whose own weights are evaluated


@dataclass(frozen=True)
class Evaluated:
    """What came of it, with the data that it is of."""

    job: EvaluationJob
    found: Evaluation
    data: Dataset

    def worst(self, count: int) -> list[dict[str, Any]]:
        """The worst samples: their names, what they are, what the model said, and their losses."""
        found, rows = self.found, list[dict[str, Any]]()
        for k in found.worst(count):
            row: dict[str, Any] = {
                "index": k,
                "sample": self.data.name_of(self.job.split, k),
                "loss": float(found.losses[k]),
            }
            if found.labels is not None and found.predicted is not None:
                row["class"] = found.name_of(int(found.labels[k]))
                row["predicted"] = found.name_of(int(found.predicted[k]))
                row["right"] = bool(found.right[k])
            rows.append(row)
        return rows

    def to_json(self, count: int) -> dict[str, Any]:
        job = self.job
        return {
            "model": str(job.request.model),
            "state": None if job.state is None else str(job.state),
            "data": str(job.data),
            "split": job.split,
            "target": job.target,
            **self.found.to_json(),
            "worst": self.worst(count),
            "notes": [asdict(note) for note in self.data.notes],
        }


def run_evaluation(job: EvaluationJob, reporter: Reporter) -> Evaluated:
    """Evaluate; ``reporter`` is told of it. Raises Error."""
    target = Target.parse(job.target)
    if job.port is not None and job.flash_image is not None:
        check_flash_target(target, job.port)
    if job.port is not None:
        return evaluated_on_port(job, job.port, target, reporter)
    check_runs_here(target)
    target.require()
    if job.flash_image is not None:
        return evaluated_on_flash(job, job.flash_image, target, reporter)
    saved = None if job.state is None else SavedState.read(job.state)
    if saved is None:
        request = job.request.resolved().but(headroom=1)  # the file as it is
    else:
        names = job.request.options.class_names or None
        request = saved.request(job.request.model).but(class_names=names)
    plan = named(request, job.data, job.reading).on(target.chip).plan()
    state = None if saved is None else saved.state(plan)
    data = read_data(job, plan, reporter)
    samples = len(data.part(job.split)[0])
    with computing(plan, target, samples, job, reporter) as runner:
        runner.reset(0) if state is None else runner.load(state)
        return evaluated(job, data, plan, runner, reporter)


def evaluated_on_port(
    job: EvaluationJob, port: str, target: Target, reporter: Reporter
) -> Evaluated:
    """What the board at a port makes of the samples with the weights that it has, and keeps."""
    if target.kind is not TargetKind.REFERENCE:
        raise Error("give --port or --target, not both")
    if job.state is not None:
        raise Error("--port evaluates the weights that the board has: leave --state out")
    port, known = request_of_port(job.request.model, port, job.baud)
    # The build that is known may be of somebody who gave the classes other names.
    names = job.request.options.class_names or None
    unnamed = known.without(["class_names"])
    request = named(unnamed.but(class_names=names), job.data, job.reading)
    with connected(port, partial(planned_on, request, None), job.baud, job.keys) as runner:
        settle(runner)
        data = read_data(job, runner.plan, reporter)
        found = evaluated(job, data, runner.plan, runner, reporter)
    return replace(found, job=replace(job, target=port))


def evaluated_on_flash(
    job: EvaluationJob, image: Path, target: Target, reporter: Reporter
) -> Evaluated:
    """What a simulated device makes of the samples with what an image of its flash holds."""
    check_flash_target(target, None)
    if job.state is not None:
        raise Error("--flash-image evaluates what the device has saved: leave --state out")
    names = job.request.options.class_names or None
    known = request_of_image(job.request.model, image, target).without(["class_names"])
    request = named(known.but(class_names=names), job.data, job.reading)
    plan = request.on(target.chip).plan()
    data = read_data(job, plan, reporter)
    with reporter.working(f"building for {target.name}"):
        built = build(plan, target, job.verbose)
    with simulated(built, image=image) as runner:
        if settle(runner) == 0:
            raise Error(f"{image}: it holds nothing whole of this model: train with it first")
        return evaluated(job, data, plan, runner, reporter)


def read_data(job: EvaluationJob, plan: TrainingPlan, reporter: Reporter) -> Dataset:
    """The samples. Raises DataError if those that are evaluated were clipped."""
    with reporter.working(f"reading {job.data}") as update:
        data = load_dataset(
            job.data, plan, job.reading,
            lambda done, total: update(f"reading {job.data}: {done} of {total or '?'}"),
        )  # fmt: skip
    reporter.tell(data.notes)
    if (clipped := data.clipped(job.split)) is not None:
        raise DataError(f"{job.data}: {clipped.text}")
    return data


def evaluated(
    job: EvaluationJob, data: Dataset, plan: TrainingPlan, runner: Runner, reporter: Reporter
) -> Evaluated:
    x, y = data.part(job.split)
    with reporter.training(plan) as report:
        found = evaluate_with(
            runner, plan, x, y,
            lambda done, metric: report(Progress("evaluate", done, len(x), metric=metric)),
        )  # fmt: skip
    return Evaluated(job, found, data)


@contextmanager
def computing(
    plan: TrainingPlan, target: Target, samples: int, job: EvaluationJob, reporter: Reporter
) -> Iterator[Runner]:
    """What computes: this process, or a build of the plan."""
    if target.kind is TargetKind.REFERENCE:
        with in_process_runner(plan, samples) as runner:
            yield runner
        return
    with reporter.working(f"building for {target.name}"):
        built = build(plan, target, job.verbose, job.keys)
    with simulated(built) as device:
        yield device
