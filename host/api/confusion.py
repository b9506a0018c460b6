# SPDX-License-Identifier: Apache-2.0
"""Which class the test samples of a run were taken for."""

from __future__ import annotations

import numpy as np

from mcutrain.host.training.dataset import load_dataset
from mcutrain.host.training.job import Outcome
from mcutrain.trainer.graph.tensor import Array


def confusion(outcome: Outcome, phase: str) -> Array | None:
    """(classes, classes) counts, "before" training or "after" it: a row for each true class, a
    column for each predicted one. None where the targets are no labels, or nothing was measured."""
    predicted = outcome.result.predicted.get(phase)
    if predicted is None:
        return None
    labels = load_dataset(outcome.job.data, outcome.plan).y_test
    found = np.zeros((outcome.plan.classes, outcome.plan.classes), np.int64)
    np.add.at(found, (labels, np.array(predicted)), 1)
    return found
