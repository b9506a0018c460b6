# SPDX-License-Identifier: Apache-2.0
"""What each forward operator means in reals: plain float64, no clamps, written for clarity."""

from __future__ import annotations

import math
from fractions import Fraction
from statistics import NormalDist

import numpy as np

from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.ops.abs import Abs
from mcutrain.trainer.ops.add import Add
from mcutrain.trainer.ops.average_pool2d import AveragePool2D
from mcutrain.trainer.ops.average_pool2d_half_up import AveragePool2DHalfUp
from mcutrain.trainer.ops.batch_matmul import BatchMatMul
from mcutrain.trainer.ops.concatenation import Concatenation
from mcutrain.trainer.ops.conv2d import Conv2D
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.depthwise_conv2d_wide import DepthwiseConv2DWide
from mcutrain.trainer.ops.dilated_depthwise_conv2d import DilatedDepthwiseConv2D
from mcutrain.trainer.ops.elu import Elu
from mcutrain.trainer.ops.float_function import FloatFunction
from mcutrain.trainer.ops.fully_connected import FullyConnected
from mcutrain.trainer.ops.gelu import Gelu
from mcutrain.trainer.ops.hard_swish import HardSwish
from mcutrain.trainer.ops.l2_normalization import L2Normalization
from mcutrain.trainer.ops.leaky_relu import LeakyRelu
from mcutrain.trainer.ops.log_softmax import LogSoftmax
from mcutrain.trainer.ops.logistic import Logistic
from mcutrain.trainer.ops.max_pool2d import MaxPool2D
from mcutrain.trainer.ops.mean import Mean
from mcutrain.trainer.ops.minimum_maximum import Limit, Maximum, Minimum
from mcutrain.trainer.ops.mul import Mul
from mcutrain.trainer.ops.neg import Neg
from mcutrain.trainer.ops.pad import Pad, PadV2
from mcutrain.trainer.ops.prelu import Prelu
from mcutrain.trainer.ops.quantize import Quantize
from mcutrain.trainer.ops.reduce_max import ReduceMax
from mcutrain.trainer.ops.relu import Relu, Relu0To1, Relu6, ReluN1To1
from mcutrain.trainer.ops.reshape import ExpandDims, Reshape, Squeeze
from mcutrain.trainer.ops.resize_nearest_neighbor import ResizeNearestNeighbor
from mcutrain.trainer.ops.rsqrt import Rsqrt
from mcutrain.trainer.ops.softmax import Softmax
from mcutrain.trainer.ops.spaced_conv2d import SpacedConv2D
from mcutrain.trainer.ops.squared_difference import SquaredDifference
from mcutrain.trainer.ops.sub import Sub
from mcutrain.trainer.ops.sum import Sum
from mcutrain.trainer.ops.tanh import Tanh
from mcutrain.trainer.ops.transpose import Transpose
from mcutrain.trainer.ops.transpose_conv import TransposeConv
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.ops.window import Pool2D
from tests.support.float_moves import MOVES
from tests.support.float_recurrent import RECURRENT_MEANINGS


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
        elif type_.quant is None:  # a bias of a recurrent layer, in its own quanta
            found.append(value.astype(np.float64))
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


def windows(
    op: Weighted | Pool2D,
    x: Array,
    size: tuple[int, int],
    fill: float,
    dilation: tuple[int, int] = (1, 1),
) -> Array:
    """(out_h, out_w, kernel_h, kernel_w, C): what each output reads of x (1, H, W, C)."""
    _, out_h, out_w, _ = op.out_shape
    down, right = dilation
    span = (size[0] - 1) * down + 1, (size[1] - 1) * right + 1
    reach = np.array(span) + np.array(op.stride) * (np.array([out_h, out_w]) - 1)
    canvas = np.full((*np.maximum(reach, np.array(x.shape[1:3]) + op.padding), x.shape[3]), fill)
    top, left = op.padding
    canvas[top : top + x.shape[1], left : left + x.shape[2]] = x[0]
    found = np.empty((out_h, out_w, *size, x.shape[3]))
    for row in range(out_h):
        for column in range(out_w):
            y, z = row * op.stride[0], column * op.stride[1]
            found[row, column] = canvas[y : y + span[0] : down, z : z + span[1] : right]
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


def spaced_conv2d(node: Node, reals: list[Array]) -> Array:
    x, w, b = whole(node, reals)
    op = node.op
    assert isinstance(op, SpacedConv2D)
    read = windows(op, x, (w.shape[1], w.shape[2]), 0.0, op.dilation)
    groups = zip(np.split(read, op.groups, axis=4), np.split(w, op.groups), strict=True)
    parts = [np.einsum("yxkli,okli->yxo", part, filters) for part, filters in groups]
    return np.concatenate(parts, axis=2)[None] + b


def transpose_conv(node: Node, reals: list[Array]) -> Array:
    x, w, b = whole(node, reals)
    op = node.op
    assert isinstance(op, TransposeConv)
    (_, out_h, out_w, filters), (top, left) = op.out_shape, op.padding
    (_, in_h, in_w, _), (_, kernel_h, kernel_w, _) = x.shape, w.shape
    down, right = op.stride
    ends = (in_h - 1) * down + kernel_h, (in_w - 1) * right + kernel_w
    canvas = np.zeros((max(ends[0], top + out_h), max(ends[1], left + out_w), filters))
    for row in range(in_h):
        for column in range(in_w):
            y, z = row * down, column * right
            added = np.einsum("okli,i->klo", w, x[0, row, column])
            canvas[y : y + kernel_h, z : z + kernel_w] += added
    return canvas[top : top + out_h, left : left + out_w][None] + b


