# SPDX-License-Identifier: Apache-2.0
"""The activations of many inputs, node by node, in the reference."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.model import Model

MOST_BYTES = 2**26  # of one activation of all inputs together


def some_of(model: Model, inputs: Array, most: int) -> Array:
    """Up to so many of the ``inputs`` (N, input size), drawn at random: who gives them may have
    sorted them. They are fewer where the activations of all would be too large to hold."""
    sizes = [t.type.size for node in model.graph.nodes for t in node.outputs]
    count = min(most, len(inputs), max(2, MOST_BYTES // max(sizes)))
    order = np.random.default_rng(0).permutation(len(inputs))
    return np.asarray(inputs[np.sort(order[:count])])


class Walk:
    """What a model makes of N inputs, node by node from its input.

    ``values`` holds (N, *shape) arrays of the activations that nodes still to come read, and of
    the last node's. Where a model keeps states, each input begins from the initial ones.
    """

    def __init__(self, model: Model, inputs: Array) -> None:
        """``inputs`` (N, input size) int8."""
        self.model, self.count = model, len(inputs)
        self.values: dict[Tensor, Array] = {
            model.input: inputs.reshape(self.count, *model.input.type.shape)
        }
        self._last_reader: dict[Tensor, Node] = {}
        for node in model.graph.nodes:
            self._last_reader.update(dict.fromkeys(node.inputs, node))

    def value(self, tensor: Tensor, k: int) -> Array:
        """What the tensor holds for input ``k``."""
        return tensor.data if tensor.data is not None else np.asarray(self.values[tensor][k])

    def outputs(self, node: Node) -> tuple[Array, ...]:
        """(N, *shape) of each output of a node, which may be another than the model's where it
        reads the same tensors."""
        rows = [
            node.op.reference(node, *(self.value(t, k) for t in node.inputs))
            for k in range(self.count)
        ]
        return tuple(np.stack(found) for found in zip(*rows, strict=True))

    def run(self, node: Node, found: tuple[Array, ...] | None = None) -> None:
        """Go on by one node; ``found`` are its outputs where they are known."""
        outputs = self.outputs(node) if found is None else found
        self.values.update(zip(node.outputs, outputs, strict=True))
        for tensor in node.inputs:
            if self._last_reader[tensor] is node:
                self.values.pop(tensor, None)
