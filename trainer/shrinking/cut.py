# SPDX-License-Identifier: Apache-2.0
"""A model without some of its channels.

What a channel gave to the layers that read it goes into their biases: a value that stands for it at
all positions. That is exact for a channel that is constant, where the layer reads no padding of
another value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.fixedpoint import wrap32
from mcutrain.trainer.graph.cutting import KeptAxis
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, QuantParams, Tensor, constant
from mcutrain.trainer.model import Model, rebuild
from mcutrain.trainer.ops.weighted import Weighted, dead_channels
from mcutrain.trainer.shrinking.groups import Groups

Kept: TypeAlias = Mapping[str, tuple[int, ...]]


def cut_channels(
    model: Model, groups: Groups, kept: Kept, means: Mapping[Tensor, Array] | None = None
) -> Model:
    """The model with the units that are ``kept`` of each group, ascending; of a group that is not
    named, with all.

    ``groups`` are those of ``model``. ``means`` are (C,) for an activation, along its last axis:
    the mean of its int8 values, which a channel that leaves gives to the biases of its readers;
    without it that is the zero point, which gives nothing. With ``means``, which may be empty, each
    layer that reads less has a bias, so that all cuts of as many units take the same bytes. Raises
    ModelError for units that there are not.
    """
    axes = kept_axes(groups, kept)
    values = {
        tensor: np.asarray((means or {}).get(tensor, np.full(count, tensor.type.zero_point)))
        for tensor in axes
        for count in tensor.type.shape[-1:]
    }
    if not axes:
        return model
    smaller = without_channels(model, axes, values, biased=means is not None)
    return replace(smaller, training_state=None)


def kept_axes(groups: Groups, kept: Kept) -> dict[Tensor, KeptAxis]:
    """What stays of each tensor that becomes smaller. Raises ModelError."""
    known = {group.name: group for group in groups.groups}
    leaves: dict[Tensor, Array] = {}
    axis_of: dict[Tensor, int] = {}
    for name, units in kept.items():
        if name not in known:
            raise ModelError(f"there is no group of channels '{name}': {', '.join(known)}")
        group = known[name]
        is_ascending = all(a < b for a, b in pairwise(units))
        if not units or not is_ascending or not 0 <= units[0] <= units[-1] < group.units:
            raise ModelError(
                f"of the group '{name}' of {group.units} channels {list(units)} are to be kept: "
                "give at least one, each once and ascending"
            )
        gone = np.ones(group.units, bool)
        gone[list(units)] = False
        for tensor, places in group.places.items() if gone.any() else ():
            axis_of[tensor] = axis = group.axes[tensor]
            where = leaves.setdefault(tensor, np.zeros(tensor.type.shape[axis], bool))
            where[places[gone]] = True
    return {t: KeptAxis(axis_of[t], np.flatnonzero(~where)) for t, where in leaves.items()}


def without_channels(
    model: Model,
    kept: Mapping[Tensor, KeptAxis],
    values: Mapping[Tensor, Array],
    *,
    biased: bool = False,
) -> Model:
    """The model with what is ``kept`` of its tensors.

    ``values`` has (C,) for each tensor that a layer reads less of: what stands in its place, along
    its last axis. ``biased``: a layer that reads less has a bias, even if that is 0, so that what a
    model takes does not depend on the values.
    """
    if not kept:
        return model

    def change(graph: Graph, node: Node, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if kept.keys().isdisjoint((*node.inputs, *node.outputs)):
            return None
        if isinstance(node.op, Weighted):
            return add_narrow_layer(graph, node, inputs, kept, values, biased)
        smaller = tuple(
            narrow_constant(t, kept[t]) if t.data is not None and t in kept else t for t in inputs
        )
        return graph.add(node.op.cut(node, kept), *smaller, name=node.name, index=node.index)

    return rebuild(model, change)


def narrow_constant(tensor: Tensor, kept: KeptAxis) -> Tensor:
    assert tensor.data is not None
    data = kept.of(tensor.data)
    return replace(tensor, data=data, type=tensor.type.with_shape(*data.shape))


def add_narrow_layer(
    graph: Graph,
    node: Node,
    inputs: tuple[Tensor, ...],
    kept: Mapping[Tensor, KeptAxis],
    values: Mapping[Tensor, Array],
    biased: bool,
) -> tuple[Tensor, ...]:
    """Append a layer for the channels that stay, with the others' share in its bias."""
    (x, w, *bias), op = node.inputs, node.op
    assert isinstance(op, Weighted) and w.data is not None and w.type.quant is not None
    filters = w.type.shape[op.out_axis]
    out = kept[node.output].index if node.output in kept else np.arange(filters)
    b = np.zeros(filters, np.float64)
    if bias:
        assert bias[0].data is not None
        b += bias[0].data.reshape(-1)
    data, quant = w.data, w.type.quant
    is_narrower = x in kept and not op.by_channel
    if is_narrower:
        columns, share = read_columns(node, kept[x], values[x])
        b += share
        data = data.take(columns, axis=-1)
    data = data.take(out, axis=op.out_axis)
    type_ = replace(w.type, shape=data.shape, quant=narrow_quant(quant, out))
    new_w = replace(w, data=data, type=type_)
    whole = wrap32(np.floor(b[out] + 0.5).astype(np.int64)).astype(np.int32)
    b_quant = bias[0].type.quant if bias else None
    new_b = constant(f"{node.name}_b", whole, b_quant and narrow_quant(b_quant, out))
    biases = (new_b,) if bias or whole.any() or (biased and is_narrower) else ()
    if bias:
        new_b.stand_for(bias[0])
    op = replace(
        op,
        out_shape=(*op.out_shape[:-1], len(out)),
        has_bias=bool(biases),
        dead=dead_channels(new_w.type, op.out_axis, biases),
    )
    return graph.add(op, inputs[0], new_w, *biases, name=node.name, index=node.index)


