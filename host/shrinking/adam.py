# SPDX-License-Identifier: Apache-2.0
"""Adam on this computer, over gradients that the integers of a plan have summed.

A plan that accumulates the steps of more samples than are ever taken is a device that computes
gradients: its sums are read after each batch, Adam (Kingma and Ba 2015, algorithm 1) changes
weights and biases here, and the rounded ones go back. A weight's step is counted in the layer's
own root mean square, so one rate suits all layers.

What a layer reads is above zero in the mean, pixels of 0 to 255 above all: then a weight and the
bias move the same output, and no rate is right for both. So the steps are taken along weights of
what is centred: those of a filter move the output around its mean, which the bias keeps
(LeCun, Bottou, Orr and Mueller 1998, "Efficient BackProp", section 4.3). No bit of an inference
depends on that.

All arithmetic on reals is single operations in float64 whose result IEEE 754 fixes, and sums in a
fixed order: every computer comes to the same weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from mcutrain.trainer.formats import MAX_ACCUMULATE
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.ops.sgd import INPUT_SHIFT, SUM, LearningRate
from mcutrain.trainer.ops.state_check import BIAS_MAX
from mcutrain.trainer.ops.weighted import Weighted, filter_scales
from mcutrain.trainer.training_plan import TrainingPlan

GREATEST = 127  # weights are symmetric (TFLite quantisation specification)
FIRST, SECOND = 0.9, 0.999  # how much of the moments stays from batch to batch
BIAS_STEP = 1.6  # quanta of the layer's output, at a rate of 1
MEAN_SAMPLES = 32  # whose values tell what layers read in the mean
# Bits of the greatest sum of a few samples: with fewer the rounding of steps is heard, with more
# those of single samples meet their limit (SPEC 1.5).
FEWEST_BITS, MOST_BITS, WANTED_BITS = 11, 16, 14
FEWEST_BIAS_BITS, MOST_BIAS_BITS, WANTED_BIAS_BITS = 6, 20, 9
MOST_SHIFT = 24  # of steps, either way
RATES = range(-60, 7)  # exponents of the rate of sums


@dataclass(eq=False)
class Moments:
    """A tensor that learns: its values in float64, and the moments of its gradient. ``step`` is
    how far it goes at a rate of 1, in quanta; ``most`` its limit."""

    values: Array
    step: Array
    most: int
    first: Array = field(init=False)
    second: Array = field(init=False)

    def __post_init__(self) -> None:
        self.first, self.second = np.zeros_like(self.values), np.zeros_like(self.values)

    def moved(self, gradient: Array, rate: float, left: tuple[float, float]) -> Array:
        """By how much the values go; ``left`` of the moments is still of their beginning at 0."""
        self.first = FIRST * self.first + (1 - FIRST) * gradient
        self.second = SECOND * self.second + (1 - SECOND) * (gradient * gradient)
        root = np.sqrt(self.second / (1 - left[1]))
        ratio = np.divide(self.first / (1 - left[0]), root, np.zeros_like(root), where=root > 0)
        return np.asarray(-rate * self.step * ratio)

    def move(self, by: Array) -> None:
        self.values = np.clip(self.values + by, -self.most, self.most)


@dataclass(eq=False)
class Layer:
    """A layer whose weights learn. ``means`` are what each weight multiplies in the mean, in
    quanta above the zero point, and broadcast to the weights."""

    node: Node
    weights: Tensor
    bias: Tensor | None
    means: Array
    moments: dict[Tensor, Moments]
    shift: int = 0  # log2 of what the steps of its weights are multiplied by

    @property
    def out_axis(self) -> int:
        assert isinstance(self.node.op, Weighted)
        return self.node.op.out_axis

    def of_filters(self, values: Array) -> Array:
        """One value for each filter, as it broadcasts to the weights."""
        shape = [1] * len(self.weights.type.shape)
        shape[self.out_axis] = -1
        return values.reshape(shape)

    def filter_sums(self, values: Array) -> Array:
        """(O,): the sums of values of the weights' shape over each filter, in a fixed order."""
        rows = np.moveaxis(values, self.out_axis, 0).reshape(values.shape[self.out_axis], -1)
        return np.asarray(np.add.accumulate(rows, axis=1)[:, -1])


