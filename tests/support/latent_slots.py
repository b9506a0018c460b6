# SPDX-License-Identifier: Apache-2.0
"""A plan for a chip of one memory, with room for latents: what ``latent_slots`` asks for."""

from __future__ import annotations

from dataclasses import replace

from mcutrain.trainer.training_plan import TrainingPlan


def with_slots(plan: TrainingPlan, slots: int) -> TrainingPlan:
    """As the plan would be if it had been asked for ``slots`` latents. ModelError without any."""
    assert not plan.chip.beside
    if slots:
        plan.check_latent(f"--latent-slots {slots}")
    return replace(plan, options=replace(plan.options, latent_slots=slots))
