# SPDX-License-Identifier: Apache-2.0
"""Weights of layers that do not learn, in 4 bits: int8 values within -8..7 and coarser scales.

Layer by layer, what a user's inputs are in it as the quantised layers before it make them:
least squares move its sums towards those of the model before, GPTQ (``trainer.shrinking.gptq``)
rounds the weights, and the bias makes the means of the sums, in integers, equal.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from mcutrain.trainer.errors import DataError
from mcutrain.trainer.fixedpoint import INT32_MAX, INT32_MIN
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, QuantParams, Tensor, constant
from mcutrain.trainer.int4 import GREATEST, LEAST
from mcutrain.trainer.model import Model, rebuild
from mcutrain.trainer.ops.weighted import BEYOND_INT8, Weighted, dead_channels, filter_scales
from mcutrain.trainer.shrinking.gptq import Rounded, rounded, with_damping
from mcutrain.trainer.shrinking.moments import LayerRows, Moments, moments_of

HELPFUL = 200  # inputs: more hardly help
RIDGE = 1.0  # of the mean diagonal: inputs of one image are alike, and so there are few


def to_int4(model: Model, inputs: Array, layers: Collection[int] | None = None) -> Model:
    """The model with the weights of ``layers`` within -8..7, and a scale for each of their filters.

    ``inputs`` (N, input size) int8, without labels. ``layers`` are indices of ``model.weighted``,
    those that do not learn; without them ``suited`` ones. Activations keep their scales. Layers
    whose weights lie within -8..7 stay as they are, and so do those that cannot (``why_not``).
    Operators that share their weights get weights of their own: what they read differs.
    Raises DataError for inputs that are not the model's, or none.
    """
    chosen = suited(model) if layers is None else set(layers)
    nodes = {node for k, node in enumerate(model.weighted) if k in chosen}
    shape = model.input.type.shape
    if inputs.dtype != np.int8 or not len(inputs) or inputs[0].size != model.input.type.size:
        raise DataError(
            f"4-bit weights are chosen by inputs of the model, int8 {shape[1:]}, and here are "
            f"{len(inputs)} of {inputs.dtype} {inputs.shape[1:]}: give {HELPFUL} or so, without "
            "labels"
        )
    return rebuild(model, Quantiser(model, inputs.reshape(-1, *shape), nodes).change)


def sized_as_int4(model: Model, layers: Collection[int]) -> Model:
    """A model that takes as many bytes as ``to_int4`` makes of it, without any inputs: each weight
    of the ``layers`` is only rounded."""
    nodes = {node for k, node in enumerate(model.weighted) if k in layers}

    def change(graph: Graph, node: Node, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if node not in nodes or why_not(node) or is_int4(node):
            return None
        rows, w = LayerRows.of(node), inputs[1]
        assert w.data is not None
        exact = rows.filters(w.data.astype(np.float64))
        steps = np.maximum(coarsest(exact), 1.0)
        data = np.clip(np.rint(exact / steps[..., None]), LEAST, GREATEST)
        bias = inputs[2].data if len(inputs) > 2 else None
        b = np.zeros(steps.size, np.int32) if bias is None else bias
        op, changed = with_filters(node, inputs, data, steps.ravel(), b)
        return graph.add(op, *changed, name=node.name, index=node.index)

    return rebuild(model, change)


def suited(model: Model) -> set[int]:
    """All layers but those that read the model's input, and the last one. They have few weights;
    what a stem loses all others do without, and a head's errors are those of the answer."""
    return {k for k, node in enumerate(model.weighted[:-1]) if node.inputs[0] is not model.input}


def why_not(node: Node) -> str:
    """Why a layer's weights cannot have 4 bits; "" if they can."""
    assert isinstance(node.op, Weighted)
    return BEYOND_INT8 if node.op.has_two_parts else ""


def is_int4(node: Node) -> bool:
    """Whether a layer's weights lie within -8..7."""
    w = node.inputs[1].data
    assert w is not None
    return bool(w.min(initial=0) >= LEAST and w.max(initial=0) <= GREATEST)


