# SPDX-License-Identifier: Apache-2.0
"""Scores samples that a state has not learned from."""

from __future__ import annotations

import numpy as np

from mcutrain.host.training.absent import all_seen
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import target_of_input, unpack_state
from mcutrain.trainer.training_plan import TrainingPlan


def classes_in_use(plan: TrainingPlan, state: bytes) -> int:
    """As the state counts them, spare ones left out; 0 if there are none to count."""
    return 0 if plan.task.active is None else int(unpack_state(plan, state)[plan.task.active][0])


def judged_output(
    plan: TrainingPlan, sample: Array, target: Array, logits: Array, classes: int
) -> tuple[bool, float]:
    """(whether the class is right, the loss in real units) of one output int8.

    ``classes`` are in use, all of which are candidates, whatever steps leave out. Without classes
    nothing is right.
    """
    if not plan.takes_label:
        return False, squared_error(plan, sample, target, logits)
    in_use = () if plan.task.active is None else (np.array([classes], np.uint32),)
    label = np.array([target], np.uint32)
    assert plan.task.predicted is not None
    prediction = plan.graph.producer(plan.task.predicted)
    assert prediction is not None
    (predicted,) = prediction.op.reference(prediction, logits, *in_use)
    found = plan.task.loss.op.reference(plan.task.loss, logits, label, *all_seen(plan), *in_use)
    return int(predicted[0]) == int(target), plan.real_loss(found[2])


def squared_error(plan: TrainingPlan, sample: Array, target: Array, output: Array) -> float:
    """The loss of one output, in real units."""
    if plan.task.target is None:
        target = target_of_input(plan, sample).reshape(-1)
    difference = output.astype(np.int64) - target
    return plan.real_loss(np.array([int((difference**2).sum()), 0]))
