# SPDX-License-Identifier: Apache-2.0
"""What each channel of each activation is in the mean: what a channel that leaves gives to the
biases of its readers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mcutrain.host.shrinking.walk import Walk, some_of
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.model import Model

AT_ONCE = 32  # inputs whose activations are held together
MOST_INPUTS = 300  # a mean of more differs little


def channel_means(
    model: Model, inputs: Array, done: Callable[[int, int], None] = lambda done, total: None
) -> dict[Tensor, Array]:
    """(C,) float64 by activation: the mean of the int8 values of each channel, the last axis, over
    all positions of the ``inputs`` (N, input size) int8, of which up to MOST_INPUTS are drawn.
    Of a model that keeps states an input may be several that follow each other; each is taken for
    itself, from the initial states. ``done`` is told (inputs, of how many)."""
    inputs = some_of(model, inputs.reshape(-1, model.input.type.size), MOST_INPUTS)
    sums: dict[Tensor, Array] = {}
    for first in range(0, len(inputs), AT_ONCE):
        walk = Walk(model, inputs[first : first + AT_ONCE])
        add_sums(sums, model.input, walk.values[model.input])
        for node in model.graph.nodes:
            walk.run(node)
            for tensor in node.outputs:
                if tensor in walk.values:
                    add_sums(sums, tensor, walk.values[tensor])
        done(min(first + AT_ONCE, len(inputs)), len(inputs))
    positions = {t: len(inputs) * t.type.size // t.type.shape[-1] for t in sums}
    return {tensor: total / positions[tensor] for tensor, total in sums.items()}


def add_sums(sums: dict[Tensor, Array], tensor: Tensor, values: Array) -> None:
    """Add the values (N, *shape) to the sums of their channels."""
    found = values.reshape(-1, tensor.type.shape[-1]).sum(axis=0, dtype=np.int64)
    sums[tensor] = sums[tensor] + found if tensor in sums else found
