# SPDX-License-Identifier: Apache-2.0
"""Floating-point networks in NumPy: forward, backward and two optimisers.

They pretrain the example model and are the yardstick that integer training is measured against;
nothing of this reaches a device. Weights lie as in TFLite: conv (O, KH, KW, I), depthwise
(1, KH, KW, C * multiplier), fully connected (O, I). Arrays keep the dtype they come in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class FloatWindow:
    """How a kernel moves over (H, W): ``pads`` are top, bottom, left and right."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[int, int, int, int]
    out: tuple[int, int]

    def taps(self, x: Array) -> Iterator[tuple[int, int, Array]]:
        """Each kernel position with the view of padded ``x`` that it meets, (N, OH, OW, C)."""
        for ky in range(self.kernel[0]):
            rows = slice(ky, ky + (self.out[0] - 1) * self.stride[0] + 1, self.stride[0])
            for kx in range(self.kernel[1]):
                cols = slice(kx, kx + (self.out[1] - 1) * self.stride[1] + 1, self.stride[1])
                yield ky, kx, x[:, rows, cols]

    def paired_taps(self, x: Array, dx: Array) -> Iterator[tuple[int, int, Array, Array]]:
        for (ky, kx, view), (_, _, dview) in zip(self.taps(x), self.taps(dx), strict=True):
            yield ky, kx, view, dview

    def pad(self, x: Array) -> Array:
        if not any(self.pads):
            return x
        top, bottom, left, right = self.pads
        n, height, width, channels = x.shape
        padded = np.zeros((n, height + top + bottom, width + left + right, channels), x.dtype)
        padded[:, top : top + height, left : left + width] = x
        return padded

    def unpad(self, x: Array) -> Array:
        top, bottom, left, right = self.pads
        return x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]


