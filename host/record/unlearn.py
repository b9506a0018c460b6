# SPDX-License-Identifier: Apache-2.0
"""`mcutrain unlearn`: the training of a record again, on data that lack some samples.

The samples are taken away before anything is decided, and then the same code runs that ran at
first: rate, folds, balance, classes, input shifts, best state. So what they had a part in is
repeated without them, and a claim rests on what is handed to that code alone. What it cannot reach,
such as a state that the run began with, is a reason not to claim it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mcutrain.host.building.target import REFERENCE
from mcutrain.host.data.options import SPLITS
from mcutrain.host.defaults import AUTO
from mcutrain.host.outputs import NamedFile, Role, check_files
from mcutrain.host.record.errors import RecordError
from mcutrain.host.record.header import Header, decisions_json
from mcutrain.host.record.samples import gone_of, required
from mcutrain.host.record.states import region_of, state_hash
from mcutrain.host.record.walk import Walk
from mcutrain.host.record.writer import RecordWriter
from mcutrain.host.training.dataset import Dataset, load_dataset
from mcutrain.host.training.job import Outcome, TrainingJob, asked_job
from mcutrain.host.training.keeping import Keeper
from mcutrain.host.training.leaving_out import LeftOut, without
from mcutrain.host.training.reporter import SILENT, Reporter
from mcutrain.host.training.run import run_job
from mcutrain.host.training.state import save_state
from mcutrain.trainer.errors import Error
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.training_plan import TrainingPlan

MOST = 1_000_000  # epochs, or replays of a sample, that a record can ask for
MOST_STEPS = 1_000_000  # that it can ask for, if it has not many itself
MOST_MORE = 100  # times the steps that it has, as the guard may have stopped the run early


@dataclass(frozen=True)
class UnlearnJob:
    """What is asked: to write ``save``, and ``new_record`` if it is given."""

    record: Path
    data: Path
    left_out: LeftOut
    save: Path
    new_record: Path | None = None
    model: Path | None = None
    unclaimed: bool = False


@dataclass(frozen=True)
class Repeated:
    """A decision that was made again: what it was with the samples, and what it is without."""

    what: str
    before: Any
    after: Any


@dataclass
class Unlearned:
    """What came of it; ``reasons`` say why it is not claimed that the samples were never seen."""

    job: UnlearnJob
    outcome: Outcome
    state: bytes  # SHA-256
    steps: int  # that were taken
    left_steps: int  # that were not
    repeated: list[Repeated] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def claims(self) -> bool:
        return not self.reasons

    def to_json(self) -> dict[str, Any]:
        return {
            "record": str(self.job.record),
            "without": {split: list(numbers) for split, numbers in self.job.left_out.parts()},
            "never_saw_them": self.claims,
            "not_repeated": self.reasons,
            "repeated": [vars(each) for each in self.repeated],
            "steps": self.steps,
            "steps_left_out": self.left_steps,
            "save": str(self.job.save),
            "new_record": None if self.job.new_record is None else str(self.job.new_record),
            "state_sha256": self.state.hex(),
            "before": self.outcome.result.before,
            "after": self.outcome.result.after,
            "notes": self.notes,
        }


def run_unlearn(job: UnlearnJob, reporter: Reporter = SILENT) -> Unlearned:
    """Learn again without the samples. Raises Error; also for what cannot be claimed, unless the
    job says that it need not."""
    walk = Walk(job.record)
    for _ in walk:
        pass
    header = walk.header.at(job.record, job.model)
    outputs = {"--save": job.save, "--record": job.new_record}
    written = [NamedFile(name, path, Role.WRITTEN) for name, path in outputs.items() if path]
    check_files([NamedFile("MODEL", header.request.model, Role.READ), *written])
    plan = header.plan()
    with reporter.working(f"reading {job.data}"):
        there = load_dataset(job.data, plan, header.reading)
    gone = gone_of(there, header)
    data = without(there, header.left_out, gone)
    required(data, header, job.data)
    check_length(job, walk, data)
    without(there, header.left_out.joined(job.left_out), gone)  # which says if there are none such
    reasons = list(reasons_not_to_claim(job.left_out, header, data))
    if reasons and not job.unclaimed:
        raise Error(
            f"it cannot be claimed that the new state never saw the samples: {'; '.join(reasons)}; "
            "--unclaimed learns again without them, and does not claim it"
        )
    outcome = learned_again(job, header, plan, gone, reporter)
    taken = len(outcome.result.losses)
    return Unlearned(
        job, outcome, state_hash(outcome.plan, outcome.result.state), taken,
        outcome.result.steps - taken, list(decisions(header, outcome)), reasons,
        list(notes(walk, outcome)),
    )  # fmt: skip


def check_length(job: UnlearnJob, walk: Walk, data: Dataset) -> None:
    """Raises RecordError for a header that asks for far more steps than its run can have needed."""
    asked, samples = walk.header.asked, data.epoch_steps
    planned = samples * asked.integer("epochs", MOST)
    if walk.header.replay is not None:
        planned = samples * (1 + asked.integer("replay_ratio", MOST))
    steps = asked.maybe("steps", asked.integer)
    planned = planned if steps is None else min(planned, steps)
    if planned > max(MOST_STEPS, MOST_MORE * walk.steps):
        raise RecordError(
            f"{job.record}, line 1: it asks for {planned:,} steps, and its run took "
            f"{walk.steps:,}: train again without the samples instead, for as long as you wish"
        )


def reasons_not_to_claim(left_out: LeftOut, header: Header, data: Dataset) -> Iterator[str]:
    """By what else the samples may have reached the state."""
    if header.request.options.accumulate > 1:
        raise Error(
            f"with --accumulate {header.request.options.accumulate} several samples make one "
            "change together, from which none can be left out: train again without them"
        )
    if header.request.resumes or header.begin is not None:
        yield (
            f"the run began with a state of {header.first_step:,} steps, and this record does not "
            "say what those learned from: unlearn begins with the record of the first run"
        )
    elif header.request.leaves_state():
        yield (
            f"{header.request.model} holds what an earlier training learned, and this record does "
            "not say from what: begin with the model of before"
        )
    if (samples := header.request.read().calibration) is not None:
        yield (
            f"the ranges in {header.request.model} were calibrated with samples ({samples}): "
            "calibrate the original model again without these, and train it anew"
        )
    window, hop = header.reading.window, header.reading.hop
    if window is not None and hop is not None and hop < window:
        yield (
            f"windows overlap (--window {window}, --hop {hop}): rows of these samples are in the "
            "windows beside them, too"
        )
    yield from twins(left_out, header, data)


def twins(left_out: LeftOut, header: Header, data: Dataset) -> Iterator[str]:
    """Samples that stay, and are equal to one that is left out."""
    wanted: dict[bytes, str] = {}
    for split, numbers in left_out.parts():
        for number, sample in numbered_samples(split, header, data):
            if number in numbers:
                wanted[sample.tobytes()] = named(split, number)
    found = []
    for split in (*SPLITS, "old"):
        for number, sample in numbered_samples(split, header, data):
            is_out = number in getattr(left_out, split)
            if not is_out and (twin := wanted.get(sample.tobytes())) is not None:
                found.append(f"{named(split, number)} is equal to {twin}")
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        yield f"{', '.join(found[:3])}{more}: leave them out as well"


def numbered_samples(split: str, header: Header, data: Dataset) -> Iterator[tuple[int, Array]]:
    """The samples of a split with the numbers that they had at first."""
    x = getattr(data, f"x_{split}")
    if x is not None:
        earlier = getattr(header.left_out, split)
        numbers = np.setdiff1d(np.arange(len(x) + len(earlier)), earlier)
        yield from zip(numbers.tolist(), x, strict=True)


def named(split: str, number: int) -> str:
    return f"sample {number}" if split == "train" else f"sample {split}:{number}"


def learned_again(
    job: UnlearnJob, header: Header, plan: TrainingPlan, gone: LeftOut, reporter: Reporter
) -> Outcome:
    """The run of a header on the data without the samples. Raises Error."""
    recorder = None if job.new_record is None else RecordWriter(job.new_record)
    with tempfile.TemporaryDirectory() as folder:
        state = None
        if header.begin is not None:
            state = Path(folder) / "begin.npz"
            save_state(state, plan, region_of(plan, header.begin), header.request)
        asked = training_job(job, header, state)
        left_out = header.left_out.joined(job.left_out)
        asked = replace(asked, left_out=left_out, gone=gone)
        keeper = Keeper(job.save, None, recorder)
        outcome = run_job(asked, reporter, keeper)
    if keeper.failures:
        raise keeper.failures[0]
    return outcome


def training_job(job: UnlearnJob, header: Header, state: Path | None) -> TrainingJob:
    """The job that was asked for, in the reference. Raises RecordError for options that there are
    not."""
    asked = header.asked
    rate, augment = asked.maybe("lr", asked.number), asked.maybe("augment", asked.text)
    epochs = None if header.replay is not None else asked.integer("epochs", MOST)
    try:
        return asked_job(
            header.request.but(absent=asked.text("absent")), job.data, REFERENCE,
            epochs=epochs, steps=asked.maybe("steps", asked.integer),
            lr=AUTO if rate is None else repr(rate), lr_minutes=asked.number("lr_minutes"),
            schedule=asked.text("schedule"), seed=header.seed, balance=asked.text("balance"),
            augment=augment, guard=asked.flag("guard"),
            guard_minutes=asked.number("guard_minutes"), patience=asked.integer("patience"),
            replay=asked.maybe("replay", asked.integer),
            replay_ratio=asked.integer("replay_ratio", MOST), reading=header.reading, state=state,
            save=job.save,
        )  # fmt: skip
    except RecordError:
        raise
    except Error as err:
        raise RecordError(f"{job.record}, line 1: {err}") from err


def decisions(header: Header, outcome: Outcome) -> Iterator[Repeated]:
    """What was decided again, with the samples and without."""
    assert outcome.data is not None
    before, after = (
        summed_up(header.decisions.values),
        summed_up(decisions_json(outcome.job, outcome.plan, outcome.data)),
    )
    for what, value in after.items():
        if value is not None or before[what] is not None:
            yield Repeated(what, before[what], value)
    if header.augment is not None:
        yield Repeated("augmentation", header.augment, "spread and partners of what is left")
    if outcome.result.guarded is not None:
        best = outcome.result.guarded.curve[outcome.result.guarded.best][0]
        yield Repeated("best state", None, f"that after step number {best}")


def summed_up(decisions: Any) -> dict[str, Any]:
    """Decisions of a header by what they are called for people; None for what was not decided."""
    rate, folds = decisions.get("rate"), decisions.get("folds")
    return {
        "learning rate": rate["chosen"] if rate and rate.get("tried") else None,
        "folds say that training helps": not folds["rolled_back"] if folds else None,
        "balance": decisions.get("balance"),
        "classes with samples": decisions.get("present_classes"),
        "classes without": decisions.get("absent_classes") or None,
        "validation samples": decisions.get("validation_samples") or None,
        "input shifts": "found" if decisions.get("input_shifts") else None,
    }


def notes(walk: Walk, outcome: Outcome) -> Iterator[str]:
    """What a user would want to know beside."""
    header = walk.header
    if walk.end is None:
        yield "the record has no end, since its run was cut: the new run goes on to its end"
    elif walk.steps < outcome.result.steps and outcome.job.decision is None:
        yield f"the run ended after {walk.steps:,} of its steps: the new one takes all of them"
    if outcome.job.decision is not None and not outcome.job.decision.helps:
        yield "without the samples the folds say that training does not help: nothing is learned"
    if (rate := header.asked.maybe("lr", header.asked.number)) is not None:
        yield f"the learning rate {rate:g} was given by a person, and is taken as given"
    if "flash_latents" in header.asked:
        yield "a firmware with --flash-latents keeps latents of samples: build it without them"
    yield (
        "the old record, its data and what was saved or flashed of it still know the samples: "
        "delete them, too"
    )
