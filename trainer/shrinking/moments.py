# SPDX-License-Identifier: Apache-2.0
"""What a layer's filters read, over many inputs: means and covariances.

A layer is one product of matrices for each of its groups: rows (rows, K) that are read, and weights
(filters, K). A depthwise layer has a group for each channel of its input.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.ops.spacing import SpacedGeometry
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.ops.window import Geometry

WIDEST = 2048  # columns of which all covariances are known; of more they are in blocks
LEAST_ROWS, ROWS = 2**13, 64  # in all, and for each column: neighbours in an image are alike
TOGETHER = 512  # rows in a product of matrices


@dataclass(frozen=True)
class LayerRows:
    """How a layer's inputs lie in rows."""

    layer: Weighted
    g: Geometry
    zero_point: int

    @classmethod
    def of(cls, node: Node) -> LayerRows:
        assert isinstance(node.op, Weighted)
        return cls(node.op, node.op.windows(node), node.inputs[0].type.zero_point)

    @property
    def taps(self) -> int:
        return self.g.kernel_h * self.g.kernel_w

    @property
    def groups(self) -> int:
        if self.layer.by_channel:
            return self.g.in_ch
        return self.g.groups if isinstance(self.g, SpacedGeometry) else 1

    @property
    def columns(self) -> int:
        return self.taps * self.g.in_ch // self.groups

    def filters(self, w: Array) -> Array:
        """(groups, filters, columns) of the weights."""
        if self.layer.by_channel:
            return w.reshape(self.taps, self.groups, -1).transpose(1, 2, 0)
        return w.reshape(self.groups, -1, self.columns)

    def weights(self, filters: Array, shape: tuple[int, ...]) -> Array:
        """What ``filters`` are made of, of this shape."""
        if self.layer.by_channel:
            filters = filters.transpose(2, 0, 1)
        return np.ascontiguousarray(filters.reshape(shape))

    def read(self, x: Array, positions: Array) -> Array:
        """(groups, positions, columns) float64: what outputs at ``positions`` read of an input,
        less its zero point."""
        g = self.g
        padded = g.padded(x.reshape(g.in_h, g.in_w, g.in_ch), self.zero_point, np.float64)
        windows = g.windows(padded)[positions // g.out_w, positions % g.out_w]
        grouped = windows.reshape(len(positions), self.taps, self.groups, -1)
        return np.asarray(grouped.transpose(2, 0, 1, 3).reshape(self.groups, len(positions), -1))

    def batches(self, values: Array) -> Iterator[Array]:
        """(groups, rows, columns) of inputs ``values`` (N, ...): all rows, or so many, all over
        them, that more say little."""
        positions = self.g.out_h * self.g.out_w
        enough = max(LEAST_ROWS, ROWS * self.columns)
        step, waiting = max(1, len(values) * positions // enough), list[Array]()
        for number, x in enumerate(values):
            chosen = np.arange(number % step, positions, step)
            if chosen.size:
                waiting.append(self.read(x, chosen))
            if sum(each.shape[1] for each in waiting) >= TOGETHER:
                yield np.concatenate(waiting, axis=1)
                waiting.clear()
        if waiting:
            yield np.concatenate(waiting, axis=1)

    def parts(self) -> list[slice]:
        """The columns of each block."""
        firsts = range(0, self.columns, WIDEST)
        return [slice(first, min(first + WIDEST, self.columns)) for first in firsts]


@dataclass(frozen=True)
class Moments:
    """Of what a layer reads, by group: ``means`` (groups, K), and of the columns of each of
    ``parts`` the covariances ``blocks`` (groups, k, k). ``means_before``: of what it read before
    the layers in front of it changed; ``moved``: the covariances of that less this with this."""

    means: Array
    means_before: Array
    parts: list[slice]
    blocks: list[Array]
    moved: list[Array]


def moments_of(rows: LayerRows, values: Array, before: Array) -> Moments:
    """Of a layer's inputs ``values`` (N, ...), which were ``before``."""
    parts, count = rows.parts(), 0
    total, moved_total = np.zeros((2, rows.groups, rows.columns))
    widths = [part.stop - part.start for part in parts]
    blocks, moved = ([np.zeros((rows.groups, k, k)) for k in widths] for _ in range(2))
    for read, old in zip(rows.batches(values), rows.batches(before), strict=True):
        difference, turned = old - read, read.transpose(0, 2, 1)
        total += read.sum(axis=1)
        moved_total += difference.sum(axis=1)
        count += read.shape[1]
        for k, part in enumerate(parts):
            blocks[k] += turned[:, part] @ read[..., part]
            moved[k] += difference[..., part].transpose(0, 2, 1) @ read[..., part]
    means, moved_means = total / count, moved_total / count
    for found, own in ((blocks, means), (moved, moved_means)):
        for k, part in enumerate(parts):
            found[k] /= count
            found[k] -= own[:, part, None] * means[:, None, part]
    return Moments(means, means + moved_means, parts, blocks, moved)
