# SPDX-License-Identifier: Apache-2.0
"""A training plan's network in float64: its loss, and the gradient of every weight and bias.

Weights and biases are dequantised, activations clamped to the real values of their int8 limits.
The gradient is taken in one of two points: at the float network's own activations, or at those of
the int8 forward pass, whose rounding it passes straight through (Bengio et al. 2013). The second
is what the integer gradient means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, Role, Tensor
from mcutrain.trainer.making import float_layers as fo
from mcutrain.trainer.making import float_net as fl
from mcutrain.trainer.ops import concatenation, mean, pad
from mcutrain.trainer.ops.add import Add
from mcutrain.trainer.ops.average_pool2d import AveragePool2D
from mcutrain.trainer.ops.conv2d import Conv2D
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.fully_connected import FullyConnected
from mcutrain.trainer.ops.gather_channels import GatherChannels
from mcutrain.trainer.ops.reshape import Reshape
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.ops.window import Geometry
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.float_attention import attention_layer
from tests.support.float_ops import dequantise, real_inputs, whole

Values = Mapping[Tensor, Array]


@dataclass(frozen=True)
class Learned:
    """One tensor of ``plan.learned``: its layer, and where it lies in the float layer's array."""

    tensor: Tensor
    node: Node
    is_bias: bool

    @property
    def name(self) -> str:
        """The float layer's name of the whole weight or bias."""
        return f"{self.node.output.name}/{'b' if self.is_bias else 'w'}"

    @property
    def alive(self) -> Array:
        """Of the tensor's shape: False in dead channels, which never learn."""
        op = self.node.op
        assert isinstance(op, Weighted)
        weights = self.node.inputs[1].type.shape
        shape = [1] * (1 if self.is_bias else len(weights))
        shape[0 if self.is_bias else op.out_axis] = -1
        channel = np.ones(weights[op.out_axis], bool)
        channel[list(op.dead)] = False
        return self.part(np.broadcast_to(channel.reshape(shape), self.whole_shape))

    @property
    def whole_shape(self) -> tuple[int, ...]:
        return (self.tensor if self.is_bias else self.node.inputs[1]).type.shape

    def part(self, array: Array) -> Array:
        """What of the whole weight or bias is this tensor's."""
        op = self.node.op
        assert isinstance(op, Weighted)
        if self.is_bias or op.channels is None:
            return array
        x, w = (t.type for t in self.node.inputs[:2])
        return array[..., list(op.columns(x, w))]


def learned_tensors(plan: TrainingPlan) -> list[Learned]:
    """Weights and biases that learn, by operator from the input."""
    found = []
    for node in plan.forward:
        if isinstance(node.op, Weighted):
            bias, _, weight = node.op.split_inputs(node)
            found += [
                Learned(tensor, node, is_bias)
                for tensor, is_bias in ((weight, False), (bias, True))
                if tensor is not None and tensor.role is Role.PARAM
            ]
    return found


@dataclass(frozen=True)
class FloatGraph:
    """The network of a plan, and its parameters as they stand in a trace of the interpreter."""

    plan: TrainingPlan
    net: fl.FloatNet
    params: fl.Params

    @classmethod
    def of(cls, plan: TrainingPlan, values: Values) -> FloatGraph:
        """``values`` are those of a step: of them the weights and biases count."""
        nodes = network(plan)
        net = fl.FloatNet(tuple(layer_of(node, plan) for node in nodes))
        params: fl.Params = {}
        for node in nodes:
            if isinstance(node.op, Weighted):
                _, w, b = whole(node, real_inputs(node, tuple(values[t] for t in node.inputs)))
                name, channels = node.output.name, w.shape[node.op.out_axis]
                params[f"{name}/w"] = w
                params[f"{name}/b"] = np.zeros(channels) + b
        return cls(plan, net, params)

    def real(self, samples: Array) -> fo.Array:
        """int8 samples (N, ...) as the real values they stand for, (N, H, W, C)."""
        return stacked(self.plan.task.input, list(samples))

    def loss(self, values: Mapping[str, fo.Array], labels: fl.Labels) -> float:
        """Cross-entropy of the logits in ``values``, summed over the samples."""
        logits = values[self.net.layers[-1].name]
        return len(labels) * fl.softmax_cross_entropy(flat(logits), labels)[0]

    def float_values(self, samples: Array) -> dict[str, fo.Array]:
        """Activations of the float network, by layer."""
        return self.net.forward(self.params, self.real(samples))

    def integer_values(self, traces: Sequence[Values]) -> dict[str, fo.Array]:
        """Activations of the int8 forward pass, in reals, by layer."""
        outputs = [node.output for node in network(self.plan)]
        named = {fl.INPUT: self.plan.task.input} | {t.name: t for t in outputs}
        return {k: stacked(t, [values[t] for values in traces]) for k, t in named.items()}

    def gradient(
        self, values: Mapping[str, fo.Array], labels: fl.Labels, learned: Sequence[Learned]
    ) -> dict[Tensor, fo.Array]:
        """The derivative of the summed loss by each learned tensor, at ``values``."""
        logits = values[self.net.layers[-1].name]
        _, dlogits = fl.softmax_cross_entropy(flat(logits), labels)
        dlogits = len(labels) * dlogits.reshape(logits.shape)
        names = {item.name for item in learned}
        found = self.net.backward(self.params, values, dlogits, names)
        return {item.tensor: item.part(found[item.name]) for item in learned}

    def masks(self, values: Mapping[str, fo.Array]) -> list[Array]:
        """Where each layer's output lies strictly between its clamps."""
        return [(values[x.name] > x.lo) & (values[x.name] < x.hi) for x in self.net.layers[:-1]]


