# SPDX-License-Identifier: Apache-2.0
"""What units are worth to classes that the model does not know yet.

What the old head makes of samples of other classes says little of what these need, and a new head
begins at zero: no error passes it. So a new head learns first, alone, and the labels score.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mcutrain.host.shrinking.distillation import weights_of
from mcutrain.host.shrinking.refitted import with_weights
from mcutrain.host.shrinking.scores import taylor_scores
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.in_process import in_process_runner
from mcutrain.host.training.loop import train
from mcutrain.host.training.rates import initial_rate
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import unpack_state
from mcutrain.trainer.model import Model, with_new_head
from mcutrain.trainer.options import CROSS_ENTROPY, PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.shrinking.groups import channel_groups

STEPS = 1000  # of the head: enough to tell classes apart


def with_learned_head(model: Model, classes: int, samples: Array, labels: Array) -> Model:
    """The model with a head of ``classes`` that learned ``samples`` (N, input size) int8, all else
    as it was. Raises ModelError as ``with_new_head``."""
    model = with_new_head(model, classes)
    plan = make_plan(model, PlanOptions("head", loss=CROSS_ENTROPY), thorough=False)
    epochs = -(-STEPS // len(samples))
    options = TrainingOptions(epochs, rate=initial_rate(plan), seed=0, steps=STEPS, tests=False)
    data = Dataset(samples, labels, samples[:0], labels[:0])
    with in_process_runner(plan, STEPS) as runner:
        train(plan, data, runner, options, lambda progress: None)
        state = unpack_state(plan, runner.state())
    return with_weights(model, weights_of(plan, state, model))


def new_head_scores(
    model: Model,
    classes: int,
    samples: Array,
    labels: Array,
    report: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, Array]:
    """As ``taylor_scores``, by ``labels`` (N,) of classes that a new head is for."""
    other = with_learned_head(model, classes, samples, np.asarray(labels))
    return taylor_scores(other, channel_groups(other), samples, labels, report=report)
