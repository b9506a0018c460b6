# SPDX-License-Identifier: Apache-2.0
"""The forward operators in PyTorch, each twice: in reals, and bit for bit as int8.

Tensors lie as in TFLite, (N, H, W, C) or (N, C), with samples along N. In reals they hold real
values. As int8 they hold q - z, quanta less the zero point, in float32, which is exact.

Of PyTorch it is taken that a float32 convolution sums plain products in some order, as oneDNN's
direct and matrix algorithms do and Winograd's does not: then it is exact while no sum passes
2**24. Where one could, float64 is used. The tests compare bits with ``trainer.interpreter``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._C import _functorch as functorch
from torch.nn import functional as F

from mcutrain.trainer.fixedpoint import Requant
from mcutrain.trainer.graph.op import Node, Op
from mcutrain.trainer.graph.tensor import Array, Role, TensorType
from mcutrain.trainer.ops.add import LEFT_SHIFT, Add
from mcutrain.trainer.ops.average_pool2d import AveragePool2D
from mcutrain.trainer.ops.concatenation import Concatenation
from mcutrain.trainer.ops.conv2d import Conv2D
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.dilated_depthwise_conv2d import DilatedDepthwiseConv2D
from mcutrain.trainer.ops.fully_connected import FullyConnected
from mcutrain.trainer.ops.lookup import Lookup
from mcutrain.trainer.ops.max_pool2d import MaxPool2D
from mcutrain.trainer.ops.mean import Mean
from mcutrain.trainer.ops.minimum_maximum import Limit
from mcutrain.trainer.ops.pad import Pad
from mcutrain.trainer.ops.relu import Relu0To1, ReluN1To1
from mcutrain.trainer.ops.reshape import Reshape
from mcutrain.trainer.ops.weighted import Weighted, filter_scales
from mcutrain.trainer.ops.window import Geometry

FLOAT32_EXACT = 2**24  # integers up to this are float32 values


def wrap32(x: Tensor) -> Tensor:
    """int64 modulo 2**32, as signed 32-bit values in int64."""
    return x.to(torch.int32).to(torch.int64)


def wants_gradient(x: Tensor) -> bool:
    """Inside torch.func.vmap it is the tensor of all runs that says so."""
    return (functorch.get_unwrapped(x) if functorch.is_batchedtensor(x) else x).requires_grad


class Rescale:
    """``trainer.fixedpoint.requantize`` by constants: one factor, or one for each channel.

    With r = max(-shift, 0), both its roundings are floor((x m + 2**30 + h) / 2**(31 + r)), where
    h is 2**31 times the half that the second adds, 2**(r - 1), and less by one for x < 0, whose
    ties go down. Where r is 0, h is 0. (A small x < 0 that the first rounds to 0 stays 0.)
    """

    def __init__(self, multiplier: Any, shift: Any) -> None:
        shifts = torch.from_numpy(np.array(shift, np.int64))
        right = (-shifts).clamp(min=0)
        half = (torch.ones_like(shifts) << right) >> 1
        self.left = shifts.clamp(min=0)
        self.multiplier = torch.from_numpy(np.array(multiplier, np.int64))
        self.below = torch.where(right > 0, -(1 << 31), 0)  # selects -2**31 from x < 0
        self.offset = (1 << 30) + (half << 31)
        self.right = 31 + right
        self.is_left = bool((self.left > 0).any())
        self.is_narrow = bool((right > 0).all())  # no result passes 2**30

    @classmethod
    def of(cls, factor: Requant) -> Rescale:
        return cls(factor.multiplier, factor.shift)

    def __call__(self, x: Tensor) -> Tensor:
        """int64 that hold int32 -> the same; ``x`` is overwritten."""
        if self.is_left:
            x = wrap32(x << self.left)
        below = x & self.below
        x *= self.multiplier
        x += below
        x += self.offset
        x >>= self.right
        return x


@dataclass(frozen=True)
class ClampLimits:
    """Where an int8 output saturates, in quanta less its zero point."""

    lo: int
    hi: int
    zero_point: int

    @classmethod
    def of(cls, node: Node) -> ClampLimits:
        zero_point = node.output.type.zero_point
        lo, hi = node.output.limits
        return cls(lo - zero_point, hi - zero_point, zero_point)

    def rescaled(self, rescale: Rescale, x: Tensor) -> Tensor:
        """The int8 output of int32 sums in int64, which are overwritten."""
        x = rescale(x)
        if not rescale.is_narrow:
            x = wrap32(x + self.zero_point) - self.zero_point
        return self.clamp(x)

    def clamp(self, x: Tensor) -> Tensor:
        return x.to(torch.float32).clamp(self.lo, self.hi)


def nchw(x: Tensor) -> Tensor:
    """The view that PyTorch's convolutions and pools take; ``channels_last`` in memory."""
    return x.permute(0, 3, 1, 2)


