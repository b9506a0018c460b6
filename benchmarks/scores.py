# SPDX-License-Identifier: Apache-2.0
"""How good outputs are, 100 at best: what the benchmarks compare, in points.

Each takes a plan, the outputs (N, outputs) of a data set's test samples in reals, and the data.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mcutrain.host.training.anomaly import area_under_curve
from mcutrain.host.training.dataset import Dataset
from mcutrain.trainer.graph.tensor import Array, QuantParams, TensorType
from mcutrain.trainer.interpreter import target_of_input
from mcutrain.trainer.training_plan import TrainingPlan

Score = Callable[[TrainingPlan, Array, Dataset], float]


def accuracy(plan: TrainingPlan, outputs: Array, data: Dataset) -> float:
    """Percent of samples whose first greatest logit is the label's; one alone is against 0."""
    classes = outputs.argmax(1) if outputs.shape[1] > 1 else outputs[:, 0] > 0
    return 100 * float(np.mean(classes == data.y_test))


def explained(plan: TrainingPlan, outputs: Array, data: Dataset) -> float:
    """Percent of the variance of the targets that is explained, in the mean over the outputs."""
    wanted = real(plan.task.logits.type, data.y_test)
    left = ((outputs - wanted) ** 2).mean(0) / wanted.var(0)
    return 100 * float(1 - left.mean())


def anomaly_auc(plan: TrainingPlan, outputs: Array, data: Dataset) -> float:
    """Area under the ROC curve, in percent: how often a sample with label 1 is reconstructed less
    well than one with label 0. Ties count half."""
    wanted = input_targets(plan, data.x_test)
    errors = ((outputs - real(plan.task.logits.type, wanted)) ** 2).mean(1)
    return 100 * area_under_curve(errors[data.y_test == 0], errors[data.y_test == 1])


def input_targets(plan: TrainingPlan, samples: Array) -> Array:
    """(N, outputs) int8: what a plan that reconstructs its input makes of samples (N, ...)."""
    found = []
    for sample in samples:
        key = plan.numerics_hash, sample.tobytes()
        if key not in _INPUT_TARGETS:
            _INPUT_TARGETS[key] = target_of_input(plan, sample).reshape(-1)
        found.append(_INPUT_TARGETS[key])
    return np.stack(found)


# By plan and sample: runs in a stack learn from the same ones over and over.
_INPUT_TARGETS: dict[tuple[bytes, bytes], Array] = {}


def real(type_: TensorType, q: Array) -> Array:
    """int8 values of a type in reals."""
    assert isinstance(type_.quant, QuantParams)
    return np.asarray((q.astype(np.float64) - type_.zero_point) * type_.scale)