def dilated_depthwise(node: Node, reals: list[Array]) -> Array:
    x, w, b = whole(node, reals)
    assert isinstance(node.op, DilatedDepthwiseConv2D)
    read = windows(node.op, x, (w.shape[1], w.shape[2]), 0.0, node.op.dilation)
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


def log_softmax(node: Node, reals: list[Array]) -> Array:
    x = reals[0] - reals[0].max(axis=-1, keepdims=True)
    return np.asarray(x - np.log(np.exp(x).sum(axis=-1, keepdims=True)))


def batch_matmul(node: Node, reals: list[Array]) -> Array:
    op, (a, b) = node.op, reals
    assert isinstance(op, BatchMatMul)
    a = a.reshape(-1, b.shape[-1]) if op.of_rows else a
    a = np.moveaxis(a, -1, -2) if op.adj_x else a
    b = np.moveaxis(b, -1, -2) if op.adj_y else b
    return np.asarray(a @ b).reshape(op.out_shape)


def l2_normalization(node: Node, reals: list[Array]) -> Array:
    length = np.sqrt((reals[0] ** 2).sum(axis=-1, keepdims=True))
    return np.divide(reals[0], length, out=np.zeros_like(reals[0]), where=length > 0)


def reduce_max(node: Node, reals: list[Array]) -> Array:
    op = node.op
    assert isinstance(op, ReduceMax)
    rows = reals[0].reshape(op.outer, op.window[1], -1)
    return np.asarray(rows.max(axis=1)).reshape(op.out_shape)


def sum_of(node: Node, reals: list[Array]) -> Array:
    assert isinstance(node.op, Sum)
    axes = tuple(range(node.op.first, node.op.last + 1))
    return np.asarray(reals[0].sum(axis=axes, keepdims=node.op.keep_dims))


def leaky_relu(node: Node, reals: list[Array]) -> Array:
    assert isinstance(node.op, LeakyRelu)
    return np.where(reals[0] < 0, node.op.alpha * reals[0], reals[0])


def limit(node: Node, reals: list[Array]) -> Array:
    assert isinstance(node.op, Limit)
    low, high = (dequantise(node.output.type, np.array(v)) for v in node.op.limits())
    return np.clip(reals[0], low, high)


def prelu(node: Node, reals: list[Array]) -> Array:
    assert isinstance(node.op, Prelu)
    alpha = np.array(node.op.alpha).reshape(node.op.alpha_shape) * node.op.alpha_scale
    return np.where(reals[0] < 0, alpha * reals[0], reals[0])


def rsqrt(node: Node, reals: list[Array]) -> Array:
    """Infinite at 0 and below, where the root is not defined."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.maximum(reals[0], 0) ** -0.5)


def gelu(node: Node, reals: list[Array]) -> Array:
    assert isinstance(node.op, Gelu)
    x = reals[0]
    if node.op.approximate:
        return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
    return np.asarray(x * np.vectorize(NormalDist().cdf)(x))


def float_function(node: Node, reals: list[Array]) -> Array:
    assert isinstance(node.op, FloatFunction)
    functions = {
        "ABS": np.abs,
        "ELU": lambda x: np.where(x < 0, np.expm1(np.minimum(x, 0)), x),
        "EXP": np.exp,
        "NEG": np.negative,
        "RELU": lambda x: np.maximum(x, 0),
        "SQUARE": np.square,
    }
    found = reals[0]
    for name in node.op.functions:
        found = functions[name](found)
    return found


MEANINGS = {
    **MOVES,
    Conv2D: conv2d,
    DepthwiseConv2D: depthwise,
    SpacedConv2D: spaced_conv2d,
    TransposeConv: transpose_conv,
    DilatedDepthwiseConv2D: dilated_depthwise,
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
    LogSoftmax: log_softmax,
    BatchMatMul: batch_matmul,
    L2Normalization: l2_normalization,
    ReduceMax: reduce_max,
    Sum: sum_of,
    Mul: lambda node, reals: reals[0] * reals[1],
    Relu: lambda node, reals: np.maximum(reals[0], 0),
    Relu6: lambda node, reals: np.clip(reals[0], 0, 6),
    Quantize: lambda node, reals: reals[0],
    LeakyRelu: leaky_relu,
    HardSwish: lambda node, reals: reals[0] * np.clip(reals[0] + 3, 0, 6) / 6,
    Logistic: lambda node, reals: np.exp(-np.logaddexp(0, -reals[0])),
    Tanh: lambda node, reals: np.tanh(reals[0]),
    ReluN1To1: lambda node, reals: np.clip(reals[0], -1, 1),
    Relu0To1: lambda node, reals: np.clip(reals[0], 0, 1),
    Limit: limit,
    FloatFunction: float_function,
    Abs: lambda node, reals: np.abs(reals[0]),
    Neg: lambda node, reals: -reals[0],
    Elu: lambda node, reals: np.where(reals[0] < 0, np.expm1(np.minimum(reals[0], 0)), reals[0]),
    Gelu: gelu,
    Rsqrt: rsqrt,
    Prelu: prelu,
    Sub: lambda node, reals: reals[0] - reals[1],
    SquaredDifference: lambda node, reals: (reals[0] - reals[1]) ** 2,
    Minimum: lambda node, reals: np.minimum(*reals),
    Maximum: lambda node, reals: np.maximum(*reals),
    **RECURRENT_MEANINGS,
}


def meaning(node: Node, reals: list[Array]) -> Array:
    """The real output of a forward node, before any clamp."""
    return np.asarray(MEANINGS[type(node.op)](node, reals))  # type: ignore[operator]
