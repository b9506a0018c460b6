# SPDX-License-Identifier: Apache-2.0
"""By how much the steps of weights are scaled behind each input channel (SPEC 1.5): a
preconditioner of plain SGD, found on the host from samples before the first step.

A weight's gradient is an error times the value that it multiplies. So the loss is steep along the
weights of channels with large values and flat along those of weak ones; one learning rate that the
steep ones stand leaves the flat ones behind. Steps in inverse proportion to a channel's mean
square, as a power of two, let all of them learn equally fast.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from mcutrain.host.training.runner import Runner
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.interpreter import Interpreter, pack_state, unpack_state
from mcutrain.trainer.ops.sgd import INPUT_SHIFT
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.training_plan import TrainingPlan

SAMPLES = 32  # whose values tell the mean squares
FLOOR = 1 / 32  # of the layer's mean: a weaker channel counts as having so much


class Loads(Protocol):
    """What takes up a state."""

    def load(self, state: bytes, /) -> None: ...


def set_input_shifts(plan: TrainingPlan, samples: Array, runner: Runner, *others: Loads) -> bool:
    """Give ``runner``, before its first step, the exponents that suit ``samples`` (N, ...) int8;
    and ``others`` that are in the same state; whether they have changed. Nothing is done where the
    plan has none."""
    if not plan.formats.has_input_shifts:
        return False
    before = runner.state()
    state = with_input_shifts(plan, samples, before)
    for each in (runner, *others) if state != before else ():
        each.load(state)
    return state != before


def with_input_shifts(plan: TrainingPlan, samples: Array, state: bytes) -> bytes:
    """The state with exponents that suit ``samples`` (N, ...) int8. It stays as it is where the
    plan has none, and where a training has begun: its exponents are part of what it is."""
    tensors = unpack_state(plan, state)
    shifts = plan.learning.companions.of(INPUT_SHIFT)
    has_begun = int(tensors[plan.learning.sgd][1]) > 0
    if not shifts or has_begun or any(tensors[shift].any() for shift in shifts.values()):
        return state
    chosen = np.linspace(0, len(samples) - 1, min(len(samples), SAMPLES)).astype(int)
    powers = mean_squares(Beginning.of(plan, state, samples[chosen]))
    for node, power in zip(learned_layers(plan), powers, strict=True):
        tensors[shifts[learned_of(node)]] = exponents(power)
    return pack_state(plan, tensors)


def learned_layers(plan: TrainingPlan) -> list[Node]:
    """Those whose weights learn, by operator."""
    shifts = plan.learning.companions.of(INPUT_SHIFT)
    layers = (node for node in plan.forward if isinstance(node.op, Weighted))
    return [node for node in layers if learned_of(node) in shifts]


def learned_of(node: Node) -> Tensor:
    """The weights of a layer that learn."""
    assert isinstance(node.op, Weighted)
    return node.op.split_inputs(node)[2]


@dataclass(frozen=True)
class Beginning:
    """What mean squares follow from, equal where the digest is."""

    digest: bytes
    plan: TrainingPlan = field(compare=False)
    state: bytes = field(compare=False)
    samples: Array = field(compare=False)

    @classmethod
    def of(cls, plan: TrainingPlan, state: bytes, samples: Array) -> Beginning:
        digest = hashlib.sha256(plan.numerics_hash + state + np.ascontiguousarray(samples).data)
        return cls(digest.digest(), plan, state, samples)


@functools.lru_cache(maxsize=1)  # the trainings of a search for a rate all begin alike
def mean_squares(begun: Beginning) -> list[Array]:
    """For each learned layer: (last axis of its learned weights,) mean square of what they
    multiply, in quanta, over the samples and positions."""
    plan, layers = begun.plan, learned_layers(begun.plan)
    reference = Interpreter(plan)
    reference.state = unpack_state(plan, begun.state)
    found = [
        [of_channels(node, values) for node in layers]
        for values in map(reference.outputs, begun.samples)
    ]
    return [np.mean(of_layer, axis=0) for of_layer in zip(*found, strict=True)]


def of_channels(node: Node, values: Mapping[Tensor, Array]) -> Array:
    """The same of one sample."""
    assert isinstance(node.op, Weighted)
    _, x, learned = node.op.split_inputs(node)
    width = learned.type.shape[-1]
    channels = x.type.shape[-1] if node.op.by_channel else width
    rows = values[x].astype(np.float64).reshape(-1, channels) - x.type.zero_point
    return np.repeat(np.mean(rows**2, axis=0), width // channels)


def exponents(power: Array) -> Array:
    """(C,) int8: of mean squares (C,), log2 of the layer's mean over each.

    >>> exponents(np.array([4.0, 1.0, 1.0, 0.0]))
    array([-1,  1,  1,  5], dtype=int8)
    """
    mean = float(np.mean(power))
    if mean == 0:
        return np.zeros(len(power), np.int8)
    return np.round(np.log2(mean / (power + FLOOR * mean))).astype(np.int8)
