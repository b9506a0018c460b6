# SPDX-License-Identifier: Apache-2.0
"""What a smaller model is worth: right or wrong where labels are, and how far it agrees with the
original everywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mcutrain.host.request import Request
from mcutrain.host.shrinking.inputs import Inputs
from mcutrain.host.training.evaluation import evaluation, predicted_of
from mcutrain.host.training.in_process import in_process_runner
from mcutrain.host.training.runner import answer
from mcutrain.host.training.tail import MEMORY_OPTIONS
from mcutrain.trainer.chip import GENERIC
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.model import Model

# A head that the user asks for is untrained: what a file knows is judged without it.
OF_A_NEW_HEAD = ("classes", "spare_classes", "absent", "class_weights")


@dataclass(frozen=True)
class Outputs:
    """What a model makes of N inputs: ``real`` (N, output size) float64, the class of each input,
    or of each of its positions, (N, ...) or None without classes; with labels the share that is
    right, or the mean squared error."""

    real: Array
    predicted: Array | None
    accuracy: float | None = None
    mse: float | None = None


@dataclass(frozen=True)
class Quality:
    """Of held-out inputs: the share that is right, or the mean squared error, where there are
    labels or targets; ``agreement`` with the original, the share of the same class, or of its
    outputs' variance that the smaller model's explain."""

    accuracy: float | None
    mse: float | None
    agreement: float

    @property
    def score(self) -> float:
        """The greater the better: accuracy where it is known, else agreement."""
        return self.agreement if self.accuracy is None else self.accuracy

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def has_new_head(request: Request) -> bool:
    """Whether the model's own classes are not those that are trained."""
    return request.options.classes is not None


def plain(request: Request) -> Request:
    """The request for what the file's own network computes, on this computer."""
    there = [name for name in OF_A_NEW_HEAD if name in request.given]
    found = request.on(GENERIC).without([*there, *MEMORY_OPTIONS])
    return found.but(update="head", accumulate=1)


def outputs_of(
    request: Request,
    model: Model,
    inputs: Inputs,
    labelled: bool,
    report: Callable[[int], None] = lambda done: None,
) -> Outputs:
    """What ``model`` makes of the held-out inputs; with their labels if those are of its classes.
    Raises Error."""
    plan = plain(request).plan_of(model, thorough=False)
    x, y = inputs.held_x, inputs.held_y
    with in_process_runner(plan, len(x)) as runner:
        runner.reset(0)
        found = []
        for sample in x:
            found.append(answer(plan, runner, sample))
            report(len(found))
    logits = plan.task.logits.type
    codes = np.stack([each.output.reshape(-1) for each in found]).astype(np.float64)
    real = (codes - logits.zero_point) * logits.scale
    predicted = np.stack([predicted_of(plan, each) for each in found]) if plan.classes else None
    has_targets = plan.task.target is None or (labelled and y is not None)
    if not has_targets:
        return Outputs(real, predicted)
    wanted = np.zeros((len(x), 0), np.int8) if y is None else y
    judged = evaluation(plan, x, wanted, 0, found)
    if plan.classes:
        return Outputs(real, predicted, judged.accuracy)
    return Outputs(real, None, None, judged.loss)


def quality(original: Outputs, smaller: Outputs) -> Quality:
    """Of a smaller model's outputs beside the original's."""
    if original.predicted is not None and smaller.predicted is not None:
        agreement = float((original.predicted == smaller.predicted).mean())
    else:
        spread = float(((original.real - original.real.mean(axis=0)) ** 2).sum())
        missed = float(((original.real - smaller.real) ** 2).sum())
        agreement = max(0.0, 1.0 - missed / max(spread, 1e-12))
    return Quality(smaller.accuracy, smaller.mse, agreement)
