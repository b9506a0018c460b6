# SPDX-License-Identifier: Apache-2.0
"""What a training option gains: the rate of each side of a comparison, and the gap in pairs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable

import numpy as np

from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.progress import Progress
from mcutrain.host.training.rate_search import find_rate
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.training_plan import TrainingPlan

RATE_SEEDS = range(1000, 1003)  # of the data that rates are found with, and nothing is reported of


def quiet(progress: Progress) -> None:
    pass


def typical_rate(plan: TrainingPlan, data: Iterable[Dataset], options: TrainingOptions) -> float:
    """The middle one of those that `--lr auto` finds for each of ``data``, so that an option is
    judged as it is used, and not at the rate that suits a run without it."""
    found = [math.log2(find_rate(plan, each, options, quiet).chosen) for each in data]
    return float(2.0 ** statistics.median_low(found))


def gain(changed: Array, plain: Array, digits: int = 2) -> str:
    """The mean over pairs, with its standard error."""
    gained = changed - plain
    error = gained.std(ddof=1) / np.sqrt(len(gained))
    return f"{gained.mean():+.{digits}f} ± {error:.{digits}f}"
