# SPDX-License-Identifier: Apache-2.0
"""--dry-run: what a command would do. All that can be checked is checked, as the real run does."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mcutrain.host.boards import core_of
from mcutrain.host.building.target import Target
from mcutrain.host.cli.ports import missing_for
from mcutrain.host.cost import planned
from mcutrain.host.data.options import DataOptions
from mcutrain.host.defaults import AUTO
from mcutrain.host.designing.command import DesignJob
from mcutrain.host.designing.command import prepared as prepared_design
from mcutrain.host.errors import TransportError
from mcutrain.host.link.transport import why_not_open
from mcutrain.host.prediction.density import traced
from mcutrain.host.prediction.predict import predict
from mcutrain.host.search.command import SearchJob, check_search, samples_of
from mcutrain.host.shrinking.job import ShrinkJob
from mcutrain.host.shrinking.job import prepared as prepared_to_shrink
from mcutrain.host.system.here import port_obstacle
from mcutrain.host.training.beforehand import reason_not_to_guard
from mcutrain.host.training.class_names import named
from mcutrain.host.training.counted_time import counted_seconds, steps_within
from mcutrain.host.training.dataset import load_dataset, load_samples
from mcutrain.host.training.feed import order_of
from mcutrain.host.training.folds import Pool
from mcutrain.host.training.in_process import in_process_plan
from mcutrain.host.training.job import TrainingJob
from mcutrain.host.training.loop import begun
from mcutrain.host.training.ranges import End
from mcutrain.host.training.rate_search import TRAININGS
from mcutrain.host.training.reporter import Reporter
from mcutrain.host.training.run import prepared
from mcutrain.trainer.errors import Error
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan

RAM_OF_PLAN = "arena and learned state; a build adds stack and link"
Told = dict[str, Any]
RATE = (
    "learning rate"  # how many trainings find it is known when they have: these are about so many
)


def of_training(job: TrainingJob, report: Path | None, reporter: Reporter) -> Told:
    """What `mcutrain train` would do. Raises Error as it does."""
    target = Target.parse(job.target)
    ready = prepared(job, target, reporter)
    job, plan, data = ready.job, ready.plan, ready.data
    check_tools(target)
    if job.port not in (None, AUTO):
        assert job.port is not None
        check_port(job.port)
    options = job.options
    steps = None
    if job.minutes is None and job.replay is None:
        seed, first = begun(plan, options, ready.state)
        steps = len(order_of(plan, data, options, seed, first))
    elif job.replay is not None:
        steps = len(data.x_train) * (1 + job.replay_ratio)
        steps = steps if options.steps is None else min(steps, options.steps)
    told = of_plan(plan, target) | {
        "samples": {"train": len(data.x_train), "test": len(data.x_test),
                    "validation": 0 if data.x_val is None else len(data.x_val)},
        "steps": steps,
        "minutes": job.minutes,
        "trainings": before_training(job, plan, ready.data, ready.state, steps),
        "port": job.port,
    }  # fmt: skip
    return told | written(report, job.save, job.export, job.checkpoint)


def before_training(
    job: TrainingJob, plan: TrainingPlan, data: Any, state: bytes | None, steps: int | None
) -> list[Told]:
    """The trainings on this computer that find a rate, and those by which the guard decides."""
    found: list[Told] = []
    if not steps:
        return found
    here, state = in_process_plan(job.request, plan, state)
    samples = len(data.x_train) if job.options.augment is None else steps

    def counted(why: str, trainings: int, minutes: float) -> Told:
        each = steps_within(here, trainings, steps, samples, minutes)
        seconds = counted_seconds(here, trainings, each, samples)
        return {"why": why, "trainings": trainings, "steps": each, "seconds": round(seconds, 2)}

    if job.options.rate is None:
        found.append(counted(RATE, TRAININGS, job.rate_minutes))
    if job.options.guard and not reason_not_to_guard(job, here, data):
        is_stream = job.replay is not None
        pool = Pool.of(data, is_stream)
        folds = len(pool.folds(here, begun(here, job.options, state)[0], is_stream))
        found.append(counted("guard", folds, job.guard_minutes))
    return found


def of_search(job: SearchJob, reporter: Reporter) -> Told:
    """What `mcutrain search` would do. Raises Error as it does."""
    check_search(job)
    target = Target.parse(job.target)
    check_tools(target)
    plan = named(job.request, job.data, job.reading).on(target.chip).plan()
    data = load_dataset(job.data, plan, job.reading)
    reporter.tell(plan.notes)
    samples = samples_of(job, data)
    learned = round(len(samples.x) * (1 - job.share))
    steps = job.plan.epochs * learned
    limited = steps if job.plan.steps is None else min(steps, job.plan.steps)
    trainings = [{"why": "trials", "trainings": job.plan.trials, "steps": limited},
                 {"why": "promoted schemes", "trainings": job.plan.promoted * job.plan.folds,
                  "steps": steps}]  # fmt: skip
    told = of_plan(plan, target) | {"samples": {"train": len(samples.x)}, "trainings": trainings}
    return told | written(job.output, job.plot, job.folder)


def of_design(job: DesignJob, reporter: Reporter) -> Told:
    """What `mcutrain design` would do. Raises Error as it does."""
    from mcutrain.host.designing.pricing import NetPricer

    workshop, notes = prepared_design(job)
    reporter.tell(notes)
    plan, handmade = job.plan, NetPricer(workshop, job.limits).handmade()
    own = 0 if workshop.own is None else len(workshop.own)
    return {
        "update": workshop.request.options.update,
        "handmade": [net.shown for net in handmade],
        "shape": list(workshop.shape),
        "outputs": workshop.outputs,
        "samples": {"general": len(workshop.general), "own": own},
        "trials": plan.trials,
        "trainings": [{"why": "promoted nets", "trainings": plan.promoted * plan.seeds,
                       "epochs": plan.epochs}],
        "notes": [asdict(note) for note in notes],
        **written(job.output, job.folder),
    }  # fmt: skip


def design_lines(told: Told) -> list[str]:
    """A dry design for people."""
    shape, samples = "x".join(map(str, told["shape"])), told["samples"]
    said = [
        f"dry run: nets for samples of {shape}, {told['outputs']} outputs, {told['update']}; "
        "nothing is done",
        "samples: " + ", ".join(f"{count:,} {name}" for name, count in samples.items() if count),
        f"trials: {told['trials']} nets beside those made by hand that fit, "
        + (", ".join(told["handmade"]) or "none"),
        *(f"{each['why']}: {each['trainings']} trainings of {each['epochs']} epochs"
          for each in told["trainings"]),
    ]  # fmt: skip
    return [*said, *(f"would write {path}" for path in told["files"])]


def of_shrinking(job: ShrinkJob, reporter: Reporter) -> Told:
    """What `mcutrain shrink` would do. Raises Error as it does."""
    ready = prepared_to_shrink(job)
    reporter.tell(ready.notes())
    plan = ready.request.plan_of(ready.model)
    told = of_plan(plan, Target.parse(job.target)) | {
        "samples": {"inputs": len(ready.inputs.x), "held-out inputs": len(ready.inputs.held_x)},
    }
    return told | written(job.output, job.scheme if job.search else None, job.report, job.folder)


def of_build(plan: TrainingPlan, target: Target, files: Iterable[Path]) -> Told:
    """What `mcutrain build` would do. Raises Error as it does."""
    check_tools(target)
    return of_plan(plan, target) | written(*files)


def of_calibration(
    model: Path, data: Path, count: int, output: Path, reporter: Reporter, reading: DataOptions
) -> Told:
    """What `mcutrain calibrate` would do. Raises Error as it does."""
    loaded = load(model)
    x, notes = load_samples(data, End(loaded.input.type, pixels=loaded.pixels), reading)
    reporter.tell(notes)
    return {"model": loaded.name, "samples": {"train": min(count, len(x))}} | written(output)


def of_plan(plan: TrainingPlan, target: Target) -> Told:
    cost = planned(plan)
    copied = cost["copied_constant_bytes"] or 0
    prediction = predict(plan, core_of(plan.chip.name), traced(plan))
    return {
        "model": plan.name,
        "update": plan.scheme.name,
        "target": target.name,
        "ram_bytes": cost["arena_bytes"] + cost["learned_bytes"] + copied,
        "copied_constant_bytes": copied,
        "constant_bytes": cost["constant_bytes"],
        "predicted_instructions": prediction.step,
        "predicted_like": prediction.like,
        "notes": [asdict(note) for note in plan.notes],
    }


def written(*files: Path | None) -> Told:
    return {"files": [str(path) for path in files if path is not None]}


def check_tools(target: Target) -> None:
    """Raises Error if a compiler or simulator is missing."""
    if absent := missing_for(target):
        names = ", ".join(each.name for each in absent)
        remedies = dict.fromkeys(each.remedy for each in absent)
        raise Error(f"{target.name} needs {names}; run: {' && '.join(remedies)}")


def check_port(port: str) -> None:
    """Raises Error for a port that is not there, or that this user may not use. It is not opened,
    since that restarts many boards."""
    if code := port_obstacle(port):
        raise TransportError(why_not_open(port, OSError(code, os.strerror(code))))


def lines(told: Told) -> list[str]:
    """A dry run for people."""
    said = [f"dry run: {told['model']}, nothing is done"]
    if "update" in told:
        said[0] = (
            f"dry run: {told['model']}, {told['update']}, on {told['target']}; nothing is done"
        )
        said.append(f"RAM: {told['ram_bytes']:,} bytes ({RAM_OF_PLAN})")
        if told["copied_constant_bytes"]:
            said.append(f"of these {told['copied_constant_bytes']:,} bytes are copied constants")
        said.append(f"flash: {told['constant_bytes']:,} bytes of constants; a build adds code")
        other = told["predicted_like"]
        like = f" of a {other}, as there are no counts of its core" if other else ""
        said.append(f"a step: about {told['predicted_instructions']:,} instructions{like}")
    samples = {name: count for name, count in told.get("samples", {}).items() if count}
    if samples:
        said.append("samples: " + ", ".join(f"{count:,} {name}" for name, count in samples.items()))
    if told.get("steps") is not None:
        said.append(f"steps: {told['steps']:,}")
    elif told.get("minutes") is not None:
        said.append(f"steps: as many as take {told['minutes']:g} minutes")
    for each in told.get("trainings", ()):
        count = f"{'about ' * (each['why'] == RATE)}{each['trainings']}"
        text = f"{each['why']}: {count} trainings of at most {each['steps']:,} steps"
        if "seconds" in each:
            text += f", about {each['seconds']:.3g} s at 10^9 multiply-accumulates a second"
        said.append(text)
    return [*said, *(f"would write {path}" for path in told["files"])]
