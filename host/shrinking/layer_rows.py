# SPDX-License-Identifier: Apache-2.0
"""What the filters of a layer read and give, as rows of a regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcutrain.host.shrinking.refitted import Weights
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.ops.weighted import Weighted, filter_scales
from mcutrain.trainer.ops.window import Geometry
from mcutrain.trainer.shrinking.moments import LayerRows

LEAST_ROWS = 4096  # of a layer, if it has so many positions
ROWS_PER_WEIGHT = 12  # of a filter: with more the fit changes little
MOST_VALUES = 2**25  # that the rows of a layer may hold: 256 MiB of float64


@dataclass(frozen=True)
class Places:
    """Output positions (N, P): of each of N inputs P rows and columns, the same in two models."""

    y: Array
    x: Array

    @classmethod
    def drawn(cls, geometry: Geometry, inputs: int, wanted: int, seed: int) -> Places:
        """Of each input so many, without two alike, that there are about ``wanted`` in all."""
        positions = geometry.out_h * geometry.out_w
        of_each = min(positions, -(-wanted // inputs))
        rng = np.random.default_rng(seed)
        flat = np.stack([np.sort(rng.permutation(positions)[:of_each]) for _ in range(inputs)])
        return cls(*np.divmod(flat, geometry.out_w))

    @property
    def count(self) -> int:
        """Rows in all."""
        return int(self.y.size)

    @property
    def owners(self) -> Array:
        """(R,): the input of each row."""
        return np.repeat(np.arange(len(self.y)), self.y.shape[1])


def wanted_rows(node: Node, inputs: int) -> int:
    """How many rows a layer is fitted to: enough for its filters, and no more than fit."""
    op, w = node.op, node.inputs[1].type
    assert isinstance(op, Weighted)
    of_filter = w.size // w.shape[op.out_axis]
    held = of_filter * (w.shape[op.out_axis] if op.by_channel else op.filter_groups())
    wanted = max(LEAST_ROWS, ROWS_PER_WEIGHT * of_filter)
    return max(inputs, min(wanted, MOST_VALUES // max(held, 1)))


def read_rows(node: Node, x: Array, places: Places) -> Array:
    """(B, R, D) float64: what filters read at the places, in quanta above the zero point.

    ``x`` (N, *shape) int8. B are the channels of a depthwise layer, or the groups of a
    convolution, which is 1 of most; D are the taps, or the taps and the channels of a group.
    """
    rows = LayerRows.of(node)
    found = [
        rows.read(sample, y * rows.g.out_w + column)
        for sample, y, column in zip(x, places.y, places.x, strict=True)
    ]
    return np.concatenate(found, axis=1)


def real_filters(node: Node, weights: Weights) -> Array:
    """(B, D, O) float64: the real filters, as ``read_rows`` has blocks and what is read."""
    op = node.op
    assert isinstance(op, Weighted)
    scales = np.asarray(weights.quant.channel_scales(weights.data.shape[op.out_axis]))
    along = [-1 if axis == op.out_axis % weights.data.ndim else 1
             for axis in range(weights.data.ndim)]  # fmt: skip
    real = weights.data * scales.reshape(along)
    return LayerRows.of(node).filters(real).transpose(0, 2, 1)


def in_blocks(values: Array, blocks: int) -> Array:
    """Values of outputs (R, O) as (B, R, O / B)."""
    return np.asarray(values.reshape(len(values), blocks, -1).transpose(1, 0, 2))


def in_order(values: Array) -> Array:
    """Values of outputs (B, R, O / B) as (R, O): the inverse of ``in_blocks``."""
    return np.asarray(values.transpose(1, 0, 2).reshape(values.shape[1], -1))


def filters_of(node: Node, blocks: Array) -> Array:
    """The blocks (B, D, O / B) as filters in the shape that the layer's weights have, but with the
    outputs first: (O, D)."""
    return np.asarray(blocks.transpose(0, 2, 1).reshape(-1, blocks.shape[1]))


def in_shape(node: Node, filters: Array) -> Array:
    """Filters (O, D) in the shape of the layer's weights."""
    rows = LayerRows.of(node)
    blocks = filters.reshape(rows.groups, -1, rows.columns)
    return rows.weights(blocks, node.inputs[1].type.shape)


def linear_outputs(node: Node, x: Array, places: Places, chosen: Array) -> Array:
    """(R, O) float64: the real outputs at the places before rounding and limits, of the filters
    that are ``chosen``."""
    op, weights = node.op, Weights.of(node)
    assert isinstance(op, Weighted)
    found = in_order(read_rows(node, x, places) @ real_filters(node, weights))
    found *= node.inputs[0].type.scale
    if weights.bias is not None:
        scales = filter_scales(node.inputs[1].type, op.out_axis)
        found += weights.bias * scales * node.inputs[0].type.scale
    return np.asarray(found[:, chosen])
