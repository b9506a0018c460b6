# SPDX-License-Identifier: Apache-2.0
"""Floating-point networks in NumPy: forward, backward, and what they lose.

They pretrain the example model and are the yardstick that integer training is measured against;
nothing of this reaches a device. ``float_layers`` has the layers, ``fitting`` trains.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mcutrain.trainer.making.float_layers import (
    Array,
    BatchNorm,
    DepthwiseConv2D,
    Grads,
    PlainOp,
    Statistics,
    WeightedOp,
)

Labels = npt.NDArray[np.integer[Any]]
CANNOT_JOIN = "has no weights, is clamped, or is read by others too"


@dataclass(frozen=True)
class FloatLayer:
    """One operator, its tensors by name, and the limits [lo, hi] that its output is clamped to.

    A weighted operator's parameters are ``name/w`` and ``name/b``; a batch norm also has the
    statistics of the training's samples, ``name/mean`` and ``name/variance``, which nothing learns.
    """

    name: str
    op: WeightedOp | PlainOp
    inputs: tuple[str, ...]
    lo: float = -np.inf
    hi: float = np.inf

    @property
    def weight(self) -> str:
        return f"{self.name}/w"

    @property
    def bias(self) -> str:
        return f"{self.name}/b"

    @property
    def mean(self) -> str:
        return f"{self.name}/mean"

    @property
    def variance(self) -> str:
        return f"{self.name}/variance"


Params = dict[str, Array]
INPUT = "input"


@dataclass(frozen=True)
class FloatNet:
    """Layers in execution order; the last one's output is the logits, (N, classes)."""

    layers: tuple[FloatLayer, ...]

    def forward(
        self, params: Mapping[str, Array], x: Array, is_training: bool = False
    ) -> dict[str, Array]:
        """Every layer's output by its name, and the input's as ``INPUT``.

        A batch norm goes by the statistics of these samples while it is trained, else by those in
        ``params``.
        """
        values = {INPUT: x}
        for layer in self.layers:
            inputs = tuple(values[name] for name in layer.inputs)
            if isinstance(layer.op, BatchNorm) and not is_training:
                known = Statistics(params[layer.mean], params[layer.variance])
                w, b = params[layer.weight], params[layer.bias]
                out = layer.op.normalized(inputs[0], w, b, known)
            elif isinstance(layer.op, WeightedOp):
                out = layer.op.forward(inputs, params[layer.weight], params[layer.bias])
            else:
                out = layer.op.forward(inputs)
            values[layer.name] = np.clip(out, layer.lo, layer.hi)
        return values

    def logits(self, params: Mapping[str, Array], x: Array) -> Array:
        return self.forward(params, x)[self.layers[-1].name]

    def learning_layers(self, learned: Collection[str]) -> frozenset[str]:
        """Names of the layers whose output depends on something in ``learned``."""
        depends: set[str] = set()
        for layer in self.layers:
            own = layer.weight in learned or layer.bias in learned
            if own or depends.intersection(layer.inputs):
                depends.add(layer.name)
        return frozenset(depends)

    def backward(
        self,
        params: Mapping[str, Array],
        values: Mapping[str, Array],
        dlogits: Array,
        learned: Collection[str],
    ) -> Params:
        """Gradients of the parameters in ``learned``; a clamped output passes none on.

        With a batch norm in the net, ``values`` are those of ``forward(..., is_training=True)``.
        """
        depends = self.learning_layers(learned)
        errors = {self.layers[-1].name: dlogits}
        grads: Params = {}
        for layer in reversed(self.layers):
            if layer.name not in depends or layer.name not in errors:
                continue
            y = values[layer.name]
            dy = errors.pop(layer.name)
            if layer is not self.layers[-1]:
                dy = np.where((y > layer.lo) & (y < layer.hi), dy, np.zeros((), y.dtype))
            found = _layer_backward(layer, params, values, dy)
            grads.update(
                (name, grad)
                for name, grad in ((layer.weight, found.dw), (layer.bias, found.db))
                if grad is not None and name in learned
            )
            for name, dx in zip(layer.inputs, found.dx, strict=True):
                if name in depends:
                    errors[name] = errors[name] + dx if name in errors else dx
        return grads


