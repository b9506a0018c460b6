# SPDX-License-Identifier: Apache-2.0
"""The yardstick: what float32 fine-tuning of the same model reaches.

It takes a TrainingPlan and does in float32 what the plan does in integers: dequantised weights and
biases, activations in float but clamped to the real values of their int8 limits, no gradient where
an activation is at its clamp, and plain SGD at batch 1 in real units on exactly the tensors and
channels that learn in the plan. Quantisation-aware scaling makes the integer update this update.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer import float_net as fl
from trainer.graph import Node
from trainer.ops.add import Add
from trainer.ops.average_pool2d import AveragePool2D
from trainer.ops.conv2d import Conv2D
from trainer.ops.depthwise_conv2d import DepthwiseConv2D
from trainer.ops.fully_connected import FullyConnected
from trainer.ops.gather_channels import GatherChannels
from trainer.ops.reshape import Reshape
from trainer.plan import TrainingPlan
from trainer.tensor import Array, Role, Tensor
from trainer.window import Geometry


@dataclass(frozen=True)
class FloatTrainer:
    """A plan in float32. ``masks`` holds each learned parameter's mask: 1 where it learns."""

    plan: TrainingPlan
    net: fl.FloatNet
    params: fl.Params
    masks: fl.Params

    @classmethod
    def of(cls, plan: TrainingPlan) -> FloatTrainer:
        nodes = [node for node in plan.forward if not isinstance(node.op, GatherChannels)]
        params: fl.Params = {}
        masks: fl.Params = {}
        for node in nodes:
            if isinstance(node.op, Conv2D):
                add_params(node, node.op, params, masks)
        net = fl.FloatNet(tuple(layer_of(node, plan.input) for node in nodes))
        return cls(plan, net, params, masks)

    def real(self, samples: Array) -> fl.Array:
        """int8 samples (N, ...) as the real values they stand for, (N, H, W, C)."""
        source = self.plan.input.type
        centred = samples.reshape(-1, *source.shape[1:]).astype(np.float32) - source.zero_point
        return np.asarray(centred * np.float32(source.scale))

    def step(self, sample: Array, label: int, rate: float) -> float:
        """One step of plain SGD; returns the loss before it, in nats."""
        values = self.net.forward(self.params, self.real(sample))
        logits = values[self.net.layers[-1].name]
        loss, dlogits = fl.softmax_cross_entropy(logits, np.array([label]))
        for name, grad in self.net.backward(self.params, values, dlogits, self.masks).items():
            self.params[name] -= np.float32(rate) * self.masks[name] * grad
        return loss

    def accuracy(self, samples: Array, labels: Array) -> float:
        return fl.accuracy(self.net, self.params, self.real(samples), labels)


def layer_of(node: Node, source: Tensor) -> fl.Layer:
    """The float layer of a forward node, with its output's limits in real units."""
    quant = node.output.type.quant
    assert quant is not None
    lo, hi = ((limit - quant.zero_point) * quant.scale for limit in node.output.limits)
    activations = node.inputs if isinstance(node.op, Add) else node.inputs[:1]
    names = tuple(fl.INPUT if t is source else t.name for t in activations)
    return fl.Layer(node.output.name, float_op(node), names, lo, hi)


def float_op(node: Node) -> fl.WeightedOp | fl.PlainOp:
    x, op = node.inputs[0].type, node.op
    if isinstance(op, FullyConnected):
        return fl.FullyConnected()
    if isinstance(op, DepthwiseConv2D):
        return fl.DepthwiseConv2D(window_of(op.geometry(x, node.inputs[1].type)))
    if isinstance(op, Conv2D):
        return fl.Conv2D(window_of(op.geometry(x, node.inputs[1].type)))
    if isinstance(op, AveragePool2D):
        return fl.AveragePool2D(window_of(op.geometry(x)))
    if isinstance(op, Reshape):
        return fl.Reshape(op.shape[1:])
    if isinstance(op, Add):
        return fl.Add()
    raise NotImplementedError(f"float32 fine-tuning does not know {type(op).__name__}")


def window_of(g: Geometry) -> fl.Window:
    bottom = (g.out_h - 1) * g.stride_h + g.kernel_h - g.pad_top - g.in_h
    right = (g.out_w - 1) * g.stride_w + g.kernel_w - g.pad_left - g.in_w
    pads = (g.pad_top, max(bottom, 0), g.pad_left, max(right, 0))
    return fl.Window((g.kernel_h, g.kernel_w), (g.stride_h, g.stride_w), pads, (g.out_h, g.out_w))


def add_params(node: Node, op: Conv2D, params: fl.Params, masks: fl.Params) -> None:
    """Dequantise the node's weights and bias, and note what of them learns."""
    x, w = node.inputs[:2]
    bias, _, learned = op.split_inputs(node)
    assert w.type.quant is not None
    assert w.data is not None
    assert learned.data is not None
    out_ch = w.type.shape[op.out_axis]
    scales = w.type.quant.channel_scales(out_ch)
    alive = np.ones(out_ch, np.float32)
    alive[list(op.dead)] = 0

    broadcast = [1] * len(w.type.shape)
    broadcast[op.out_axis] = out_ch
    whole = op.whole_weights(x.type, w.data, learned.data)
    name = node.output.name
    params[f"{name}/w"] = (whole * scales.reshape(broadcast)).astype(np.float32)
    if learned.role is Role.PARAM:
        columns = np.ones(w.type.shape[-1], np.float32)
        if op.channels is not None:
            columns[:] = 0
            columns[list(op.columns(x.type, w.type))] = 1
        masks[f"{name}/w"] = alive.reshape(broadcast) * columns

    params[f"{name}/b"] = np.zeros(out_ch, np.float32)
    if bias is not None and bias.data is not None:
        params[f"{name}/b"] = (bias.data * x.type.scale * scales).astype(np.float32)
        if bias.role is Role.PARAM:
            masks[f"{name}/b"] = alive
