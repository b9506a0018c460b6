# SPDX-License-Identifier: Apache-2.0
"""A model with other weights in the same layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, QuantParams, Tensor
from mcutrain.trainer.making.quantiser import stored_scale
from mcutrain.trainer.model import Model, rebuild
from mcutrain.trainer.ops.weighted import DEAD_BIAS, Weighted, dead_channels

GREATEST = 127  # weights are symmetric (TFLite quantisation specification)
LEAST_SCALE = 2.0**-8  # of the greatest of a layer: far from where a filter is dead (SPEC 1.4)


@dataclass(frozen=True)
class Weights:
    """What a layer holds: weights int8 in their own shape, their scales, bias (O,) int32 or
    None."""

    data: Array
    quant: QuantParams
    bias: Array | None

    @classmethod
    def of(cls, node: Node) -> Weights:
        assert isinstance(node.op, Weighted)
        w, bias = node.inputs[1], node.inputs[2].data if node.op.has_bias else None
        assert w.data is not None and w.type.quant is not None
        return cls(w.data, w.type.quant, None if bias is None else bias.reshape(-1))

    def inputs_of(self, node: Node, inputs: tuple[Tensor, ...]) -> tuple[Weighted, list[Tensor]]:
        """The node's operator with these weights, and its ``inputs`` with them."""
        op = node.op
        assert isinstance(op, Weighted)
        type_ = replace(inputs[1].type, quant=self.quant)
        w = replace(inputs[1], data=self.data, type=type_)
        changed = [inputs[0], w, *inputs[2:]]
        if op.has_bias:
            assert self.bias is not None
            changed[2] = replace(inputs[2], data=self.bias.reshape(inputs[2].type.shape))
        dead = dead_channels(w.type, op.out_axis, tuple(changed[2:3]))
        return replace(op, dead=dead), changed


def with_weights(model: Model, found: Mapping[Node, Weights]) -> Model:
    """The model with other weights in some layers; a training state that it had is of others."""

    def change(graph: Graph, node: Node, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if node not in found:
            return None
        op, changed = found[node].inputs_of(node, inputs)
        return graph.add(op, *changed, name=node.name, index=node.index)

    return replace(rebuild(model, change), training_state=None)


def node_with(node: Node, weights: Weights) -> Node:
    """The node alone with other weights. Raises ModelError for scales that no multiplier can
    express."""
    graph = Graph()
    op, changed = weights.inputs_of(node, node.inputs)
    graph.add(op, *changed, name=node.name, index=node.index)
    return graph.nodes[0]


def weight_scales(filters: Array, old: QuantParams, least: Array) -> QuantParams:
    """The scales of real filters (O, ..): of each, or of all where the old one is of all.

    The greatest weight is GREATEST quanta. No scale is below ``least`` (O,).
    """
    greatest = np.abs(filters.reshape(len(filters), -1)).max(axis=1) / GREATEST
    wanted = np.maximum(greatest, least)
    wanted = np.maximum(wanted, wanted.max() * LEAST_SCALE)
    if len(old.scales) == 1:
        wanted = wanted.max(keepdims=True)
    found = tuple(stored_scale(float(s)) if s > 0 else old.scales[0] for s in wanted)
    return replace(old, scales=found)


def least_scales(bias: Array, x_scale: float) -> Array:
    """(O,): the scales with which real biases are as large as they may be where they learn."""
    return np.asarray(2 * np.abs(bias) / (x_scale * DEAD_BIAS))