class Quantiser:
    """Goes through a model with all inputs at once, and through the one that it makes of it."""

    def __init__(self, model: Model, inputs: Array, nodes: set[Node]) -> None:
        self.nodes = {node for node in nodes if not (why_not(node) or is_int4(node))}
        self.last = {t: node for node in model.graph.nodes for t in node.inputs}
        self.old = {model.input: inputs}
        self.new = dict(self.old)

    def change(self, graph: Graph, node: Node, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Appends the node, in 4 bits if it is to be, and computes its outputs."""
        op = node.op
        if node in self.nodes:
            op, inputs = self.quantised(node, inputs)
        outputs = graph.add(op, *inputs, name=node.name, index=node.index)
        before, after = inputs_of(node, self.old), inputs_of(graph.nodes[-1], self.new)
        computed = computed_by(node, before)
        # What was computed of the same is the same.
        is_same = op is node.op and all(a is b for a, b in zip(before, after, strict=True))
        self.old.update(zip(node.outputs, computed, strict=True))
        found = computed if is_same else computed_by(graph.nodes[-1], after)
        self.new.update(zip(outputs, found, strict=True))
        for t, own in zip(node.inputs, inputs, strict=False):
            if self.last[t] is node:
                self.old.pop(t, None)
                self.new.pop(own, None)
        return outputs

    def quantised(
        self, node: Node, inputs: tuple[Tensor, ...]
    ) -> tuple[Weighted, tuple[Tensor, ...]]:
        """The layer's operator and inputs with weights of 4 bits, and always a bias."""
        op, (x, w, *bias) = node.op, inputs
        assert isinstance(op, Weighted) and w.data is not None
        rows = LayerRows.of(node)
        moments = moments_of(rows, self.new[x], self.old[node.inputs[0]])
        exact = rows.filters(w.data.astype(np.float64))
        found = round_layer(exact, moments)
        old = filter_scales(w.type, op.out_axis)
        scales = np.array(stored_scales(old * found.steps))
        sums = (exact @ moments.means_before[..., None]).ravel()
        sums += bias[0].data.ravel() if bias and bias[0].data is not None else 0
        own = (found.weights.reshape(exact.shape) @ moments.means[..., None]).ravel()
        b = np.clip(np.rint(sums * (old / scales) - own), INT32_MIN, INT32_MAX).astype(np.int32)
        return with_filters(node, inputs, found.weights.reshape(exact.shape), found.steps, b)


def stored_scales(scales: Array) -> tuple[float, ...]:
    """As a file can hold them."""
    return tuple(scales.astype(np.float32).astype(np.float64).tolist())


def with_filters(
    node: Node, inputs: tuple[Tensor, ...], filters: Array, steps: Array, b: Array
) -> tuple[Weighted, tuple[Tensor, ...]]:
    """A layer's operator and inputs with other ``filters`` (groups, filters, K), whose scales are
    ``steps`` (O,) of the old ones, and always a bias ``b`` (O,)."""
    op, (x, w, *bias) = node.op, inputs
    assert isinstance(op, Weighted)
    scales = stored_scales(filter_scales(w.type, op.out_axis) * steps)
    quant = QuantParams(scales, 0, op.out_axis if len(scales) > 1 else None)
    data = LayerRows.of(node).weights(filters, w.type.shape)
    new_w = replace(w, data=data.astype(np.int8), type=replace(w.type, quant=quant))
    new_b = replace(bias[0], data=b) if bias else constant(f"{node.name}_b", b)
    op = replace(op, has_bias=True, dead=dead_channels(new_w.type, op.out_axis, (new_b,)))
    return op, (x, new_w, new_b)


def coarsest(filters: Array) -> Array:
    """(groups, filters): the steps in which the greatest weight of each filter just has 4 bits."""
    found: Array = np.maximum(filters.max(axis=2) / GREATEST, filters.min(axis=2) / LEAST)
    return found


def round_layer(filters: Array, moments: Moments) -> Rounded:
    """Of a layer's ``filters`` (groups, filters, K), in quanta; those of all groups in a row."""
    wanted = followed(filters, moments)
    steps = coarsest(filters)
    found = [
        rounded(wanted[k], steps[k], [block[k] for block in moments.blocks])
        for k in range(len(filters))
    ]
    return Rounded(
        np.concatenate([each.weights for each in found]),
        np.concatenate([each.steps for each in found]),
    )


def followed(filters: Array, moments: Moments) -> Array:
    """The ``filters`` whose sums of what a layer reads now are nearer to those before: by least
    squares, with a ridge that draws them to what they are."""
    found = filters.copy()
    for block, moved, part in zip(moments.blocks, moments.moved, moments.parts, strict=True):
        missing = (filters[..., part] @ moved).transpose(0, 2, 1)
        found[..., part] += np.linalg.solve(with_damping(block, RIDGE), missing).transpose(0, 2, 1)
    return found


def inputs_of(node: Node, found: dict[Tensor, Array]) -> list[Array]:
    """(N, ...) of each activation that a node reads, and the data of its constants."""
    return [found[t] if t.data is None else t.data for t in node.inputs]


def computed_by(node: Node, inputs: list[Array]) -> list[Array]:
    """(N, ...) of each output, of ``inputs_of`` the node."""
    count = next(len(v) for t, v in zip(node.inputs, inputs, strict=True) if t.data is None)
    each = [
        [v] * count if t.data is not None else v for t, v in zip(node.inputs, inputs, strict=True)
    ]
    found = [node.op.reference(node, *(v[n] for v in each)) for n in range(count)]
    return [np.stack(outputs) for outputs in zip(*found, strict=True)]
