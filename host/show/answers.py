# SPDX-License-Identifier: Apache-2.0
"""What a report shows of the test samples: which are answered wrongly, and how they look."""

from __future__ import annotations

from typing import Any

import numpy as np

from mcutrain.host.show.drawings import drawing
from mcutrain.host.training.evaluation import Evaluation
from mcutrain.host.training.job import Outcome

MOST_SHOWN = 24  # samples: more take room, and say little more


def answers_of(outcome: Outcome) -> dict[str, Any] | None:
    """The worst test samples after training, drawn; None where they were not looked at.

    Of a classifier these are the samples of a wrong class, by their loss. Of all else they are
    those with the greatest squared error.
    """
    before, after = outcome.result.evaluation_before, outcome.result.evaluation_after
    if after is None or outcome.data is None:
        return None
    wrong = len(after) - int(after.right.sum())
    shown = after.worst(min(MOST_SHOWN, wrong if after.labels is not None else len(after)))
    return {
        "samples": len(after),
        "wrong": wrong if after.labels is not None else None,
        **changed(before, after),
        "shown": [sample_of(outcome, before, after, k) for k in shown],
    }


def changed(before: Evaluation | None, after: Evaluation) -> dict[str, int | None]:
    """How many samples training made right, and how many wrong."""
    if before is None or after.labels is None:
        return {"gained": None, "lost": None}
    return {
        "gained": int(np.sum(after.right & ~before.right)),
        "lost": int(np.sum(before.right & ~after.right)),
    }


def sample_of(
    outcome: Outcome, before: Evaluation | None, after: Evaluation, k: int
) -> dict[str, Any]:
    assert outcome.data is not None
    found: dict[str, Any] = {
        "index": k,
        "loss": float(after.losses[k]),
        "loss_before": None if before is None else float(before.losses[k]),
        **drawing(outcome.data.x_test[k], outcome.plan.task.input.type.shape),
    }
    if after.labels is not None and after.predicted is not None:
        found |= {"label": after.name_of(int(after.labels[k]))}
        found |= {"predicted": after.name_of(int(after.predicted[k]))}
        if before is not None and before.predicted is not None:
            found |= {"predicted_before": before.name_of(int(before.predicted[k]))}
    return found
