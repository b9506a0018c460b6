# SPDX-License-Identifier: Apache-2.0
"""One row per thing worth checking about an operator. Every test of operators reads this."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tests.feeds import (
    Feed,
    bias,
    error,
    exponent,
    filters,
    frozen_part,
    gathered,
    history,
    label,
    s8,
    sgd,
    unmasked,
    zero,
)
from trainer.ops.add import Add
from trainer.ops.average_pool2d import AveragePool2D, AveragePool2DGrad, AveragePool2DPassError
from trainer.ops.base import Op
from trainer.ops.conv2d import Conv2D
from trainer.ops.depthwise_conv2d import DepthwiseConv2D
from trainer.ops.error import MaskError, SumErrors
from trainer.ops.fully_connected import FullyConnected
from trainer.ops.gather_channels import GatherChannels
from trainer.ops.reshape import Reshape
from trainer.ops.sgd import BiasUpdate, CountStep
from trainer.ops.softmax import Softmax
from trainer.ops.softmax_cross_entropy import SoftmaxCrossEntropy
from trainer.tensor import QuantParams as Q
from trainer.tensor import Role, Tensor, TensorType


@dataclass(frozen=True)
class Case:
    """One node: an operator, how each of its inputs is drawn, and how often."""

    name: str
    op: Op
    feeds: tuple[Feed, ...]
    rounds: int = 16


def place(size: int, kernel: int, stride: int, same: bool) -> tuple[int, int]:
    """(outputs, padding before) along one axis, by TFLite's rule."""
    out = -(-size // stride) if same else (size - kernel) // stride + 1
    return out, max(0, (out - 1) * stride + kernel - size) // 2


X_QUANT, OUT_QUANT = Q((0.05,), -3), Q((0.07,), 5)


@dataclass(frozen=True)
class Layer:
    """A layer with weights: its forward, input gradient, weight and bias update are four rows.

    ``w`` is (O, KH, KW, I), for DepthwiseConv2D (1, KH, KW, O), for FullyConnected (O, I).
    """

    name: str
    kind: type[Conv2D]
    x: tuple[int, ...]
    w: tuple[int, ...]
    stride: tuple[int, int] = (1, 1)
    same: bool = True
    x_quant: Q = X_QUANT
    out_quant: Q = OUT_QUANT
    w_scales: tuple[float, ...] | None = None  # None: another one for each filter
    act: tuple[int, int] = (-128, 127)
    x_limits: tuple[int, int] = (-128, 127)
    bias_bits: int | None = 12  # None: no bias
    dead: tuple[int, ...] = ()
    channels: tuple[int, ...] | None = None
    exponents: tuple[int, int] = (-20, 0)
    rate_shifts: tuple[int, int] = (6, 20)
    rounds: int = 16

    @property
    def filters(self) -> int:
        return self.w[self.kind.out_axis]

    def op(self) -> Conv2D:
        if self.kind is FullyConnected:
            rows = int(np.prod(self.x)) // self.w[1]
            shape, pads = (rows, self.filters), (0, 0)
        else:
            sizes = zip(self.x[1:3], self.w[1:3], self.stride, strict=True)
            (h, top), (w, left) = (place(*size, self.same) for size in sizes)
            shape, pads = (1, h, w, self.filters), (top, left)
        return self.kind(
            self.out_quant, shape, self.stride, pads, *self.act,
            has_bias=self.bias_bits is not None, dead=self.dead, channels=self.channels,
        )  # fmt: skip

    def w_quant(self) -> Q:
        scales = self.w_scales or tuple(0.001 * 1.37 ** (c % 9) for c in range(self.filters))
        return Q(tuple(float(np.float32(s)) for s in scales), 0, self.kind.out_axis)

    def rows(self) -> Iterator[Case]:
        op, quant = self.op(), self.w_quant()
        x = s8(*self.x, quant=self.x_quant)
        w = filters(*self.w, quant=quant)
        b = () if self.bias_bits is None else (bias(self.filters, self.bias_bits, self.dead),)
        saved, learned, part = x, w, ()
        if self.channels is not None:
            columns = op.columns(x.type, w.type)
            saved = gathered(x.type, op.geometry(x.type, w.type).in_ch, self.channels)
            learned = filters(*self.w[:-1], len(columns), quant=part_quant(quant, columns))
            w, part = frozen_part(w, columns), (learned,)
        dout = error(*op.out_shape)
        e, rate = exponent(*self.exponents), sgd(self.rate_shifts)
        here = Tensor("x", x.type, Role.INPUT, limits=self.x_limits)
        weights = Tensor("w", w.type, Role.CONST)
        split = (saved, *part) if part else ()
        yield Case(self.name, op, (x, w, *b, *split), self.rounds)
        inner = (unmasked(x.type, self.x_limits), history(self.exponents))
        dx = op.grad_input(here)
        yield Case(f"{self.name}/dx", dx, (dout, e, w, *part, *inner), self.rounds)
        frac = replace(learned, type=TensorType(learned.type.shape, learned.type.dtype))
        update = op.weight_update(here, weights)
        # On its own the saved input need not be a part of anything.
        saved = s8(*saved.type.shape, quant=self.x_quant)
        inputs = (learned, frac, saved, dout, e, rate)
        yield Case(f"{self.name}/dw", update, inputs, self.rounds)
        if b:
            db = BiasUpdate(self.x_quant.scale, quant, self.dead)
            yield Case(f"{self.name}/db", db, (*b, dout, e, rate), self.rounds)


def part_quant(quant: Q, columns: tuple[int, ...]) -> Q:
    """Of the learned columns: depthwise filters lie along the columns, others do not."""
    if quant.axis != 3 or len(quant.scales) == 1:
        return quant
    return replace(quant, scales=tuple(quant.scales[c] for c in columns))


CONV, DW, FC = Conv2D, DepthwiseConv2D, FullyConnected
DEAD = (0.004, 1e-9, 0.003, 0.004)
LAYERS = [
    Layer("conv/1x1", CONV, (1, 1, 1, 1), (1, 1, 1, 1)),
    Layer("conv/odd", CONV, (1, 5, 7, 3), (4, 3, 3, 3)),
    Layer("conv/pointwise", CONV, (1, 4, 3, 8), (17, 1, 1, 8), x_limits=(-3, 127)),
    Layer("conv/stride", CONV, (1, 6, 5, 2), (3, 3, 3, 2), stride=(2, 2)),
    Layer("conv/uneven", CONV, (1, 9, 11, 2), (3, 2, 4, 2), stride=(1, 3), same=False),
    Layer("conv/unread-edge", CONV, (1, 8, 8, 2), (2, 2, 2, 2), stride=(3, 3), same=False),
    Layer("conv/kernel-exceeds-x", CONV, (1, 3, 2, 2), (2, 5, 4, 2)),
    Layer("conv/tall", CONV, (1, 13, 5, 1), (3, 10, 4, 1), stride=(2, 2), act=(-50, 60)),
    Layer("conv/32-rows", CONV, (1, 33, 2, 1), (2, 32, 1, 1), same=False),
    Layer("conv/zero-points", CONV, (1, 4, 4, 3), (2, 3, 3, 3), x_quant=Q((0.05,), 127),
          out_quant=Q((0.03,), -128), act=(-128, -28), x_limits=(-20, 20)),
    Layer("conv/least-zero-point", CONV, (1, 4, 4, 3), (2, 3, 3, 3), x_quant=Q((0.05,), -128),
          x_limits=(-128, 90)),
    Layer("conv/saturates", CONV, (1, 3, 3, 2), (2, 3, 3, 2), out_quant=Q((0.001,), 9)),
    Layer("conv/left-shift", CONV, (1, 3, 3, 2), (2, 3, 3, 2), out_quant=Q((1e-5,), 1)),
    Layer("conv/far-right-shift", CONV, (1, 3, 3, 2), (2, 3, 3, 2), w_scales=(1e-7, 2e-11),
          dead=(1,), bias_bits=30),
    Layer("conv/one-scale", CONV, (1, 3, 4, 2), (3, 2, 2, 2), w_scales=(0.004,)),
    Layer("conv/no-bias", CONV, (1, 3, 4, 2), (3, 2, 2, 2), bias_bits=None),
    Layer("conv/dead-wraps", CONV, (1, 4, 4, 3), (4, 3, 3, 3), w_scales=DEAD, dead=(1, 2),
          bias_bits=31),
    Layer("conv/bands", CONV, (1, 65, 64, 1), (2, 2, 1, 1), bias_bits=20),
    Layer("conv/bands-uneven", CONV, (1, 83, 50, 2), (1, 1, 3, 2), bias_bits=None),
    Layer("conv/bands-stride", CONV, (1, 131, 130, 1), (1, 3, 3, 1), stride=(2, 2)),
    Layer("conv/in-part", CONV, (1, 5, 4, 6), (3, 3, 3, 6), channels=(1, 4)),
    Layer("conv/in-part-ends", CONV, (1, 3, 3, 5), (4, 1, 1, 5), channels=(0, 4), bias_bits=None,
          x_limits=(-3, 50)),
    Layer("conv/in-part-dead", CONV, (1, 4, 4, 3), (4, 3, 3, 3), w_scales=DEAD, dead=(1, 3),
          bias_bits=31, channels=(2,), stride=(2, 1)),
    Layer("conv/rounding-exact-and-left", CONV, (1, 3, 4, 2), (3, 2, 2, 2), exponents=(0, 45)),
    Layer("conv/rounding-twice", CONV, (1, 3, 4, 2), (3, 2, 2, 2), exponents=(-70, -20)),
    Layer("conv/rounds-to-nothing", CONV, (1, 3, 4, 2), (3, 2, 2, 2), exponents=(-120, -75)),
    Layer("conv/great-rate", CONV, (1, 5, 5, 2), (3, 3, 3, 2), exponents=(-6, 0),
          rate_shifts=(0, 3)),
    # At the bounds that rule out overflow (SPEC 1.4).
    Layer("conv/greatest-fan-out", CONV, (1, 1, 1, 2), (8196, 1, 1, 2), w_scales=(0.25,),
          rounds=5),
    Layer("conv/most-positions", CONV, (1, 4113, 1, 1), (1, 1, 1, 1), x_quant=Q((0.05,), -128),
          rounds=5),
    Layer("fc/greatest-fan-in", FC, (1, 65792), (1, 65792), x_quant=Q((0.05,), -128),
          bias_bits=None, out_quant=Q((40.0,), 0), rounds=5),
    Layer("dw/saturated-sums", DW, (1, 6, 8, 2), (1, 6, 8, 2), w_scales=(0.25, 0.1)),
    Layer("dw/1x1", DW, (1, 1, 1, 1), (1, 1, 1, 1)),
    Layer("dw/odd", DW, (1, 5, 7, 3), (1, 3, 3, 3)),
    Layer("dw/stride", DW, (1, 6, 5, 4), (1, 3, 3, 4), stride=(2, 2), x_limits=(-3, 127)),
    Layer("dw/valid", DW, (1, 7, 9, 2), (1, 3, 5, 2), stride=(3, 2), same=False),
    Layer("dw/multiplier-2", DW, (1, 4, 5, 3), (1, 3, 3, 6), act=(-40, 90)),
    Layer("dw/multiplier-8-of-1", DW, (1, 11, 5, 1), (1, 10, 8, 8), stride=(2, 2)),
    Layer("dw/kernel-exceeds-x", DW, (1, 2, 3, 3), (1, 5, 7, 3)),
    Layer("dw/zero-points", DW, (1, 4, 4, 3), (1, 3, 3, 3), x_quant=Q((0.05,), -128),
          out_quant=Q((0.03,), 127)),
    Layer("dw/left-shift", DW, (1, 3, 3, 2), (1, 2, 2, 2), out_quant=Q((1e-5,), 1)),
    Layer("dw/one-scale", DW, (1, 3, 4, 2), (1, 2, 2, 4), w_scales=(0.004,)),
    Layer("dw/no-bias", DW, (1, 3, 4, 2), (1, 2, 2, 2), bias_bits=None),
    Layer("dw/dead-wraps", DW, (1, 4, 4, 2), (1, 3, 3, 4), w_scales=DEAD, dead=(1, 2),
          bias_bits=31),
    Layer("dw/small-scales", DW, (1, 4, 4, 3), (1, 3, 3, 3), w_scales=(0.01, 3e-6, 1e-4)),
    Layer("dw/bands", DW, (1, 65, 64, 2), (1, 2, 1, 2), bias_bits=20),
    Layer("dw/bands-multiplier", DW, (1, 42, 99, 1), (1, 1, 3, 2)),
    Layer("dw/in-part", DW, (1, 5, 4, 6), (1, 3, 3, 6), channels=(1, 4)),
    Layer("dw/in-part-multiplier", DW, (1, 4, 4, 4), (1, 3, 3, 8), channels=(0, 3), bias_bits=None,
          stride=(2, 2), x_limits=(-60, 60)),
    Layer("dw/in-part-dead", DW, (1, 4, 4, 4), (1, 3, 3, 4), w_scales=DEAD, dead=(1, 2),
          bias_bits=31, channels=(1, 3)),
    Layer("dw/in-part-one-scale", DW, (1, 4, 3, 3), (1, 2, 2, 3), w_scales=(0.01,), channels=(2,)),
    Layer("dw/rounding-twice", DW, (1, 3, 4, 2), (1, 2, 2, 2), exponents=(-70, -20)),
    Layer("fc/1x1", FC, (1, 1), (1, 1)),
    Layer("fc/odd", FC, (3, 7), (5, 7)),
    Layer("fc/flattens", FC, (1, 2, 3, 4), (5, 24), x_limits=(-3, 127)),
    Layer("fc/one-scale", FC, (1, 33), (10, 33), w_scales=(0.0123,), act=(-128, 20)),
    Layer("fc/no-bias", FC, (2, 16), (3, 16), bias_bits=None, out_quant=Q((0.2,), -128)),
    Layer("fc/long", FC, (1, 3000), (2, 3000), out_quant=Q((0.9,), 3)),
    Layer("fc/great-bias", FC, (1, 9), (4, 9), bias_bits=31, dead=(0, 1, 2, 3)),
    Layer("fc/in-part", FC, (1, 12), (5, 12), channels=(0, 5, 11)),
    Layer("fc/in-part-flattens", FC, (1, 2, 2, 3), (4, 12), channels=(3, 4, 11)),
    Layer("fc/in-part-of-rows", FC, (3, 4), (2, 4), channels=(1, 2), w_scales=(0.01,)),
]  # fmt: skip


def offset_wraps(name: str, kind: type[Conv2D], w: tuple[int, ...]) -> Case:
    """Accumulators at int32's ends under a factor just below 1: adding the zero point wraps."""
    quants = Q((0.9994003772735596,), 0), Q((1.0,), 127)
    layer = Layer(name, kind, (1, 1, 1, 2), w, x_quant=quants[0], out_quant=quants[1],
                  w_scales=(1.000599980354309,) * 2, bias_bits=31, dead=(0, 1))  # fmt: skip
    case = next(layer.rows())
    return replace(case, feeds=(case.feeds[0], zero(case.feeds[1]), case.feeds[2]))


@dataclass(frozen=True)
class Pool:
    """An average pool: its forward and its gradient are two rows."""

    name: str
    x: tuple[int, ...]
    window: tuple[int, int]
    stride: tuple[int, int]
    same: bool = False
    act: tuple[int, int] = (-128, 127)
    x_limits: tuple[int, int] = (-128, 127)

    def rows(self) -> Iterator[Case]:
        sizes = zip(self.x[1:3], self.window, self.stride, strict=True)
        (h, top), (w, left) = (place(*size, self.same) for size in sizes)
        pool = AveragePool2D((1, h, w, self.x[3]), self.window, self.stride, (top, left), *self.act)
        x = s8(*self.x, quant=Q((0.05,), -7))
        yield Case(self.name, pool, (x,))
        inputs = (error(*pool.out_shape), exponent(-20, 0), unmasked(x.type, self.x_limits))
        if pool.halvings(pool.geometry(x.type)) is None:
            dx = AveragePool2DGrad(pool, self.x_limits)
            yield Case(f"{self.name}/dx", dx, (*inputs, history((-35, -10))))
        else:
            yield Case(f"{self.name}/dx", AveragePool2DPassError(pool, self.x_limits), inputs)


POOLS = [
    Pool("pool/1x1", (1, 1, 1, 1), (1, 1), (1, 1)),
    Pool("pool/whole", (1, 4, 4, 5), (4, 4), (4, 4), x_limits=(-7, 127)),
    Pool("pool/whole-odd", (1, 5, 3, 4), (5, 3), (5, 3), x_limits=(-30, 30)),
    Pool("pool/halves", (1, 6, 4, 2), (2, 2), (2, 2), act=(-7, 90)),
    Pool("pool/gaps", (1, 7, 8, 2), (2, 2), (3, 3)),
    Pool("pool/rest", (1, 5, 5, 3), (2, 2), (2, 2)),
    Pool("pool/overlaps", (1, 6, 7, 2), (3, 3), (2, 2)),
    Pool("pool/padded", (1, 5, 7, 3), (3, 3), (2, 2), same=True, x_limits=(-7, 100)),
    Pool("pool/padded-overlaps", (1, 4, 5, 2), (3, 3), (1, 1), same=True),
    Pool("pool/padded-disjoint", (1, 5, 5, 1), (2, 2), (2, 2), same=True),
    Pool("pool/window-exceeds-x", (1, 2, 3, 2), (5, 5), (1, 1), same=True),
    Pool("pool/three", (1, 6, 3, 2), (3, 1), (3, 1)),
]


def add_case(name: str, a: Q, b: Q, out: Q, act: tuple[int, int] = (-128, 127)) -> Case:
    return Case(name, Add(out, *act), (s8(1, 3, 5, 7, quant=a), s8(1, 3, 5, 7, quant=b)))


def sum_case(name: str, shape: tuple[int, ...], *exponents: tuple[int, int],
             x_limits: tuple[int, int] = (-128, 127)) -> Case:  # fmt: skip
    pairs = [feed for e in exponents for feed in (error(*shape), exponent(*e))]
    low, high = min(e[0] for e in exponents), max(e[1] for e in exponents)
    op = SumErrors(len(exponents), x_limits)
    x = unmasked(s8(*shape).type, x_limits)
    return Case(name, op, (*pairs, x, history((low, high))))


def cross_entropy_case(name: str, classes: int, scale: float = 0.125) -> Case:
    logits = s8(1, classes, quant=Q((scale,), 0))
    return Case(name, SoftmaxCrossEntropy(), (logits, label(classes)))


def softmax_case(name: str, rows: int, channels: int, scale: float, beta: float = 1.0) -> Case:
    return Case(name, Softmax(beta), (s8(rows, channels, quant=Q((scale,), 11)),))


CASES = [
    *(row for layer in LAYERS for row in layer.rows()),
    offset_wraps("conv/offset-wraps", CONV, (2, 1, 1, 2)),
    offset_wraps("dw/offset-wraps", DW, (1, 1, 1, 2)),
    *(row for pool in POOLS for row in pool.rows()),
    add_case("add/odd", Q((0.05,), -3), Q((0.11,), 4), Q((0.13,), 7)),
    add_case("add/relu", Q((0.05,), 127), Q((0.05,), -128), Q((0.05,), -128), (-128, 5)),
    add_case("add/far-scales", Q((3.0,), 1), Q((1e-4,), 0), Q((2.0,), -9)),
    add_case("add/saturates", Q((1.0,), 1), Q((0.9,), 0), Q((0.001,), 3)),
    add_case("add/left-shift-wraps", Q((1.0,), 1), Q((0.9,), 0), Q((1e-7,), 3)),
    Case("mask/odd", MaskError((-3, 40)), (error(1, 3, 5), exponent(-20, 5), s8(1, 3, 5))),
    Case("mask/reshapes", MaskError((-128, 127)), (error(1, 6), exponent(-9, -9), s8(1, 3, 2))),
    sum_case("sum/of-2", (1, 3, 5), (-20, 0), (-20, 0), x_limits=(-3, 127)),
    sum_case("sum/of-3", (1, 3, 5), (-20, 0), (-20, 0), (-20, 0)),
    sum_case("sum/far-exponents", (1, 9), (-60, 0), (-20, 30), (-90, -60)),
    sum_case("sum/of-1", (1, 4), (-12, -9)),
    sum_case("sum/of-5", (2, 7), *[(-14, -8)] * 5),
    Case("gather/odd", GatherChannels((0, 2, 6), 7), (s8(1, 3, 2, 7),)),
    Case("gather/one", GatherChannels((4,), 5), (s8(1, 5),)),
    Case("gather/flattens", GatherChannels((1, 9), 12), (s8(1, 2, 2, 3),)),
    Case("reshape/odd", Reshape((1, 15)), (s8(1, 3, 5),)),
    Case("bias/greatest", BiasUpdate(0.05, Q((0.01,)), ()),
         (bias(6, 30), error(3, 6), exponent(-3, 40), sgd((0, 9)))),
    Case("bias/beyond-its-limits", BiasUpdate(0.05, Q((0.01,)), ()),
         (bias(6, 31, tuple(range(6))), error(3, 6), exponent(-3, 40), sgd((0, 9)))),
    Case("bias/rounding-twice", BiasUpdate(0.05, Q((0.01,) * 5 + (1e-3,), 0, 0), (2,)),
         (bias(6, 10), error(4, 6), exponent(-60, -5), sgd((6, 30)))),
    Case("bias/positions", BiasUpdate(0.05, Q((0.01,)), ()),
         (bias(2, 20), error(1, 70, 70, 2), exponent(-20, -8), sgd((6, 20)))),
    Case("count/any", CountStep(), (sgd((0, 40)),)),
    softmax_case("softmax/2", 1, 2, 0.05),
    softmax_case("softmax/3-rows", 3, 5, 0.17),
    softmax_case("softmax/10", 1, 10, 0.0999),
    softmax_case("softmax/100", 1, 100, 0.0625),
    softmax_case("softmax/fine", 1, 12, 1e-6),
    softmax_case("softmax/coarse", 1, 12, 15.9),
    softmax_case("softmax/beta", 2, 7, 0.3, 0.5),
    softmax_case("softmax/1", 4, 1, 0.1),
    softmax_case("softmax/1000", 1, 1000, 0.02),
    *(cross_entropy_case(f"loss/{n}", n) for n in (2, 3, 10, 100, 1000)),
    cross_entropy_case("loss/coarse", 7, 3.0),
    cross_entropy_case("loss/fine", 7, 1e-5),
]  # fmt: skip
