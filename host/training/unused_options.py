# SPDX-License-Identifier: Apache-2.0
"""Options of a training that its other options, or its data, leave nothing to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mcutrain.host.defaults import GUARD_MINUTES, PATIENCE, RATE_MINUTES, RATIO
from mcutrain.trainer.notes import NOTE, Note

if TYPE_CHECKING:
    from mcutrain.host.training.dataset import Dataset
    from mcutrain.host.training.job import TrainingJob


def unused_notes(job: TrainingJob, data: Dataset) -> Iterator[Note]:
    """A note for each option that was given, has a value of its own, and is not used."""
    options = job.options
    validates = "the guard looks at no x_val"
    no_val = None
    if not options.guard:
        no_val = f"{validates} with --no-guard"
    elif data.x_val is None:
        no_val = f"{validates}, since the data have none"
    no_folds = None
    if not options.guard:
        no_folds = "there is no guard with --no-guard"
    elif data.x_val is not None:
        no_folds = "the guard looks at x_val, and trains no folds"
    given = None if options.rate is None else f"--lr {options.rate:g} is given"
    alone = None if job.replay is not None else "there is no buffer without --replay SLOTS"
    for option, value, default, why in (
        ("patience", options.patience, PATIENCE, no_val),
        ("validate-on", options.validate_on, "device", no_val),
        ("guard-minutes", job.guard_minutes, GUARD_MINUTES, no_folds),
        ("lr-minutes", job.rate_minutes, RATE_MINUTES, given),
        ("replay-ratio", job.replay_ratio, RATIO, alone),
    ):
        if why is not None and value != default:
            text = f"--{option} {value} is not used: {why}"
            yield Note(option, "not used", 0.0, text, NOTE)