def nhwc(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def margins(g: Geometry) -> tuple[int, int, int, int]:
    """What windows reach beyond the input: left, right, top and bottom, as F.pad takes it."""
    bottom = (g.out_h - 1) * g.stride_h + g.kernel_h - g.pad_top - g.in_h
    right = (g.out_w - 1) * g.stride_w + g.kernel_w - g.pad_left - g.in_w
    return g.pad_left, max(right, 0), g.pad_top, max(bottom, 0)


WEIGHTED = (Conv2D, DepthwiseConv2D, FullyConnected)


class TorchLayer:
    """CONV_2D, DEPTHWISE_CONV_2D or FULLY_CONNECTED, with whole weights in TFLite's layout."""

    def __init__(self, node: Node) -> None:
        assert isinstance(node.op, Weighted)
        is_known = any(computes_as(node.op, kind) for kind in WEIGHTED)
        if not is_known or isinstance(node.op, DilatedDepthwiseConv2D):
            raise unknown(node)
        self.op, self.out_shape = node.op, node.output.type.shape
        x, w = (t.type for t in node.inputs[:2])
        self.g = self.op.geometry(x, w)
        self.reach = max(127 - x.zero_point, x.zero_point + 128)  # the greatest |q - z|
        self.fan_in = w.size // w.shape[self.op.out_axis]
        self.rescale = Rescale(*self.op.requants(x, w))
        self.limits = ClampLimits.of(node)
        factors = x.scale * filter_scales(w, self.op.out_axis) / self.op.out_quant.scale
        self.factors = torch.from_numpy(factors.astype(np.float32))

    def correlate(self, x: Tensor, w: Tensor) -> Tensor:
        """Sums of products without bias, in the dtype of both."""
        if isinstance(self.op, FullyConnected):
            rows = F.linear(x.reshape(-1, self.g.in_ch), w)
            return rows.reshape(len(x), *self.out_shape[1:])
        by_channel = self.op.by_channel
        w = w.permute(3, 0, 1, 2) if by_channel else nchw(w)
        left, right, top, bottom = margins(self.g)
        x, padding = nchw(x), (top, left)
        if (left, top) != (right, bottom):  # F.conv2d itself pads both sides alike
            x, padding = F.pad(x, (left, right, top, bottom)), (0, 0)
        stride = (self.g.stride_h, self.g.stride_w)
        groups = self.g.in_ch if by_channel else 1
        return nhwc(F.conv2d(x, w, None, stride, padding, groups=groups))

    def real(self, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        out = self.correlate(x, w)
        return out if b is None else out + b

    def int8(self, x: Tensor, w: Tensor, b: Tensor | None) -> tuple[Tensor, Tensor]:
        """(the output in quanta before it is rounded, the output); w and b hold integers."""
        wide = not self.fits_float32(w)
        acc = self.correlate(x.double(), w.double()) if wide else self.correlate(x, w)
        with torch.no_grad():
            total = (acc.long() if wide else acc).to(torch.int32)
            if b is not None:
                total += b.to(torch.int32)  # modulo 2**32
            out = self.limits.rescaled(self.rescale, total.to(torch.int64))
        if not wants_gradient(acc) and (b is None or not wants_gradient(b)):
            return out, out
        return (acc if b is None else acc + b.to(acc.dtype)) * self.factors, out

    def fits_float32(self, w: Tensor) -> bool:
        """Whether no sum of products passes what float32 holds exactly."""
        if self.fan_in * self.reach * 128 <= FLOAT32_EXACT:
            return True
        if functorch.is_batchedtensor(w):
            return False  # those of several runs, which nothing can look into
        axes = [k for k in range(w.dim()) if k != self.op.out_axis]
        return self.reach * float(w.detach().abs().sum(axes).max()) <= FLOAT32_EXACT


Function = Callable[..., Tensor]


@dataclass(frozen=True)
class Plain:
    """An operator without weights: ``real`` is its meaning, ``exact`` its bits.

    ``ratios`` are what one quantum of each input is in quanta of the output.
    """

    real: Function
    exact: Function
    ratios: tuple[float, ...] = (1.0,)

    def int8(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(the output in quanta before it is rounded, the output)."""
        with torch.no_grad():
            out = self.exact(*inputs)
        if not any(map(wants_gradient, inputs)):
            return out, out
        pairs = zip(inputs, self.ratios, strict=True)
        return self.real(*(x if r == 1 else x * r for x, r in pairs)), out


def plain(node: Node) -> Plain:
    """The operator of a node without weights. Raises NotImplementedError for those left out."""
    for kind, make in MAKERS.items():
        if isinstance(node.op, kind) and computes_as(node.op, kind):
            return make(node, node.op)
    raise unknown(node)


def computes_as(op: Op, kind: type[Op]) -> bool:
    """Whether an operator of a child class computes what ``kind`` does, as variants do."""
    if isinstance(op, Lookup):  # of these limits float32 would pass on what lies beyond
        return not isinstance(op, Limit | ReluN1To1 | Relu0To1)
    return type(op).tflite_name == kind.tflite_name and type(op).reference is kind.reference


def unknown(node: Node) -> NotImplementedError:
    return NotImplementedError(
        f"{node.name}: PyTorch training does not know {type(node.op).__name__}; "
        "add it to MAKERS of benchmarks/torch_ops.py"
    )


def add(node: Node, op: Add) -> Plain:
    a, b = node.inputs
    if Role.CONST not in (a.role, b.role) and len(a.type.shape) != len(b.type.shape):
        raise NotImplementedError(f"{node.name}: an ADD of {a.type.shape} and {b.type.shape}")
    *factors, out = (Rescale.of(r) for r in op.requants(a.type, b.type))
    limits = ClampLimits.of(node)

    def exact(*inputs: Tensor) -> Tensor:
        terms = [f(x.long() << LEFT_SHIFT) for f, x in zip(factors, inputs, strict=True)]
        return limits.rescaled(out, terms[0] + terms[1])

    ratios = tuple(x.type.scale / op.out_quant.scale for x in node.inputs)
    return Plain(torch.add, exact, ratios)


def average_pool(node: Node, op: AveragePool2D) -> Plain:
    x = node.inputs[0].type
    g, limits = op.geometry(x), ClampLimits.of(node)
    counts = torch.from_numpy(op.counts(g)[..., None])

    def sums(x: Tensor) -> Tensor:
        x = F.pad(nchw(x), margins(g))
        size, stride = (g.kernel_h, g.kernel_w), (g.stride_h, g.stride_w)
        return nhwc(F.avg_pool2d(x, size, stride, divisor_override=1))

    def exact(inputs: Tensor) -> Tensor:
        total = sums(inputs.double()).long() + counts * x.zero_point
        size = (total.abs() + counts // 2) // counts
        return limits.clamp(total.sign() * size - x.zero_point)

    return Plain(lambda x: sums(x) / counts, exact)


def max_pool(node: Node, op: MaxPool2D) -> Plain:
    """The error goes to the first maximum, as PyTorch's own does on a CPU."""
    g, limits = op.geometry(node.inputs[0].type), ClampLimits.of(node)

    def real(x: Tensor) -> Tensor:
        x = F.pad(nchw(x), margins(g), value=-torch.inf)
        return nhwc(F.max_pool2d(x, (g.kernel_h, g.kernel_w), (g.stride_h, g.stride_w)))

    return Plain(real, lambda x: real(x).clamp(limits.lo, limits.hi))


def mean(node: Node, op: Mean) -> Plain:
    x, limits = node.inputs[0].type, ClampLimits.of(node)
    axes = tuple(range(op.first, op.last + 1))
    factor = Rescale.of(op.factor(x))

    def exact(x: Tensor) -> Tensor:
        return limits.rescaled(factor, x.long().sum(axes, keepdim=op.keep_dims))

    ratio = x.scale / op.out_quant.scale
    return Plain(lambda x: x.mean(axes, keepdim=op.keep_dims), exact, (ratio,))


def pad(node: Node, op: Pad) -> Plain:
    if op.value != node.inputs[0].type.zero_point:
        raise NotImplementedError(f"{node.name}: a PAD with a value that is not zero")
    widths = [w for pair in zip(op.before[::-1], op.after[::-1], strict=True) for w in pair]

    def real(x: Tensor) -> Tensor:
        return F.pad(x, widths)

    return Plain(real, real)


def reshape(node: Node, op: Reshape) -> Plain:
    def real(x: Tensor) -> Tensor:
        return x.reshape(len(x), *op.shape[1:])

    return Plain(real, real)


def concatenation(node: Node, op: Concatenation) -> Plain:
    if any(x.role is Role.CONST for x in node.inputs):
        raise NotImplementedError(f"{node.name}: a CONCATENATION with a constant")

    def real(*inputs: Tensor) -> Tensor:
        return torch.cat(inputs, op.axis)

    return Plain(real, real, (1.0,) * len(node.inputs))


def lookup(node: Node, op: Lookup) -> Plain:
    """RELU, RELU6 and QUANTIZE, whose slope is 1 inside their limits."""
    if not op.passes_on:
        raise unknown(node)
    x = node.inputs[0].type
    outputs = op.table(x).astype(np.float32) - op.out_quant.zero_point
    table = torch.from_numpy(outputs)
    first = -128 - x.zero_point
    ratio = x.scale / op.out_quant.scale
    return Plain(lambda x: x, lambda x: table[(x - first).long()], (ratio,))


MAKERS: dict[type, Callable[[Node, Any], Plain]] = {
    Add: add,
    AveragePool2D: average_pool,
    MaxPool2D: max_pool,
    Mean: mean,
    Pad: pad,
    Reshape: reshape,
    Concatenation: concatenation,
    Lookup: lookup,
}


def centred(type_: TensorType, q: Array) -> Tensor:
    """int8 values of a type as float32 quanta less the zero point."""
    return torch.from_numpy(q.astype(np.float32) - np.float32(type_.zero_point))
