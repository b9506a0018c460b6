# SPDX-License-Identifier: Apache-2.0
"""How much of what a node reads is not 0: kernels of errors and updates pass over zeros."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mcutrain.host.prediction.calls import Executed, Part
from mcutrain.host.prediction.samples import SEED, random_samples
from mcutrain.trainer.graph.tensor import Array, DType, Role, Tensor
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.planner.channel_region import ChannelRegion
from mcutrain.trainer.training_plan import TrainingPlan

STEPS = 2  # a new head, all zeros, sends errors back from the second on
USUAL = 0.5  # where no step was computed

MOVING = (Role.INPUT, Role.ACTIVATION)
ERRORS = (DType.S8, DType.S16, DType.S32)

Densities = Mapping[Tensor, float]


@dataclass(frozen=True)
class Density:
    """The share that is not 0 of the errors that a node reads, and of the activations, 0 being
    their zero point."""

    errors: float = 1.0
    activations: float = 1.0


def traced(plan: TrainingPlan) -> Densities:
    """Of each tensor of a step in the steady state, which the reference computes on a random
    sample."""
    reference = Interpreter(plan, SEED)
    *taught, (sample, target) = random_samples(plan, STEPS)
    for each in taught:
        reference.step(*each)
    found: dict[Tensor, float] = {}
    for node, values in reference.trace(sample, target):
        if isinstance(node.op, ChannelRegion):
            values = {**values}
            node.op.run(values)  # for what only the region sees
        found |= {t: share(t, values[t]) for t in values.keys() - found.keys() if t.role in MOVING}
    return found


def share(tensor: Tensor, value: Array) -> float:
    quant = tensor.type.quant
    return float(np.count_nonzero(value != (0 if quant is None else quant.zero_point)) / value.size)


def density_of(each: Executed, known: Densities | None) -> Density:
    """Of a node, of the backward pass or an update; without ``known`` densities the usual ones."""
    if each.part is Part.FORWARD:
        return Density()
    moving = [t for t in each.node.inputs if t.role in MOVING]
    errors = [t for t in moving if t.type.quant is None and t.type.dtype in ERRORS]
    activations = [t for t in moving if t.type.quant is not None]
    table = {} if known is None else known
    error, activation = (
        table.get(found[0], USUAL) if found else 1.0 for found in (errors, activations)
    )
    return Density(error, activation)