class HostAdam:
    """Adam over the sums of a plan with ``accumulate`` MAX_ACCUMULATE, int8 weights and input
    shifts.

    ``rate`` is a share of the root mean square of a layer's weights. Each batch is: steps of the
    plan from the state that ``begin`` or ``update`` gave, and ``update`` with the state behind.
    """

    def __init__(self, plan: TrainingPlan, state: dict[Tensor, Array], samples: Array) -> None:
        """``state`` is that of before training, ``samples`` (N, input size) int8 some inputs."""
        companions = plan.learning.companions
        self.plan, self.sums = plan, companions.of(SUM)
        self.shifts = companions.of(INPUT_SHIFT)
        self.exponent, self.updates, self._left = -6, 0, (1.0, 1.0)
        nodes = [n for n in plan.forward if isinstance(n.op, Weighted)]
        nodes = [n for n in nodes if learned_of(n) in self.sums]
        means = read_means(plan, state, nodes, samples)
        self.layers = [self._layer(n, state, m) for n, m in zip(nodes, means, strict=True)]

    def _layer(self, node: Node, state: dict[Tensor, Array], means: Array) -> Layer:
        op = node.op
        assert isinstance(op, Weighted)
        bias, x, weights = op.split_inputs(node)
        scales = np.asarray(filter_scales(weights.type, op.out_axis), np.float64)
        bias = bias if bias in self.sums else None
        layer = Layer(node, weights, bias, weight_means(node, means), {})
        squares = (state[weights].astype(np.int64) ** 2).swapaxes(0, op.out_axis)
        of_each = squares.reshape(len(squares), -1).sum(axis=1)
        square = math.fsum((of_each * scales * scales).tolist()) / weights.type.size
        values = state[weights].astype(np.float64)
        step = layer.of_filters(math.sqrt(square) / scales)
        layer.moments[weights] = Moments(values, step, GREATEST)
        if bias is not None:
            step = BIAS_STEP * node.output.type.scale / (x.type.scale * scales)
            values = state[bias].astype(np.float64)
            layer.moments[bias] = Moments(values, step.reshape(values.shape), BIAS_MAX)
        return layer

    def begin(self, state: dict[Tensor, Array]) -> dict[Tensor, Array]:
        """The state with empty sums, and the rate of them."""
        rate = LearningRate.from_real(2.0**self.exponent)
        for layer in self.layers:
            state[self.shifts[layer.weights]] = np.full_like(
                state[self.shifts[layer.weights]], layer.shift
            )
        for total in self.sums.values():
            state[total] = np.zeros_like(state[total])
        # Far from where the plan would take the sums itself.
        state[self.plan.learning.sgd][1] %= MAX_ACCUMULATE // 2
        state[self.plan.learning.sgd][2:4] = rate.multiplier, rate.shift
        return state

    def tune(self, state: dict[Tensor, Array]) -> bool:
        """Whether the sums of a few samples are fine enough and within their limits; if not,
        the rate and the shifts have been changed, for ``begin``."""
        peaks = [self._bits(state, layer.bias) for layer in self.layers if layer.bias is not None]
        by = 0
        if peaks and max(peaks) > MOST_BIAS_BITS:
            by = MOST_BIAS_BITS - 2 - max(peaks)
        elif peaks and min(peaks) < FEWEST_BIAS_BITS:
            by = max(0, min(WANTED_BIAS_BITS - min(peaks), MOST_BIAS_BITS - max(peaks)))
        by = min(max(self.exponent + by, RATES[0]), RATES[-1]) - self.exponent
        self.exponent += by
        is_fine = by == 0
        for layer in self.layers:
            bits, shift = self._bits(state, layer.weights), layer.shift
            if not FEWEST_BITS <= bits <= MOST_BITS:
                shift += WANTED_BITS - bits
            layer.shift, old = min(max(shift - by, -MOST_SHIFT), MOST_SHIFT), layer.shift
            is_fine &= layer.shift == old
        return is_fine

    def _bits(self, state: dict[Tensor, Array], learned: Tensor) -> int:
        """Of the greatest sum."""
        return int(np.abs(state[self.sums[learned]].astype(np.int64)).max(initial=0)).bit_length()

    def update(self, state: dict[Tensor, Array], rate: float) -> dict[Tensor, Array]:
        """The state behind a batch with weights and biases that have learned from its sums."""
        self.updates += 1
        self._left = (self._left[0] * FIRST, self._left[1] * SECOND)
        for layer in self.layers:
            self._update(layer, state, rate)
            for tensor, moments in layer.moments.items():
                found = np.floor(moments.values + 0.5)
                state[tensor] = found.astype(state[tensor].dtype)
        return self.begin(state)

    def gradients(self, layer: Layer, state: dict[Tensor, Array]) -> tuple[Array, Array | None]:
        """Those of the layer's weights, along what is centred, and of its bias, by a batch whose
        sums the state holds: real ones times a factor that each filter has of its own."""
        # Steps go against the gradient: what they sum to is its negative.
        sums = state[self.sums[layer.weights]].reshape(layer.weights.type.shape)
        of_weights = -(sums * 2.0**-layer.shift)
        if layer.bias is None:
            return of_weights, None
        # Sums are in quanta, of which a weight's is 1 / scale of what a bias's is, and the
        # gradient of a weight has the scale of what it multiplies.
        scale = layer.node.inputs[0].type.scale
        of_bias = -state[self.sums[layer.bias]].astype(np.float64)
        held = layer.means * (scale * scale) * layer.of_filters(of_bias)
        return of_weights - held, of_bias

    def _update(self, layer: Layer, state: dict[Tensor, Array], rate: float) -> None:
        of_weights, of_bias = self.gradients(layer, state)
        weights = layer.moments[layer.weights]
        before = weights.values
        weights.move(weights.moved(of_weights, rate, self._left))
        if layer.bias is None or of_bias is None:
            return
        bias = layer.moments[layer.bias]
        held = layer.filter_sums((weights.values - before) * layer.means)
        bias.move(bias.moved(of_bias, rate, self._left) - held.reshape(bias.values.shape))