def narrow_quant(quant: QuantParams, kept: Array) -> QuantParams:
    """The scales of the channels that are kept, if each has its own."""
    if len(quant.scales) == 1:
        return quant
    scales = tuple(quant.scales[c] for c in kept)
    return QuantParams(scales, quant.zero_point, quant.axis if len(scales) > 1 else None)


def read_columns(node: Node, kept: KeptAxis, values: Array) -> tuple[Array, Array]:
    """(the columns of the weights that stay, (O,) float64: what the others give to each filter in
    units of its bias, on the average over its positions)."""
    (x, w), op = node.inputs[:2], node.op
    assert isinstance(op, Weighted) and w.data is not None
    groups, depth = op.filter_groups(), w.type.shape[-1]
    gone = np.ones(x.type.shape[kept.axis], bool)
    gone[kept.index] = False
    along = np.expand_dims(gone, [k for k in range(len(x.type.shape)) if k != kept.axis])
    is_gone = np.broadcast_to(along, x.type.shape).reshape(-1, depth)[0]
    centred = np.broadcast_to(values - x.type.zero_point, x.type.shape).astype(np.float64)
    of_group = centred.reshape(-1, groups, depth).mean(axis=0) * is_gone
    seen = coverage(op, x, w)
    weights = w.data.reshape(groups, -1, seen.size, depth).astype(np.float64)
    share = np.einsum("goti,t,gi->go", weights, seen, of_group)
    return np.flatnonzero(~is_gone), share.reshape(-1)


def coverage(op: Weighted, x: Tensor, w: Tensor) -> Array:
    """(kernel_h * kernel_w,): the part of the positions at which a tap lies inside the input."""
    g = replace(op.geometry(x.type, w.type), in_ch=1)
    if g.is_inside:
        return np.ones(g.kernel_h * g.kernel_w)
    padded = g.padded(np.ones((g.in_h, g.in_w, 1)))
    return np.asarray(g.columns(padded, slice(None)).mean(axis=0))
