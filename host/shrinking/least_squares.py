# SPDX-License-Identifier: Apache-2.0
"""Repairs a cut model without labels: layer by layer by least squares.

Each layer of the smaller model, from the input to the output, gets the weights and the bias with
which it gives, of what the smaller model feeds it, what the original's layer gives of the
original's own. So a layer also makes up for what those before it could not (He, Zhang and Sun 2017,
"Channel Pruning for Accelerating Very Deep Neural Networks").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from mcutrain.host.shrinking.layer_rows import (
    Places,
    filters_of,
    in_blocks,
    in_shape,
    linear_outputs,
    read_rows,
    real_filters,
    wanted_rows,
)
from mcutrain.host.shrinking.refitted import (
    Weights,
    least_scales,
    node_with,
    weight_scales,
    with_weights,
)
from mcutrain.host.shrinking.regression import Problem, Solver, best_ridge
from mcutrain.host.shrinking.walk import Walk, some_of
from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.cutting import KeptAxis
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.weighted import DEAD_BIAS, Weighted
from mcutrain.trainer.shrinking.cut import Kept, kept_axes
from mcutrain.trainer.shrinking.groups import Groups

PASSES = 6  # behind the first, in which limits count
HELD = 5  # every fifth input says how strong a ridge is
MOST_INPUTS = 300  # more bring little, and take longer
LEAST_INPUTS = 2  # with fewer nothing is held out


def least_squares(
    original: Model,
    smaller: Model,
    groups: Groups,
    kept: Kept,
    inputs: Array,
    done: Callable[[int, int], None] = lambda done, total: None,
) -> Model:
    """The smaller model with weights and biases fitted to the original's.

    ``groups`` are those of the original, of which the smaller model has what is ``kept``. Of the
    ``inputs`` (N, input size) int8 up to MOST_INPUTS are drawn; labels are not needed. A layer
    whose fit would give worse outputs stays, and so do layers with weights beyond int8. A model
    that keeps states stays whole: what its layers read follows from streams. ``done`` is told
    (layers, of how many).
    """
    if original.states or len(inputs) < LEAST_INPUTS:
        return smaller
    inputs = some_of(original, inputs, MOST_INPUTS)
    fit = Fit(original, smaller, kept_axes(groups, kept), inputs)
    total = len(smaller.weighted)
    for node in smaller.graph.nodes:
        fit.go_on(node)
        if isinstance(node.op, Weighted):
            done(smaller.weighted.index(node) + 1, total)
    return with_weights(smaller, fit.found)


class Fit:
    """Two models side by side, the original ahead of the smaller one."""

    def __init__(
        self, original: Model, smaller: Model, kept: Mapping[Tensor, KeptAxis], inputs: Array
    ) -> None:
        self.kept, self.count = kept, len(inputs)
        self.source, self.walk = Walk(original, inputs), Walk(smaller, inputs)
        self.found: dict[Node, Weights] = {}
        self._waiting = list(original.graph.nodes)

    def go_on(self, node: Node) -> None:
        """Run a node of the smaller model, fitted before if it is a layer."""
        twin = self.twin_of(node)
        if twin is None or not isinstance(node.op, Weighted) or node.op.has_two_parts:
            self.walk.run(node)
            return
        places = Places.drawn(
            node.op.windows(node), self.count, wanted_rows(node, self.count), node.index
        )
        chosen = self.channels_of(twin.output)
        target = linear_outputs(twin, self.source.values[twin.inputs[0]], places, chosen)
        self.source.run(twin)
        wanted = self.source.values[twin.output][..., chosen]
        self._waiting.remove(twin)
        weights = fitted(node, self.walk.values[node.inputs[0]], places, target)
        before = self.walk.outputs(node)
        after = None if weights is None else self.outputs_with(node, weights)
        if weights is None or after is None or not is_nearer(after[0], before[0], wanted):
            self.walk.run(node, before)
            return
        self.found[node] = weights
        self.walk.run(node, after)

    def channels_of(self, tensor: Tensor) -> Array:
        """The channels of an activation of the original that are left."""
        everything = np.arange(tensor.type.shape[-1])
        return self.kept[tensor].index if tensor in self.kept else everything

    def twin_of(self, node: Node) -> Node | None:
        """The original's layer of the same place in the file; what is before it has run then."""
        twin = next(
            (n for n in self._waiting if (n.index, n.name) == (node.index, node.name)), None
        )
        if twin is None or not isinstance(twin.op, Weighted):
            return None
        while self._waiting[0] is not twin:
            self.source.run(self._waiting.pop(0))
        return twin

    def outputs_with(self, node: Node, weights: Weights) -> tuple[Array, ...] | None:
        """What the node gives with other weights; None where its scales cannot be."""
        try:
            return self.walk.outputs(node_with(node, weights))
        except ModelError:
            return None


def is_nearer(after: Array, before: Array, wanted: Array) -> bool:
    """Whether int8 outputs are nearer to those that are wanted."""

    def distance(found: Array) -> int:
        return int(((found.astype(np.int64) - wanted) ** 2).sum())

    return distance(after) < distance(before)


@dataclass(frozen=True)
class Limits:
    """Real outputs beyond which int8 or an activation cuts off."""

    low: float
    high: float

    @classmethod
    def of(cls, node: Node) -> Limits:
        out = node.output.type
        low, high = ((q - out.zero_point) * out.scale for q in node.op.limits())
        return cls(low, high)

    def within_reach(self, target: Array, found: Array) -> Array:
        """What ``found`` is to become so that the limits make the same of it as of the target: as
        it is where both lie beyond one limit, the limit where the target alone does."""
        target = np.where(target <= self.low, np.minimum(found, self.low), target)
        return np.where(target >= self.high, np.maximum(found, self.high), target)


def fitted(node: Node, x: Array, places: Places, target: Array) -> Weights | None:
    """The weights with which the layer gives ``target`` (R, O) of ``x`` (N, *shape) int8 at the
    places; None where it has no weights that can change."""
    old = Weights.of(node)
    x_scale = node.inputs[0].type.scale
    rows, limits = read_rows(node, x, places) * x_scale, Limits.of(node)
    blocks = len(rows)
    problem = Problem(
        rows, in_blocks(target, blocks), real_filters(node, old), old.bias is not None
    )
    solver, ridge = Solver(problem), best_ridge(problem, places.owners % HELD == 0)
    weights = solver.weights(ridge)
    for _ in range(PASSES):
        found = problem.fitted(weights, problem.bias(weights))
        problem = replace(problem, t=limits.within_reach(in_blocks(target, blocks), found))
        weights = solver.weights(ridge, problem.t)
    return quantised(node, old, weights, problem)


def quantised(node: Node, old: Weights, weights: Array, problem: Problem) -> Weights:
    """Real weights (B, D, O) as int8, and the bias that is best behind their rounding."""
    filters, x_scale = filters_of(node, weights), node.inputs[0].type.scale
    bias = problem.bias(weights).reshape(-1)
    quant = weight_scales(filters, old.quant, least_scales(bias, x_scale))
    scales = quant.channel_scales(len(filters))
    codes = np.clip(np.floor(filters / scales[:, None] + 0.5), -127, 127).astype(np.int8)
    data = in_shape(node, codes)
    if old.bias is None:
        return Weights(data, quant, None)
    rounded = problem.bias(real_filters(node, Weights(data, quant, None))).reshape(-1)
    quanta = np.floor(rounded / (x_scale * scales) + 0.5)
    return Weights(data, quant, np.clip(quanta, -DEAD_BIAS, DEAD_BIAS).astype(np.int32))