def _layer_backward(
    layer: FloatLayer, params: Mapping[str, Array], values: Mapping[str, Array], dy: Array
) -> Grads:
    inputs = tuple(values[name] for name in layer.inputs)
    if isinstance(layer.op, WeightedOp):
        return layer.op.backward(inputs, params[layer.weight], dy)
    return layer.op.backward(inputs, dy)


def without_batch_norm(net: FloatNet, params: Mapping[str, Array]) -> tuple[FloatNet, Params]:
    """The same net in other parameters: each batch norm is part of the layer before it.

    Raises ValueError if a batch norm stands behind a layer that has no weights, is clamped, or is
    read by others too.
    """
    norms = {layer.inputs[0]: layer for layer in net.layers if isinstance(layer.op, BatchNorm)}
    names = {norm.name: before for before, norm in norms.items()}
    found, layers = dict(params), list[FloatLayer]()
    for layer in net.layers:
        if layer.name in names:
            continue
        inputs = tuple(names.get(name, name) for name in layer.inputs)
        norm = norms.pop(layer.name, None)
        if norm is not None:
            readers = sum(layer.name in each.inputs for each in net.layers)
            is_plain = (layer.lo, layer.hi) == (-np.inf, np.inf)
            if not isinstance(layer.op, WeightedOp) or readers > 1 or not is_plain:
                raise ValueError(f"{norm.name} stands behind {layer.name}, which {CANNOT_JOIN}")
            fold(layer, norm, found)
            layer = replace(layer, lo=norm.lo, hi=norm.hi)
        layers.append(replace(layer, inputs=inputs))
    if norms:
        raise ValueError(f"{', '.join(names)}: a batch norm stands behind the input or another one")
    return FloatNet(tuple(layers)), found


def fold(layer: FloatLayer, norm: FloatLayer, params: Params) -> None:
    """Makes the parameters of ``layer`` those of both; the norm's leave."""
    assert isinstance(norm.op, BatchNorm)
    mean, variance = params.pop(norm.mean), params.pop(norm.variance)
    factors = norm.op.factors(params.pop(norm.weight), Statistics(mean, variance))
    w = params[layer.weight]
    by_filter = (
        factors
        if isinstance(layer.op, DepthwiseConv2D)
        else np.expand_dims(factors, tuple(range(1, w.ndim)))
    )
    params[layer.weight] = w * by_filter
    params[layer.bias] = (params[layer.bias] - mean) * factors + params.pop(norm.bias)


def softmax_cross_entropy(logits: Array, labels: Labels) -> tuple[float, Array]:
    """Mean loss over (N, classes), and its gradient with respect to the logits."""
    shifted = logits - logits.max(1, keepdims=True)
    exponentials = np.exp(shifted)
    sums = exponentials.sum(1, keepdims=True)
    rows = np.arange(len(labels))
    loss = float(np.mean(np.log(sums[:, 0]) - shifted[rows, labels]))
    gradient = exponentials / sums
    gradient[rows, labels] -= 1
    return loss, gradient / len(labels)


def squared_error(outputs: Array, values: Array) -> tuple[float, Array]:
    """Mean squared error to values (N, outputs), and its gradient with respect to the outputs."""
    difference = outputs - values
    return float(np.mean(difference**2)), 2 * difference / difference.size


def accuracy(net: FloatNet, params: Mapping[str, Array], x: Array, y: Labels) -> float:
    """Share of samples whose first greatest logit is the label's."""
    return float(np.mean(net.logits(params, x).argmax(1) == y))


def sgd_step(
    net: FloatNet, params: Params, x: Array, y: Labels, rate: float, learned: Collection[str]
) -> float:
    """Plain stochastic gradient descent, in place; returns the loss before the step."""
    values = net.forward(params, x)
    loss, dlogits = softmax_cross_entropy(values[net.layers[-1].name], y)
    for name, grad in net.backward(params, values, dlogits, learned).items():
        params[name] -= params[name].dtype.type(rate) * grad
    return loss
