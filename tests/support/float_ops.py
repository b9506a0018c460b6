# SPDX-License-Identifier: Apache-2.0
"""What each forward operator means in reals: plain float64, no clamps, written for clarity."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.ops.add import Add
from mcutrain.trainer.ops.average_pool2d import AveragePool2D
from mcutrain.trainer.ops.average_pool2d_half_up import AveragePool2DHalfUp
from mcutrain.trainer.ops.concatenation import Concatenation
from mcutrain.trainer.ops.conv2d import Conv2D
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.depthwise_conv2d_wide import DepthwiseConv2DWide
from mcutrain.trainer.ops.fully_connected import FullyConnected
from mcutrain.trainer.ops.hard_swish import HardSwish
from mcutrain.trainer.ops.leaky_relu import LeakyRelu
from mcutrain.trainer.ops.logistic import Logistic
from mcutrain.trainer.ops.max_pool2d import MaxPool2D
from mcutrain.trainer.ops.mean import Mean
from mcutrain.trainer.ops.mul import Mul
from mcutrain.trainer.ops.pad import Pad, PadV2
from mcutrain.trainer.ops.quantize import Quantize
from mcutrain.trainer.ops.relu import Relu, Relu6
from mcutrain.trainer.ops.reshape import ExpandDims, Reshape, Squeeze
from mcutrain.trainer.ops.resize_nearest_neighbor import ResizeNearestNeighbor
from mcutrain.trainer.ops.softmax import Softmax
from mcutrain.trainer.ops.tanh import Tanh
from mcutrain.trainer.ops.transpose import Transpose
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.ops.window import Pool2D
from tests.support.float_moves import MOVES


def dequantise(type_: TensorType, q: Array) -> Array:
    """scale * (q - zero_point), along the type's axis where scales differ."""
    quant = type_.quant
    assert quant is not None
    shape = [1] * len(type_.shape)
    if quant.axis is not None:
        shape[quant.axis] = -1
    return np.array(quant.scales).reshape(shape) * (q.astype(np.float64) - quant.zero_point)


def bias_scales(x: TensorType, w: TensorType, channels: int) -> Array:
    """(channels,): what one step of each int32 bias stands for."""
    assert w.quant is not None
    return x.scale * np.broadcast_to(np.array(w.quant.scales), (channels,))


def real_inputs(node: Node, values: tuple[Array, ...]) -> list[Array]:
    """The node's inputs in reals; biases have no type of their own."""
    types = [t.type for t in node.inputs]
    found = []
    for k, (type_, value) in enumerate(zip(types, values, strict=True)):
        if isinstance(node.op, Weighted) and node.op.has_bias and k == 2:
            found.append(value * bias_scales(types[0], types[1], value.size))
        else:
            found.append(dequantise(type_, value))
    return found


def whole(node: Node, reals: list[Array]) -> tuple[Array, Array, Array | float]:
    """(x, w, b) of a layer; where it is learned in part, with the learned weights added."""
    op = node.op
    assert isinstance(op, Weighted)
    x, w = reals[:2]
    b = reals[2] if op.has_bias else 0.0
    if op.channels is not None:
        w = w.copy()
        w[..., list(op.columns(*(t.type for t in node.inputs[:2])))] += reals[-1]
    elif op.has_two_parts:
        w = w + reals[-1]
    return x, w, b


def windows(op: Weighted | Pool2D, x: Array, size: tuple[int, int], fill: float) -> Array:
    """(out_h, out_w, kernel_h, kernel_w, C): what each output reads of x (1, H, W, C)."""
    _, out_h, out_w, _ = op.out_shape
    reach = np.array(size) + np.array(op.stride) * (np.array([out_h, out_w]) - 1)
    canvas = np.full((*np.maximum(reach, np.array(x.shape[1:3]) + op.padding), x.shape[3]), fill)
    top, left = op.padding
    canvas[top : top + x.shape[1], left : left + x.shape[2]] = x[0]
    found = np.empty((out_h, out_w, *size, x.shape[3]))
    for row in range(out_h):
        for column in range(out_w):
            y, z = row * op.stride[0], column * op.stride[1]
            found[row, column] = canvas[y : y + size[0], z : z + size[1]]
    return found


def conv2d(node: Node, reals: list[Array]) -> Array:
    x, w, b = whole(node, reals)
    assert isinstance(node.op, Weighted)
    read = windows(node.op, x, (w.shape[1], w.shape[2]), 0.0)
    return np.einsum("yxkli,okli->yxo", read, w)[None] + b


