# SPDX-License-Identifier: Apache-2.0
"""Latents of a data set as constants of a build: old samples to replay without a host."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mcutrain.trainer.training_plan import TrainingPlan


def with_flash_latents(plan: TrainingPlan, path: Path | None) -> TrainingPlan:
    """The plan with the latents of the old samples in ``path`` (load_old) in flash, if given; what
    is to be said of them joins the plan's notes.

    Raises ModelError for a plan without a latent, DataError for a file that does not fit it.
    """
    if path is None:
        return plan
    import numpy as np

    from mcutrain.host.training.dataset import load_old
    from mcutrain.host.training.tail import latents
    from mcutrain.trainer.latent import FlashLatents

    plan.check_latent(f"--flash-latents {path}")
    x, y, notes = load_old(path, plan)
    labels = y if plan.takes_label else np.zeros(len(x), np.int64)  # a loss has below 2^16
    flash = FlashLatents(x, latents(plan, x), labels.astype(np.uint16))
    return replace(plan.with_flash_latents(flash), notes=(*plan.notes, *notes))
