# SPDX-License-Identifier: Apache-2.0
"""How near a model comes to another on inputs that nobody has labelled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mcutrain.host.training.in_process import in_process_runner
from mcutrain.trainer.chip import GENERIC
from mcutrain.trainer.errors import ModelError, SchemeError
from mcutrain.trainer.formats import INT8, MAX_ACCUMULATE
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.losses import with_logits_of
from mcutrain.trainer.model import Model, forward, trim
from mcutrain.trainer.ops.pixelwise_cross_entropy import candidate_rows
from mcutrain.trainer.options import (
    CROSS_ENTROPY,
    DEFAULT_OPTIONS,
    INPUTS,
    PIXELWISE,
    SQUARED_ERROR,
    PlanOptions,
    Scheme,
)
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.sequence import planned_part
from mcutrain.trainer.training_plan import TrainingPlan


@dataclass(frozen=True)
class Fidelity:
    """Of ``inputs`` inputs: the mean squared difference of the outputs, in squared real units, and
    the share of the classes that are the same; None where outputs are no classes."""

    inputs: int
    squared_error: float
    agreement: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "inputs": self.inputs,
            "squared_error": self.squared_error,
            "agreement": self.agreement,
        }


@dataclass(frozen=True)
class Compared:
    """int8 outputs (N, size) of the type ``kind`` beside those that are wanted."""

    found: Array
    wanted: Array
    kind: TensorType
    has_classes: bool

    @property
    def is_same_class(self) -> Array:
        """(N,) or (N * positions,) bool."""
        found, wanted = (
            candidate_rows(outputs, self.kind).argmax(axis=1)
            for outputs in (self.found, self.wanted)
        )
        return np.asarray(found == wanted)

    @property
    def fidelity(self) -> Fidelity:
        difference = (self.found.astype(np.int64) - self.wanted) * self.kind.scale
        agreement = float(self.is_same_class.mean()) if self.has_classes else None
        return Fidelity(len(self.found), float((difference**2).mean()), agreement)

    def is_better_than(self, other: Compared) -> bool:
        """Whether the squared error is less, and no fewer classes are the same but by chance.

        Of the classes that are the same in one of the two alone, chance takes half, with a standard
        deviation of the root of their number; two of those are allowed (McNemar 1947).
        """
        if not self.fidelity.squared_error < other.fidelity.squared_error:
            return False
        if not self.has_classes:
            return True
        here, there = self.is_same_class, other.is_same_class
        gained, lost = (here & ~there).sum(), (there & ~here).sum()
        return bool(lost - gained <= 2 * np.sqrt(lost + gained))


def has_classes(options: PlanOptions) -> bool:
    """Whether outputs of a model that is trained so are classes."""
    return options.loss in (CROSS_ENTROPY, PIXELWISE)


def compared_part(model: Model, options: PlanOptions) -> Model:
    """The model up to the outputs that are compared: what its loss takes, so the logits before a
    SOFTMAX, or before the LOGISTIC of classes."""
    return trim(with_logits_of(model, options.loss))


def squares_plan(
    part: Model, options: PlanOptions, scheme: str | Scheme, *, as_gradients: bool = False
) -> TrainingPlan:
    """The plan that teaches a ``compared_part`` outputs of its own type, here; or that sums its
    steps ``as_gradients``, for ``HostAdam``. Raises ModelError or SchemeError."""
    asked = replace(
        DEFAULT_OPTIONS,
        update=scheme,
        loss=SQUARED_ERROR,
        headroom=1,  # its outputs are the model's own, and what it learns goes back into its quanta
        sequence_length=options.sequence_length,
    )
    if as_gradients:
        asked = replace(asked, weights=INT8, accumulate=MAX_ACCUMULATE, precondition=INPUTS)
    return make_plan(part, asked, GENERIC, thorough=False)


def outputs_of(model: Model, inputs: Array, options: PlanOptions) -> Array:
    """(N, size) int8: the outputs that are compared, of inputs (N, input size) int8."""
    part = compared_part(model, options)
    try:
        plan = squares_plan(part, options, "head")
    except (ModelError, SchemeError):  # nothing of it can learn
        return in_reference(part, inputs, options)
    with in_process_runner(plan, len(inputs)) as runner:
        runner.reset(0)
        return np.stack([runner.infer(sample).reshape(-1) for sample in inputs])


def in_reference(part: Model, inputs: Array, options: PlanOptions) -> Array:
    """The same in NumPy."""
    planned = planned_part(part, options)
    shape = planned.input.type.shape
    found = [forward(planned, sample.reshape(shape))[planned.logits] for sample in inputs]
    return np.stack(found).reshape(len(inputs), -1)