def depthwise(node: Node, reals: list[Array]) -> Array:
    x, w, b = whole(node, reals)
    assert isinstance(node.op, Weighted)
    read = windows(node.op, x, (w.shape[1], w.shape[2]), 0.0)
    read = np.repeat(read, w.shape[3] // x.shape[3], axis=4)
    return np.einsum("yxklo,klo->yxo", read, w[0])[None] + b


def fully_connected(node: Node, reals: list[Array]) -> Array:
    x, w, b = whole(node, reals)
    return (x.reshape(-1, w.shape[1]) @ w.T + b).reshape(node.output.type.shape)


def average_pool(node: Node, reals: list[Array]) -> Array:
    assert isinstance(node.op, AveragePool2D)
    return np.asarray(np.nanmean(windows(node.op, reals[0], node.op.window, np.nan), axis=(2, 3)))[
        None
    ]


def reshape(node: Node, reals: list[Array]) -> Array:
    return reals[0].reshape(node.output.type.shape)


def max_pool(node: Node, reals: list[Array]) -> Array:
    assert isinstance(node.op, MaxPool2D)
    return np.asarray(windows(node.op, reals[0], node.op.window, -np.inf).max(axis=(2, 3)))[None]


def mean(node: Node, reals: list[Array]) -> Array:
    assert isinstance(node.op, Mean)
    axes = tuple(range(node.op.first, node.op.last + 1))
    return np.asarray(reals[0].mean(axis=axes, keepdims=node.op.keep_dims))


def pad(node: Node, reals: list[Array]) -> Array:
    assert isinstance(node.op, Pad)
    x, widths = node.inputs[0].type, tuple(zip(node.op.before, node.op.after, strict=True))
    value = x.scale * (node.op.value - x.zero_point)
    return np.pad(reals[0], widths, constant_values=value)


def concatenation(node: Node, reals: list[Array]) -> Array:
    assert isinstance(node.op, Concatenation)
    return np.concatenate(reals, node.op.axis)


def transpose(node: Node, reals: list[Array]) -> Array:
    assert isinstance(node.op, Transpose)
    return reals[0].transpose(node.op.order)


def resize(node: Node, reals: list[Array]) -> Array:
    """The positions as exact fractions."""
    op = node.op
    assert isinstance(op, ResizeNearestNeighbor)
    half, found = Fraction(int(op.half_pixel_centers), 2), []
    for size, wanted in zip(reals[0].shape[1:3], op.size, strict=True):
        corners = op.align_corners and wanted > 1
        step = Fraction(size - 1, wanted - 1) if corners else Fraction(size, wanted)
        at = [(k + half) * step + Fraction(int(op.align_corners), 2) for k in range(wanted)]
        found.append([min(math.floor(position), size - 1) for position in at])
    return reals[0][:, found[0]][:, :, found[1]]


def softmax(node: Node, reals: list[Array]) -> Array:
    assert isinstance(node.op, Softmax)
    e = np.exp(node.op.beta * (reals[0] - reals[0].max(axis=-1, keepdims=True)))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def leaky_relu(node: Node, reals: list[Array]) -> Array:
    assert isinstance(node.op, LeakyRelu)
    return np.where(reals[0] < 0, node.op.alpha * reals[0], reals[0])


MEANINGS = {
    **MOVES,
    Conv2D: conv2d,
    DepthwiseConv2D: depthwise,
    DepthwiseConv2DWide: depthwise,
    FullyConnected: fully_connected,
    AveragePool2D: average_pool,
    AveragePool2DHalfUp: average_pool,
    Add: lambda node, reals: reals[0] + reals[1],
    MaxPool2D: max_pool,
    Mean: mean,
    Pad: pad,
    PadV2: pad,
    Concatenation: concatenation,
    Transpose: transpose,
    ResizeNearestNeighbor: resize,
    Reshape: reshape,
    Squeeze: reshape,
    ExpandDims: reshape,
    Softmax: softmax,
    Mul: lambda node, reals: reals[0] * reals[1],
    Relu: lambda node, reals: np.maximum(reals[0], 0),
    Relu6: lambda node, reals: np.clip(reals[0], 0, 6),
    Quantize: lambda node, reals: reals[0],
    LeakyRelu: leaky_relu,
    HardSwish: lambda node, reals: reals[0] * np.clip(reals[0] + 3, 0, 6) / 6,
    Logistic: lambda node, reals: np.exp(-np.logaddexp(0, -reals[0])),
    Tanh: lambda node, reals: np.tanh(reals[0]),
}


def meaning(node: Node, reals: list[Array]) -> Array:
    """The real output of a forward node, before any clamp."""
    return np.asarray(MEANINGS[type(node.op)](node, reals))  # type: ignore[operator]
