# SPDX-License-Identifier: Apache-2.0
"""The samples that validate a training run: held out of the training samples, and scored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mcutrain.host.training.dataset import Dataset
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import target_of_input
from mcutrain.trainer.training_plan import TrainingPlan

SHARE = 0.2  # of the training samples, held out unless another share is given
LEAST = 2  # held-out samples of each class; with fewer the guard is off unless asked for


def held_out(
    plan: TrainingPlan, data: Dataset, seed: int, share: float | None = None
) -> tuple[Dataset, str]:
    """The data with validation samples, and why it has none, or "".

    Its own are taken as they are. Else ``share`` of the training samples of each class is drawn
    by ``seed``: the same ones for the same seed, so that a run that goes on holds out what it
    never trained on. Without ``share`` it is SHARE, if that gives LEAST of each class.
    Raises DataError for a share that leaves nothing to validate with or to train on.
    """
    if data.x_val is not None:
        if share is not None:
            raise DataError("the data set has an x_val of its own: leave --validation out")
        return data, ""
    if share is not None and not 0 < share < 1:
        raise DataError(f"--validation is a share between 0 and 1, not {share:g}")
    strata = [np.flatnonzero(same) for same in classes_of(plan, data)]
    counts = [int(len(members) * (SHARE if share is None else share)) for members in strata]
    if share is None and min(counts) < LEAST:
        fewest = min(map(len, strata))
        return data, (
            f"{fewest} training samples{' of a class' if plan.takes_label else ''} are too few to "
            f"hold out {LEAST}; give --validation or x_val"
        )
    if share is not None:
        counts = [min(max(1, c), len(s) - 1) for c, s in zip(counts, strata, strict=True)]
    rng = np.random.default_rng([seed, 0, 1])  # not the numbers that order an epoch
    drawn = [rng.permutation(s)[:c] for c, s in zip(counts, strata, strict=True)]
    chosen = np.sort(np.concatenate(drawn))
    if not len(chosen):
        raise DataError(
            "no training sample can be held out: each class has only one; give x_val or --no-guard"
        )
    left = np.setdiff1d(np.arange(len(data.x_train)), chosen)
    x, y = data.x_train, data.y_train
    kept = replace(data, x_train=x[left], y_train=y[left], x_val=x[chosen], y_val=y[chosen])
    return kept, ""


def classes_of(plan: TrainingPlan, data: Dataset) -> list[Array]:
    """Which training samples are of each class that has some; all are of one without labels."""
    if not plan.takes_label:
        return [np.ones(len(data.x_train), bool)]
    return [data.y_train == label for label in np.unique(data.y_train)]


def judged_output(
    plan: TrainingPlan, sample: Array, target: Array, logits: Array, classes: int
) -> tuple[bool, float]:
    """(whether the class is right, the loss in real units) of one output int8.

    ``classes`` are in use. Without classes nothing is right.
    """
    if not plan.takes_label:
        return False, squared_error(plan, sample, target, logits)
    in_use = () if plan.task.active is None else (np.array([classes], np.uint32),)
    label = np.array([target], np.uint32)
    assert plan.task.predicted is not None
    prediction = plan.graph.producer(plan.task.predicted)
    assert prediction is not None
    (predicted,) = prediction.op.reference(prediction, logits, *in_use)
    *_, record = plan.task.loss.op.reference(plan.task.loss, logits, label, *in_use)
    return int(predicted[0]) == int(target), plan.real_loss(record)


def squared_error(plan: TrainingPlan, sample: Array, target: Array, output: Array) -> float:
    """The loss of one output, in real units."""
    if plan.task.target is None:
        target = target_of_input(plan, sample).reshape(-1)
    difference = output.astype(np.int64) - target
    return plan.real_loss(np.array([int((difference**2).sum()), 0]))
