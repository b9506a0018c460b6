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
from mcutrain.host.training.rates import MOST_RATE
from mcutrain.host.training.stored_values import flag, integer, loss, number, text
from mcutrain.host.training.time_budget import TimeBudget
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.errors import DataError

SETTLED = ("epochs", "steps", "rate", "guard")  # of TrainingOptions
MOST_STEPS = 2**32 - 1  # that a state can count
MOST_A_SECOND = 100_000  # steps, more than a host can ask a device for


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
    """The job with what the checkpoint's run has found. Raises DataError for what no run of the job
    can have found."""
    told: Any = checkpoint.decided
    try:
        rate = None if told["rate"] is None else rate_of(**told["rate"])
        budget = None if told["budget"] is None else budget_of(job, **told["budget"])
        decision = None if told["decision"] is None else decision_of(told["decision"])
        options = options_of(job, told["options"], rate, budget, decision)
        return replace(
            job, options=options, rate=rate, unguarded=text(told["unguarded"]), budget=budget,
            decision=decision,
        )  # fmt: skip
    except (*MISFORMED, DataError) as err:
        raise checkpoint.damaged(f"what was found before the first step: {err!r}") from err


def options_of(
    job: TrainingJob,
    told: Mapping[str, Any],
    rate: RateChoice | None,
    budget: TimeBudget | None,
    decision: FoldDecision | None,
) -> TrainingOptions:
    """The job's options as it was settled: what was asked for, but for what was to be found.
    Raises ValueError."""
    asked = job.options
    epochs, steps = asked.epochs, asked.steps
    if (budget is None) != (job.minutes is None):
        raise ValueError("minutes that were not asked for, or none")
    if budget is not None:
        epochs, steps = -(-budget.steps // budget.samples), budget.steps
    if decision is not None and not decision.helps:
        steps = 0
    guard, found = flag(told["guard"]), number(told["rate"], MOST_RATE)
    if (told["epochs"], told["steps"]) != (epochs, steps):
        raise ValueError(f"{told['epochs']!r:.24} epochs and {told['steps']!r:.24} steps")
    if (guard and not asked.guard) or (decision is not None and not asked.guard):
        raise ValueError("a guard that was not asked for")
    if found != (asked.rate if rate is None or asked.rate is not None else rate.chosen):
        raise ValueError(f"the rate {found:g}")
    return replace(asked, epochs=epochs, steps=steps, rate=found, guard=guard)


def rate_of(tried: Any, chosen: Any, first_loss: Any, learns: Any, **others: Any) -> RateChoice:
    """Raises ValueError, TypeError, LookupError."""
    choice = RateChoice(
        number(chosen, MOST_RATE),
        tuple(Tried(number(each["rate"], MOST_RATE), loss(each["loss"])) for each in tried),
        None if first_loss is None else loss(first_loss),
        learns=flag(learns),
        **others,
    )
    for steps in (choice.steps, choice.run_steps):
        integer(steps, MOST_STEPS)
    number(choice.seconds)
    flag(choice.compiled)
    if choice.tried and choice.first_loss is None:
        raise ValueError("trainings to find a rate, and no loss before them")
    return choice


def budget_of(job: TrainingJob, **told: Any) -> TimeBudget:
    """Raises ValueError, TypeError."""
    budget = TimeBudget(**told)
    if budget.minutes != job.minutes or job.minutes is None:
        raise ValueError(f"{budget.minutes!r:.24} minutes")
    integer(budget.steps, min(MOST_STEPS, int(60 * job.minutes * MOST_A_SECOND)), 1)
    integer(budget.samples, MOST_STEPS, 1)
    number(budget.seconds_per_step)
    return budget


def decision_of(told: Mapping[str, Any]) -> FoldDecision:
    """Raises ValueError, TypeError, LookupError."""
    found: dict[str, Any] = dict(told)
    for name in ("before", "after"):
        right, losses = told[name]["right"], told[name]["loss"]
        found[name] = Judged(np.array(right, bool), np.array(losses, np.float64))
    found["classes"] = {
        integer(label, MOST_STEPS): integer(count, MOST_STEPS) for label, count in told["classes"]
    }
    decision = FoldDecision(**found)
    before, after = decision.before, decision.after
    shapes = {each.shape for each in (before.right, before.loss, after.right, after.loss)}
    if len(shapes) != 1 or before.loss.ndim != 1 or not len(before.loss):
        raise ValueError(f"held-out samples of the shapes {sorted(shapes)}")
    if decision.metric not in ("accuracy", "loss", "mse"):
        raise ValueError(f"the metric {decision.metric!r:.24}")
    shortened = [] if decision.shortened is None else [decision.shortened]
    for count in (decision.trainings, decision.steps, *decision.absent, *shortened):
        integer(count, MOST_STEPS)
    number(decision.seconds)
    flag(decision.alike)
    return decision
