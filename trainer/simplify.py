# SPDX-License-Identifier: Apache-2.0
"""Exact simplification: what a model file holds beyond need, taken out without changing a bit of
the forward pass.

Pads move into the convolutions behind them. In the part that nothing learned comes before,
channels that are constant because their filters are zero are left out, with the filters that
made them and the weights that read them (docs/adr/0019).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.model import Model, rebuild, trim
from mcutrain.trainer.ops.pad import Pad
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.options import Scheme
from mcutrain.trainer.shrinking.cut import kept_axes, without_channels
from mcutrain.trainer.shrinking.groups import Group, channel_groups


def simplify(model: Model, scheme: Scheme) -> Model:
    """The model that gives the same bits with less; ``scheme`` says which layers stay whole."""
    learned = {
        node for k, node in enumerate(model.weighted) if scheme.ratios.get(k) or k in scheme.biases
    }
    model = drop_constant_channels(model, learned)
    return fold_pads(model)


def least_macs(model: Model) -> int:
    """Multiply-accumulates of an inference where nothing learns."""
    graph = simplify(trim(model), Scheme("nothing")).graph
    return sum(node.op.macs(node) for node in graph.nodes)


def fold_pads(model: Model) -> Model:
    """The model with its pads of zeros in the convolutions that read them."""
    producers = {node.output: node for node in model.graph.nodes}

    def change(graph: Graph, node: Node, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        pad = producers.get(node.inputs[0])
        if pad is None or not isinstance(pad.op, Pad) or not can_fold(pad, node):
            return None
        assert isinstance(node.op, Weighted)
        source = next(n.inputs[0] for n in graph.nodes if n.output is inputs[0])
        padding = (node.op.padding[0] + pad.op.before[1], node.op.padding[1] + pad.op.before[2])
        op = replace(node.op, padding=padding)
        return graph.add(op, source, *inputs[1:], name=node.name, index=node.index)

    return trim(rebuild(model, change))


def can_fold(pad: Node, node: Node) -> bool:
    """Whether ``node`` is a convolution that may read around the pad: zeros, along H and W.

    Every window must still begin inside or before the input and end inside or behind it.
    """
    assert isinstance(pad.op, Pad)
    op, x = node.op, pad.inputs[0].type
    if not isinstance(op, Weighted) or not (op.is_spatial and op.folds_pads) or len(x.shape) != 4:
        return False
    widths = pad.op.before, pad.op.after
    if pad.op.value != x.zero_point or any(width[axis] for width in widths for axis in (0, 3)):
        return False
    g = op.geometry(node.inputs[0].type, node.inputs[1].type)
    top, left = g.pad_top + pad.op.before[1], g.pad_left + pad.op.before[2]
    last_y = (g.out_h - 1) * g.stride_h - top
    last_x = (g.out_w - 1) * g.stride_w - left
    begins_inside = last_y < x.shape[1] and last_x < x.shape[2]
    return bool(top < g.span[0] and left < g.span[1] and begins_inside)


VARIES = 1 << 10  # no int8 value


def drop_constant_channels(model: Model, learned: set[Node]) -> Model:
    """The model without the constant channels that frozen layers make and frozen ones read.

    A channel stays if something reads it that learns, that comes after something that does,
    or that cannot take its share into a bias.
    """
    frozen = frozen_nodes(model, learned)
    values = constant_channels(model, frozen)
    if all((value == VARIES).all() for value in values.values()):
        return model
    # No file is written: weights that two layers share may become two.
    groups = channel_groups(replace(model, tied=()))
    leaves = can_leave(model, values, frozen)
    kept = {group.name: units_left(group, leaves) for group in groups.groups}
    return without_channels(model, kept_axes(groups, kept), values)


def can_leave(
    model: Model, values: Mapping[Tensor, Array], frozen: Collection[Node]
) -> Mapping[Tensor, Array]:
    """(C,) bool for each activation: the constant channels that nobody who reads or makes them
    needs."""
    leaves = {tensor: value != VARIES for tensor, value in values.items()}
    for node in model.graph.nodes:
        if node not in frozen:
            for tensor in (*node.inputs, *node.outputs):
                leaves.get(tensor, np.zeros(1, bool))[:] = False
        elif isinstance(node.op, Weighted) and not node.op.by_channel:
            leaves[node.inputs[0]] &= absorbed(node, values[node.inputs[0]])
    return leaves


def units_left(group: Group, leaves: Mapping[Tensor, Array]) -> tuple[int, ...]:
    """The units of a group that stay: one at least."""
    gone = np.ones(group.units, bool)
    for tensor, places in group.places.items():
        if tensor.data is None:
            is_last = group.axes[tensor] + 1 == len(tensor.type.shape)
            gone &= leaves[tensor][places].all(axis=1) if is_last else False
    gone[0] &= not gone.all()
    return tuple(int(unit) for unit in np.flatnonzero(~gone))


def frozen_nodes(model: Model, learned: set[Node]) -> set[Node]:
    """The nodes that neither learn nor come after something that does."""
    frozen: set[Node] = set()
    moving: set[Tensor] = set()
    for node in model.graph.nodes:
        if node in learned or moving.intersection(node.inputs):
            moving.update(node.outputs)
        else:
            frozen.add(node)
    return frozen


def constant_channels(model: Model, frozen: Collection[Node]) -> dict[Tensor, Array]:
    """Of each activation (C,): the value of each channel of the last axis that is constant because
    of ``frozen`` nodes, else VARIES."""
    values = {model.input: np.full(model.input.type.shape[-1], VARIES)}
    for node in model.graph.nodes:
        values[node.output] = constant_values(node, values, node in frozen)
        for other in node.outputs[1:]:
            values[other] = np.full(other.type.shape[-1], VARIES)
    return values


def constant_values(node: Node, known: Mapping[Tensor, Array], is_frozen: bool) -> Array:
    """(C,): the value of each constant channel of the node's output, else VARIES.

    A channel is constant if it depends on constant channels only, and comes out as one value
    at every position.
    """
    count = node.output.type.shape[-1]
    varies = np.full(count, VARIES)
    if not is_frozen:
        return varies
    activations = [t for t in node.inputs if t in known]
    depends = dependent_channels(node, known, count)
    if depends is None or depends.all():
        return varies
    arrays = [filled(t, known[t]) if t in known else t.data for t in node.inputs]
    assert activations and all(a is not None for a in arrays)
    (out,) = node.op.reference(node, *(a for a in arrays if a is not None))
    rows = out.reshape(-1, count)
    uniform = (rows == rows[0]).all(axis=0)
    return np.where(uniform & ~depends, rows[0].astype(np.int64), varies)


def dependent_channels(node: Node, known: Mapping[Tensor, Array], count: int) -> Array | None:
    """(C,) bool: the output channels that read a channel which varies; None if not known."""
    x = node.inputs[0]
    varies = known[x] == VARIES if x in known else np.zeros(x.type.shape[-1], bool)
    if isinstance(node.op, Weighted):
        w = node.inputs[1].data
        assert w is not None
        if node.op.by_channel:
            return np.asarray(np.repeat(varies, count // varies.size) & w.any(axis=(0, 1, 2)))
        if w.shape[-1] != varies.size:
            return None  # a FULLY_CONNECTED that flattens: channels lie apart
        return np.asarray(w[..., varies].reshape(count, -1).any(axis=1))
    if node.op.narrowed(node, count) is None or any(t not in known for t in node.inputs):
        return None
    return np.asarray(np.any([known[t] == VARIES for t in node.inputs], axis=0))


def filled(tensor: Tensor, value: Array) -> Array:
    """An array of the tensor's type with its constant channels, and the zero point elsewhere."""
    row = np.where(value == VARIES, tensor.type.zero_point, value).astype(np.int8)
    return np.broadcast_to(row, tensor.type.shape).copy()


def absorbed(node: Node, value: Array) -> Array:
    """(I,) bool: the constant input channels whose share a bias can hold."""
    assert isinstance(node.op, Weighted)
    x, w = node.inputs[:2]
    inside = node.op.geometry(x.type, w.type).is_inside
    return np.asarray((value != VARIES) & (inside | (value == x.type.zero_point)))
