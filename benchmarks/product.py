# SPDX-License-Identifier: Apache-2.0
"""What the product does where its user gives no options."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

from mcutrain.host.defaults import RATE_MINUTES
from mcutrain.host.training import bracket, counted_time, rate_search
from mcutrain.host.training.counted_time import MACS_PER_MINUTE
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.rate_search import find_rate
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.training_plan import TrainingPlan

RULE = (bracket, counted_time, rate_search)  # the modules that decide the rate


def found_rate(
    plan: TrainingPlan, prefix_macs: int, data: Dataset, options: TrainingOptions
) -> float:
    """The learning rate of a run for which none is given.

    ``plan`` may begin behind a frozen prefix of ``prefix_macs``, and ``data`` hold what it puts
    out: the product computes that once for each sample, which counts in its budget.
    """
    prefix = len(data.x_train) * prefix_macs / MACS_PER_MINUTE
    minutes = RATE_MINUTES - prefix
    return find_rate(plan, data, options, lambda progress: None, minutes=minutes).chosen


def rule_digest() -> str:
    """Of the source of what finds the rate: with another rule, runs are others."""
    digest = hashlib.sha256()
    for module in RULE:
        digest.update(Path(inspect.getfile(module)).read_bytes())
    return digest.hexdigest()[:12]