def learned_of(node: Node) -> Tensor:
    """The weights of a layer that learn."""
    assert isinstance(node.op, Weighted)
    return node.op.split_inputs(node)[2]


def read_means(
    plan: TrainingPlan, state: dict[Tensor, Array], nodes: list[Node], samples: Array
) -> list[Array]:
    """For each node (channels,) float64: the mean of what it reads, in quanta above the zero
    point, over some of the samples and all positions."""
    reference = Interpreter(plan)
    reference.state = dict(state)
    chosen = np.linspace(0, len(samples) - 1, min(len(samples), MEAN_SAMPLES)).astype(int)
    sums = [np.zeros(node.inputs[0].type.shape[-1], np.int64) for node in nodes]
    for sample in samples[chosen]:
        values = reference.outputs(sample)
        for node, total in zip(nodes, sums, strict=True):
            x = node.inputs[0]
            rows = values[x].reshape(-1, len(total)).astype(np.int64) - x.type.zero_point
            total += rows.sum(axis=0)
    positions = [n.inputs[0].type.size // len(t) for n, t in zip(nodes, sums, strict=True)]
    return [total / (len(chosen) * count) for total, count in zip(sums, positions, strict=True)]


def weight_means(node: Node, means: Array) -> Array:
    """The means of channels as they broadcast to the weights: along the last axis, which holds
    what is read, or the outputs of a depthwise layer."""
    assert isinstance(node.op, Weighted)
    width = learned_of(node).type.shape[-1]
    if node.op.by_channel:
        return np.repeat(means, width // len(means))
    if width % len(means) == 0:  # a dense layer behind positions that became one axis
        return np.tile(means, width // len(means))
    # Of each group of a convolution, or of all of it where the layer reads it in parts.
    return np.asarray(means.reshape(-1, width).mean(axis=0) if len(means) % width == 0 else [0.0])