def same_window(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int]
) -> FloatWindow:
    """TFLite's SAME padding; of an odd total the larger half is after.

    >>> same_window((50, 1), (5, 1), (2, 1)).pads
    (1, 2, 0, 0)
    """
    out = (-(-size[0] // stride[0]), -(-size[1] // stride[1]))
    high = max((out[0] - 1) * stride[0] + kernel[0] - size[0], 0)
    wide = max((out[1] - 1) * stride[1] + kernel[1] - size[1], 0)
    pads = (high // 2, high - high // 2, wide // 2, wide - wide // 2)
    return FloatWindow(kernel, stride, pads, out)


def valid_window(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int]
) -> FloatWindow:
    """TFLite's VALID padding: none, and what does not fill a window is left out."""
    out = ((size[0] - kernel[0]) // stride[0] + 1, (size[1] - kernel[1]) // stride[1] + 1)
    return FloatWindow(kernel, stride, (0, 0, 0, 0), out)


@dataclass(frozen=True)
class Grads:
    """What one layer's backward pass yields; ``dx`` has one entry per input."""

    dx: tuple[Array, ...]
    dw: Array | None = None
    db: Array | None = None


@dataclass(frozen=True)
class Conv2D:
    """x (N, H, W, I), w (O, KH, KW, I), b (O,) -> (N, OH, OW, O)."""

    window: FloatWindow

    def forward(self, inputs: tuple[Array, ...], w: Array, b: Array) -> Array:
        taps = self.window.taps(self.window.pad(inputs[0]))
        return sum((view @ w[:, ky, kx].T for ky, kx, view in taps), b)

    def backward(self, inputs: tuple[Array, ...], w: Array, dy: Array) -> Grads:
        padded = self.window.pad(inputs[0])
        dx, dw = np.zeros_like(padded), np.zeros_like(w)
        flat_dy = dy.reshape(-1, dy.shape[-1])
        for ky, kx, view, dview in self.window.paired_taps(padded, dx):
            dview += dy @ w[:, ky, kx]
            dw[:, ky, kx] = flat_dy.T @ view.reshape(-1, view.shape[-1])
        return Grads((self.window.unpad(dx),), dw, flat_dy.sum(0))


@dataclass(frozen=True)
class DepthwiseConv2D:
    """x (N, H, W, C), w (1, KH, KW, C * multiplier), b -> (N, OH, OW, C * multiplier)."""

    window: FloatWindow

    def forward(self, inputs: tuple[Array, ...], w: Array, b: Array) -> Array:
        wide = np.repeat(inputs[0], w.shape[3] // inputs[0].shape[3], axis=3)
        taps = self.window.taps(self.window.pad(wide))
        return sum((view * w[0, ky, kx] for ky, kx, view in taps), b)

    def backward(self, inputs: tuple[Array, ...], w: Array, dy: Array) -> Grads:
        multiplier = w.shape[3] // inputs[0].shape[3]
        padded = self.window.pad(np.repeat(inputs[0], multiplier, axis=3))
        dx, dw = np.zeros_like(padded), np.zeros_like(w)
        for ky, kx, view, dview in self.window.paired_taps(padded, dx):
            dview += dy * w[0, ky, kx]
            dw[0, ky, kx] = (dy * view).sum((0, 1, 2))
        narrow = self.window.unpad(dx).reshape(*inputs[0].shape, multiplier).sum(4)
        return Grads((narrow,), dw, dy.sum((0, 1, 2)))


@dataclass(frozen=True)
class FullyConnected:
    """x (N, ...), flattened to (N, I), w (O, I), b (O,) -> (N, O)."""

    def forward(self, inputs: tuple[Array, ...], w: Array, b: Array) -> Array:
        return inputs[0].reshape(-1, w.shape[1]) @ w.T + b

    def backward(self, inputs: tuple[Array, ...], w: Array, dy: Array) -> Grads:
        flat = inputs[0].reshape(-1, w.shape[1])
        return Grads(((dy @ w).reshape(inputs[0].shape),), dy.T @ flat, dy.sum(0))


@dataclass(frozen=True)
class AveragePool2D:
    """x (N, H, W, C) -> (N, OH, OW, C); padding is not counted."""

    window: FloatWindow

    def counts(self, x: Array) -> Array:
        ones = self.window.pad(np.ones((1, *x.shape[1:3], 1), x.dtype))
        return sum((view for _, _, view in self.window.taps(ones)), np.zeros((), x.dtype))

    def forward(self, inputs: tuple[Array, ...]) -> Array:
        x = inputs[0]
        taps = self.window.taps(self.window.pad(x))
        return sum((view for _, _, view in taps), np.zeros((), x.dtype)) / self.counts(x)

    def backward(self, inputs: tuple[Array, ...], dy: Array) -> Grads:
        dx = np.zeros_like(self.window.pad(inputs[0]))
        share = dy / self.counts(inputs[0])
        for _, _, dview in self.window.taps(dx):
            dview += share
        return Grads((self.window.unpad(dx),))


@dataclass(frozen=True)
class Add:
    """Two tensors of one shape -> their sum."""

    def forward(self, inputs: tuple[Array, ...]) -> Array:
        return inputs[0] + inputs[1]

    def backward(self, inputs: tuple[Array, ...], dy: Array) -> Grads:
        return Grads((dy, dy))


@dataclass(frozen=True)
class Reshape:
    """x (N, ...) -> (N, *shape)."""

    shape: tuple[int, ...]

    def forward(self, inputs: tuple[Array, ...]) -> Array:
        return inputs[0].reshape(-1, *self.shape)

    def backward(self, inputs: tuple[Array, ...], dy: Array) -> Grads:
        return Grads((dy.reshape(inputs[0].shape),))


WeightedOp = Conv2D | DepthwiseConv2D | FullyConnected
PlainOp = AveragePool2D | Add | Reshape


@dataclass(frozen=True)
class FloatLayer:
    """One operator, its tensors by name, and the limits [lo, hi] that its output is clamped to.

    A weighted operator's parameters are ``name/w`` and ``name/b``.
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


Params = dict[str, Array]
INPUT = "input"


@dataclass(frozen=True)
class FloatNet:
    """Layers in execution order; the last one's output is the logits, (N, classes)."""

    layers: tuple[FloatLayer, ...]

    def forward(self, params: Mapping[str, Array], x: Array) -> dict[str, Array]:
        """Every layer's output by its name, and the input's as ``INPUT``."""
        values = {INPUT: x}
        for layer in self.layers:
            inputs = tuple(values[name] for name in layer.inputs)
            if isinstance(layer.op, WeightedOp):
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
        """Gradients of the parameters in ``learned``; a clamped output passes none on."""
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


@dataclass(eq=False)
class Adam:
    """Kingma and Ba 2015, algorithm 1, with the weight decay decoupled from the gradient."""

    decay: float = 0.0
    first: Params = field(default_factory=dict)
    second: Params = field(default_factory=dict)
    steps: int = 0

    def update(self, params: Params, grads: Mapping[str, Array], rate: float) -> None:
        self.steps += 1
        for name, grad in grads.items():
            m = 0.9 * self.first.get(name, 0.0) + 0.1 * grad
            v = 0.999 * self.second.get(name, 0.0) + 0.001 * grad * grad
            self.first[name], self.second[name] = m, v
            direction = (m / (1 - 0.9**self.steps)) / (np.sqrt(v / (1 - 0.999**self.steps)) + 1e-8)
            params[name] -= rate * (direction + self.decay * params[name])


def fit(
    net: FloatNet,
    params: Params,
    x: Array,
    y: Labels | Array,
    *,
    epochs: int = 30,
    batch: int = 32,
    rate: float = 2e-3,
    decay: float = 1e-2,
    seed: int = 1,
    loss: Callable[..., tuple[float, Array]] = softmax_cross_entropy,
) -> None:
    """Trains ``params`` in place on x (N, ...): Adam, the rate falling as a cosine.

    y are labels (N,), or values (N, outputs) with ``squared_error`` as the loss. What is left over
    of an epoch's last batch sits the epoch out. Raises ValueError if there are fewer samples than
    a batch has.
    """
    batches = len(x) // batch
    if not batches:
        raise ValueError(f"{len(x)} samples do not fill a batch of {batch}")
    rng, adam = np.random.default_rng(seed), Adam(decay)
    for epoch in range(epochs):
        for i, picked in enumerate(rng.permutation(len(x))[: batches * batch].reshape(-1, batch)):
            values = net.forward(params, x[picked])
            _, dlogits = loss(values[net.layers[-1].name], y[picked])
            done = (epoch + i / batches) / epochs
            now = rate * 0.5 * (1 + np.cos(np.pi * done))
            adam.update(params, net.backward(params, values, dlogits, params), now)
