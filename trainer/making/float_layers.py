# SPDX-License-Identifier: Apache-2.0
"""The layers of floating-point networks in NumPy: each computes its outputs, and its gradients from
those of its outputs.

Weights lie as in TFLite: conv (O, KH, KW, I), depthwise (1, KH, KW, C * multiplier), fully
connected (O, I). Arrays keep the dtype they come in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]


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

    def pad(self, x: Array, value: float = 0.0) -> Array:
        if not any(self.pads):
            return x
        top, bottom, left, right = self.pads
        n, height, width, channels = x.shape
        shape = (n, height + top + bottom, width + left + right, channels)
        padded = np.full(shape, value, x.dtype)
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
class MaxPool2D:
    """x (N, H, W, C) -> (N, OH, OW, C); padding is never the greatest."""

    window: FloatWindow

    def forward(self, inputs: tuple[Array, ...]) -> Array:
        padded = self.window.pad(inputs[0], -np.inf)
        views = (view for _, _, view in self.window.taps(padded))
        out = next(views).copy()
        for view in views:
            np.maximum(out, view, out=out)
        return out

    def backward(self, inputs: tuple[Array, ...], dy: Array) -> Grads:
        """The gradient goes to the first of the greatest values."""
        padded = self.window.pad(inputs[0], -np.inf)
        greatest = self.forward(inputs)
        dx, left = np.zeros_like(padded), np.ones(dy.shape, bool)
        for _, _, view, dview in self.window.paired_taps(padded, dx):
            chosen = left & (view == greatest)
            dview += dy * chosen
            left &= ~chosen
        return Grads((self.window.unpad(dx),))


@dataclass(frozen=True)
class Statistics:
    """Mean and variance of each channel (C,)."""

    mean: Array
    variance: Array


@dataclass(frozen=True)
class BatchNorm:
    """x (N, ..., C), w and b (C,) -> the same shape: each channel at mean b and deviation w.

    Ioffe and Szegedy 2015, algorithm 1. It stands behind a layer with weights and leaves the net
    with it (``float_net.without_batch_norm``): no file has it.
    """

    epsilon: float = 1e-3

    def statistics(self, x: Array) -> Statistics:
        axes = tuple(range(x.ndim - 1))
        return Statistics(x.mean(axes), x.var(axes))

    def factors(self, w: Array, of: Statistics) -> Array:
        """(C,): what a value is multiplied by."""
        return np.asarray(w / np.sqrt(of.variance + self.epsilon))

    def normalized(self, x: Array, w: Array, b: Array, of: Statistics) -> Array:
        return np.asarray((x - of.mean) * self.factors(w, of) + b)

    def forward(self, inputs: tuple[Array, ...], w: Array, b: Array) -> Array:
        """By the statistics of these very samples, as in training."""
        return self.normalized(inputs[0], w, b, self.statistics(inputs[0]))

    def backward(self, inputs: tuple[Array, ...], w: Array, dy: Array) -> Grads:
        """As in training: the statistics depend on the samples."""
        x, axes = inputs[0], tuple(range(dy.ndim - 1))
        of = self.statistics(x)
        unit = (x - of.mean) / np.sqrt(of.variance + self.epsilon)
        dw, db = (dy * unit).sum(axes), dy.sum(axes)
        count = x.size // x.shape[-1]
        dx = self.factors(w, of) * (dy - (db + unit * dw) / count)
        return Grads((dx,), dw, db)


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


WeightedOp = Conv2D | DepthwiseConv2D | FullyConnected | BatchNorm
PlainOp = AveragePool2D | MaxPool2D | Add | Reshape
