# SPDX-License-Identifier: Apache-2.0
"""Minutes that are counted in what is computed, so that what is done in them depends on no
computer's speed, and each finds the same."""

from __future__ import annotations

from mcutrain.trainer.training_plan import TrainingPlan

MACS_PER_MINUTE = 60 * 10**9
STEP_MACS = 50_000  # what a step takes beside its multiply-accumulates
LEAST_STEPS = 50  # of a training, even beyond the minutes: with fewer a loss says nothing


def steps_within(
    plan: TrainingPlan, trainings: int, steps: int, samples: int, minutes: float
) -> int:
    """How many of a run's ``steps`` each of some trainings may have."""
    budget = minutes * MACS_PER_MINUTE
    # The prefix runs once for each sample, whichever training meets it first.
    of_step = trainings * (plan.step_macs - plan.prefix_macs + STEP_MACS)
    most = budget / (of_step + plan.prefix_macs)
    if most > samples:
        most = (budget - samples * plan.prefix_macs) / of_step
    return min(steps, max(LEAST_STEPS, int(most)))


def counted_seconds(plan: TrainingPlan, trainings: int, steps: int, samples: int) -> float:
    """What trainings of so many steps each take on a computer that does MACS_PER_MINUTE."""
    of_step = plan.step_macs - plan.prefix_macs + STEP_MACS
    macs = trainings * steps * of_step + min(samples, steps) * plan.prefix_macs
    return 60 * macs / MACS_PER_MINUTE
