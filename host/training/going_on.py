# SPDX-License-Identifier: Apache-2.0
"""A job's checkpoints: the file that it goes on from is read, and compared with the job."""

from __future__ import annotations

from collections.abc import Callable

from mcutrain.host.training.checkpoint_file import (
    BEGIN_ANEW,
    FROM,
    Checkpoint,
    begins_as_checkpoint,
    read_checkpoint,
    state_arrays,
)
from mcutrain.host.training.checkpoints import Checkpoints
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.decided import decided_of, settled_by
from mcutrain.host.training.job import TrainingJob
from mcutrain.host.training.keeping import Keeper
from mcutrain.host.training.learned import FRESH, GO_ON
from mcutrain.host.training.reporter import Reporter
from mcutrain.host.training.run_identity import check_same, identity_of
from mcutrain.trainer.errors import Error
from mcutrain.trainer.training_plan import TrainingPlan

Settle = Callable[[TrainingJob], TrainingJob]


def checkpoints_of(
    job: TrainingJob, plan: TrainingPlan, data: Dataset, state: bytes | None, reporter: Reporter
) -> Checkpoints | None:
    """Those of a job that is prepared; None without. Raises Error for a file of another run."""
    if job.checkpoint is None:
        return None
    identity = identity_of(job, plan, data, state)
    found = None
    if job.beginning != FRESH and job.checkpoint.exists():
        found = read_checkpoint(job.checkpoint)
        check_same(job.checkpoint, found.identity, identity)
    elif job.checkpoint.exists() and not begins_as_checkpoint(job.checkpoint):
        raise Error(
            f"{job.checkpoint} is no checkpoint, and is not written over: give another file"
        )
    elif job.beginning == GO_ON and job.port is None:
        raise Error(f"--go-on: there is no checkpoint {job.checkpoint}: leave --go-on out")
    return Checkpoints(job.checkpoint, job.checkpoint_steps, identity, reporter.say, found)


def beginning(found: Checkpoint, plan: TrainingPlan) -> bytes | None:
    """The state that the run of a checkpoint began with; None for the plan's own."""
    return found.state(plan, FROM) if found.has(FROM) else None


def settled_once(
    job: TrainingJob,
    plan: TrainingPlan,
    state: bytes | None,
    keeper: Keeper,
    checkpoints: Checkpoints | None,
    settle: Settle,
) -> TrainingJob:
    """The job as ``settle`` gives it, or as its checkpoint says that it was settled."""
    if checkpoints is None:
        return settle(job)
    found = checkpoints.found
    job = settle(job) if found is None else settled_by(job, found)
    keeper.is_decided = job.decision is not None
    arrays = {} if state is None else state_arrays(plan, FROM, state)
    checkpoints.decide(decided_of(job), arrays)
    keeper.has_checkpoint = found is not None or checkpoints.written > 0
    if found is not None:
        checkpoints.say(told(found))
    return job


def told(found: Checkpoint) -> str:
    """What is said of a run that goes on."""
    reached = found.reached
    if reached is None:
        return f"{found.path}: the run goes on before its first step"
    steps, planned = reached["steps"], reached["planned"]
    if reached.get("is_finished"):
        return (
            f"{found.path}: the run had finished, in {steps:,} steps: nothing is trained, and what "
            f"it came to is written again; {BEGIN_ANEW}"
        )
    return f"{found.path}: the run goes on after {steps:,} of {planned:,} steps"
