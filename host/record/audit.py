# SPDX-License-Identifier: Apache-2.0
"""`mcutrain audit`: whether a record proves the state that it ends in, or another that is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mcutrain.host.defaults import BAUD
from mcutrain.host.keys import Keys
from mcutrain.host.record.errors import DisprovedError, RecordError
from mcutrain.host.record.header import Header
from mcutrain.host.record.lines import Step
from mcutrain.host.record.replaying import Parted, Replay
from mcutrain.host.record.samples import Samples, load_data, other_arrays
from mcutrain.host.record.walk import Walk
from mcutrain.host.training.export import exported_state
from mcutrain.host.training.learned import learned_state, planned_on
from mcutrain.host.training.progress import Progress
from mcutrain.host.training.reporter import SILENT, Reporter
from mcutrain.host.training.runners import connected
from mcutrain.host.training.state import SavedState
from mcutrain.host.training.verify import Verifier
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.interpreter import unpack_state
from mcutrain.trainer.training_plan import TrainingPlan

OF_RECORD = "the state that the record ends in"


@dataclass(frozen=True)
class AuditJob:
    """What is asked: ``state`` is an .npz that `--save` wrote or a model file that `export` wrote,
    ``port`` a board; without them the record is compared with its own end."""

    record: Path
    data: Path
    model: Path | None = None
    state: Path | None = None
    port: str | None = None
    baud: int = BAUD
    keys: Keys | None = None  # of the board


@dataclass
class Audited:
    """What came of it: ``failure`` is "" if the record proves the state."""

    job: AuditJob
    kept_by: str = ""  # who kept the chain
    steps: int = 0  # that were taken again
    head: bytes = b""
    ended: bool = False
    failure: str = ""
    of: str = OF_RECORD
    notes: list[str] = field(default_factory=list)

    @property
    def proves(self) -> bool:
        return not self.failure

    def to_json(self) -> dict[str, Any]:
        return {
            "record": str(self.job.record),
            "proves": self.proves,
            "state": self.of,
            "failure": self.failure or None,
            "steps": self.steps,
            "chain": self.head.hex() or None,
            "kept_by": self.kept_by or None,
            "ended": self.ended,
            "notes": self.notes,
        }


def run_audit(job: AuditJob, reporter: Reporter = SILENT) -> Audited:
    """Follow the lines, take every step again in the reference, and compare the end. Raises Error
    where that cannot be begun; what is not proved is a ``failure``."""
    found = Audited(job)
    try:
        steps = checked_lines(job, found, reporter)
        audit_replay(job, found, steps, reporter)
    except (RecordError, DisprovedError) as err:
        found.failure = str(err)
    return found


def checked_lines(job: AuditJob, found: Audited, reporter: Reporter) -> int:
    """Follow the chain alone, which needs neither model nor data; the steps there are."""
    walk = Walk(job.record)
    found.kept_by = walk.header.kept_by
    with reporter.working(f"reading {job.record}") as update:
        for number, _ in walk:
            if number % 10_000 == 0:
                update(f"reading {job.record}: {number:,} lines")
    found.head, found.ended = walk.head, walk.end is not None
    if walk.end is None:
        found.notes.append(
            f"the record has {walk.steps:,} steps and no end: the run was cut, or goes on; what "
            "is proved is its beginning"
        )
    return walk.steps


def audit_replay(job: AuditJob, found: Audited, steps: int, reporter: Reporter) -> None:
    """Raises Error; RecordError and DisprovedError for what is not proved."""
    walk = Walk(job.record)
    walk.header = walk.header.at(job.record, job.model)
    plan = walk.header.plan()
    with reporter.working(f"reading {job.data}"):
        data = load_data(job.data, walk.header, plan)
    if others := list(other_arrays(data, walk.header)):
        found.notes.append(
            f"{', '.join(others)} of {job.data} differ from the run's: each step's own sample is "
            "compared nevertheless"
        )
    replay = Replay(walk, plan, Samples(walk.header, plan, data))
    try:
        with reporter.training(plan) as report:
            for taken in replay.run():
                found.steps += 1
                report(Progress("audit", found.steps, steps, taken.loss.real(plan)))
    except DisprovedError as err:
        if job.port is None or replay.parted is None:
            raise
        raise DisprovedError(f"{err}; {located(job, walk.header, plan, replay.parted)}") from None
    compare_with_given(job, found, walk.header, plan, replay)


def located(job: AuditJob, header: Header, plan: TrainingPlan, parted: Parted) -> str:
    """Where in a step the board at the port differs from the reference now: it runs the step call
    by call, and gets back what it has learned. Raises Error."""
    assert job.port is not None
    plans = partial(planned_on, header.request, None)
    with connected(job.port, plans, job.baud, job.keys) as runner:
        device, learned = runner.device, learned_state(runner)
        verifier = Verifier(runner.plan, header.seed)
        before = on_plan(plan, parted.before, runner.plan)
        try:
            found = verifier.locate_step(device, before, parted.sample, parted.target)
        finally:
            runner.load(learned)
    return f"the board at {job.port} does not show it again" if found is None else str(found)


def on_plan(
    plan: TrainingPlan, values: Mapping[Tensor, Array], other: TrainingPlan
) -> dict[Tensor, Array]:
    """The state of a plan as that of another that computes the same."""
    return dict(zip(other.learning.state, (values[t] for t in plan.learning.state), strict=True))


def compare_with_given(
    job: AuditJob, found: Audited, header: Header, plan: TrainingPlan, replay: Replay
) -> None:
    """Compare the end with the state that is given, if one is."""
    if job.port is not None:
        found.of = f"the state of the board at {job.port}"
        return compare_with_port(job, found, header, plan, replay)
    if job.state is None:
        return None
    found.of = str(job.state)
    if job.state.suffix == ".tflite":
        return compare_with_model(job.state, found, header, plan, replay.state)
    saved = SavedState.read(job.state).state(plan)
    return compare(job, plan, unpack_state(plan, saved), replay.reference.state, found.of)


def compare(
    job: AuditJob,
    plan: TrainingPlan,
    given: Mapping[Tensor, Array],
    expected: Mapping[Tensor, Array],
    what: str,
) -> None:
    """Raises DisprovedError with the first tensor and element that differ."""
    for tensor in plan.learning.state:
        differs = np.argwhere(given[tensor] != expected[tensor])
        if len(differs):
            at = tuple(int(k) for k in differs[0])
            raise DisprovedError(
                f"{what} is not the record's: {tensor.name}[{', '.join(map(str, at))}] is "
                f"{int(given[tensor][at])}, and the steps of the record lead to "
                f"{int(expected[tensor][at])}; {len(differs)} elements of it differ"
                f"{stands(job, plan, given)}"
            )


def stands(job: AuditJob, plan: TrainingPlan, given: Mapping[Tensor, Array]) -> str:
    """Where in the record the chain value of a state stands, if the plan has one."""
    if plan.learning.chain is None:
        return ""
    head = given[plan.learning.chain].tobytes()
    for _, line in Walk(job.record):
        if isinstance(line, Step) and line.head == head:
            return f"; its chain value is the one after step {line.step} of the record"
    return f"; its chain value {head.hex()} is in no line of the record"


def compare_with_model(
    path: Path, found: Audited, header: Header, plan: TrainingPlan, state: bytes
) -> None:
    """An export is the state's if the state's export is that file."""
    given = path.read_bytes()
    exports = (exported_state(header.request, plan, state, how) for how in (True, False))
    if given not in exports:
        raise DisprovedError(
            f"{path} is not the export of the state that the steps of the record lead to"
        )


def compare_with_port(
    job: AuditJob, found: Audited, header: Header, plan: TrainingPlan, replay: Replay
) -> None:
    """Read what the board has learned, and compare it. Raises Error."""
    assert job.port is not None
    plans = partial(planned_on, header.request, None)
    with connected(job.port, plans, job.baud, job.keys) as runner:
        region, there = learned_state(runner), runner.plan
        given = on_plan(there, unpack_state(there, region), plan)
    compare(job, plan, given, replay.reference.state, found.of)