@dataclass(frozen=True)
class Pad:
    """x (N, ...) with zeros around it: ``widths`` are those of the axes after the first."""

    widths: tuple[tuple[int, int], ...]

    def forward(self, inputs: tuple[fo.Array, ...]) -> fo.Array:
        return np.pad(inputs[0], ((0, 0), *self.widths))

    def backward(self, inputs: tuple[fo.Array, ...], dy: fo.Array) -> fo.Grads:
        sizes = zip(self.widths, inputs[0].shape[1:], strict=True)
        inside = tuple(slice(before, before + size) for (before, _), size in sizes)
        return fo.Grads((dy[(slice(None), *inside)],))


@dataclass(frozen=True)
class Mean:
    """x (N, ...) -> (N, *shape): the mean over the axes, none of which is the first."""

    axes: tuple[int, ...]
    shape: tuple[int, ...]

    def forward(self, inputs: tuple[fo.Array, ...]) -> fo.Array:
        return np.asarray(inputs[0].mean(self.axes).reshape(-1, *self.shape))

    def backward(self, inputs: tuple[fo.Array, ...], dy: fo.Array) -> fo.Grads:
        x = inputs[0]
        kept = [1 if k in self.axes else size for k, size in enumerate(x.shape)]
        count = np.prod([x.shape[k] for k in self.axes])
        return fo.Grads((np.broadcast_to(dy.reshape(kept) / count, x.shape),))


@dataclass(frozen=True)
class Concatenate:
    """Tensors (N, ...) -> one, along an axis that is not the first."""

    axis: int

    def forward(self, inputs: tuple[fo.Array, ...]) -> fo.Array:
        return np.concatenate(inputs, self.axis)

    def backward(self, inputs: tuple[fo.Array, ...], dy: fo.Array) -> fo.Grads:
        ends = np.cumsum([x.shape[self.axis] for x in inputs])[:-1]
        return fo.Grads(tuple(np.split(dy, ends, self.axis)))


def layer_of(node: Node, plan: TrainingPlan) -> fl.FloatLayer:
    """The float layer of a forward node, clamped to the real values of its output's limits.

    The logits are not clamped, for their error has no mask (SPEC 1.2).
    """
    op, out = node.op, node.output
    found: Any
    if isinstance(op, pad.Pad):
        assert op.value == node.inputs[0].type.zero_point
        found = Pad(tuple(zip(op.before[1:], op.after[1:], strict=True)))
    elif isinstance(op, mean.Mean):
        found = Mean(tuple(range(op.first, op.last + 1)), out.type.shape[1:])
    elif isinstance(op, concatenation.Concatenation):
        found = Concatenate(op.axis)
    else:
        found = attention_layer(node) or float_op(node)
    inputs = node.inputs[:1] if isinstance(op, Weighted) else node.inputs
    activations = [t for t in inputs if t.role is not Role.CONST]
    names = tuple(fl.INPUT if t is plan.task.input else t.name for t in activations)
    if out is plan.task.logits:
        return fl.FloatLayer(out.name, found, names)
    lo, hi = (dequantise(out.type, np.array(limit)).item() for limit in out.limits)
    return fl.FloatLayer(out.name, found, names, lo, hi)


def network(plan: TrainingPlan) -> list[Node]:
    """The nodes that are layers of the float network: up to the logits, without copies."""
    last = [node.output for node in plan.forward].index(plan.task.logits)
    return [n for n in plan.forward[: last + 1] if not isinstance(n.op, GatherChannels)]


def flat(logits: fo.Array) -> fo.Array:
    """(N, classes), whatever the shape of a sample's logits."""
    return logits.reshape(len(logits), -1)


def stacked(tensor: Tensor, samples: list[Array]) -> fo.Array:
    """Values of ``tensor``, one per sample, in reals: (N, ...)."""
    whole_batch = np.concatenate([s.reshape(tensor.type.shape) for s in samples])
    return np.asarray(dequantise(tensor.type, whole_batch))


def float_op(node: Node) -> fo.WeightedOp | fo.PlainOp:
    x, op = node.inputs[0].type, node.op
    if isinstance(op, FullyConnected):
        return fo.FullyConnected()
    if isinstance(op, DepthwiseConv2D):
        return fo.DepthwiseConv2D(window_of(op.geometry(x, node.inputs[1].type)))
    if isinstance(op, Conv2D):
        return fo.Conv2D(window_of(op.geometry(x, node.inputs[1].type)))
    if isinstance(op, AveragePool2D):
        return fo.AveragePool2D(window_of(op.geometry(x)))
    if isinstance(op, Reshape):
        return fo.Reshape(op.shape[1:])
    if isinstance(op, Add):
        return fo.Add()
    raise NotImplementedError(f"float32 fine-tuning does not know {type(op).__name__}")


def window_of(g: Geometry) -> fo.FloatWindow:
    bottom = (g.out_h - 1) * g.stride_h + g.kernel_h - g.pad_top - g.in_h
    right = (g.out_w - 1) * g.stride_w + g.kernel_w - g.pad_left - g.in_w
    pads = (g.pad_top, max(bottom, 0), g.pad_left, max(right, 0))
    return fo.FloatWindow(
        (g.kernel_h, g.kernel_w), (g.stride_h, g.stride_w), pads, (g.out_h, g.out_w)
    )
