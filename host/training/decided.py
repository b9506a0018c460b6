# SPDX-License-Identifier: Apache-2.0
"""What was found before the first step of a run, for its checkpoint: so nothing is looked for
twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from mcutrain.host.training.checkpoint_file import MISFORMED, Checkpoint
from mcutrain.host.training.fold_decision import FoldDecision, Judged
from mcutrain.host.training.job import TrainingJob
from mcutrain.host.training.rate_choice import RateChoice, Tried
from mcutrain.host.training.time_budget import TimeBudget

SETTLED = ("epochs", "steps", "rate", "guard")  # of TrainingOptions


def decided_of(job: TrainingJob) -> dict[str, Any]:
    """As JSON; ``job`` is settled."""
    decision = job.decision
    return {
        "options": {name: getattr(job.options, name) for name in SETTLED},
        "rate": None if job.rate is None else asdict(job.rate),
        "unguarded": job.unguarded,
        "budget": None if job.budget is None else asdict(job.budget),
        "decision": None if decision is None else of_decision(decision),
    }


def of_decision(decision: FoldDecision) -> dict[str, Any]:
    found = {name: value for name, value in vars(decision).items() if name not in ("classes",)}
    for name in ("before", "after"):
        judged = found[name]
        found[name] = {"right": judged.right.tolist(), "loss": judged.loss.tolist()}
    return found | {
        "classes": [[label, count] for label, count in decision.classes.items()],
        "absent": list(decision.absent),
    }


def settled_by(job: TrainingJob, checkpoint: Checkpoint) -> TrainingJob:
    """The job with what the checkpoint's run has found. Raises DataError."""
    told: Any = checkpoint.decided
    try:
        rate, budget, decision = told["rate"], told["budget"], told["decision"]
        if rate is not None:
            tried = tuple(Tried(**each) for each in rate["tried"])
            rate = RateChoice(**{**rate, "tried": tried})
        options = replace(job.options, **{name: told["options"][name] for name in SETTLED})
        return replace(
            job, options=options, rate=rate, unguarded=str(told["unguarded"]),
            budget=None if budget is None else TimeBudget(**budget),
            decision=None if decision is None else decision_of(decision),
        )  # fmt: skip
    except MISFORMED as err:
        raise checkpoint.damaged(f"what was found before the first step: {err!r}") from err


def decision_of(told: Mapping[str, Any]) -> FoldDecision:
    found: dict[str, Any] = dict(told)
    for name in ("before", "after"):
        right, loss = told[name]["right"], told[name]["loss"]
        found[name] = Judged(np.array(right, bool), np.array(loss, np.float64))
    found["classes"] = {int(label): int(count) for label, count in told["classes"]}
    return FoldDecision(**found)
