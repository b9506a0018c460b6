# SPDX-License-Identifier: Apache-2.0
"""Rows of the layers with weights: forward, input gradient, weight and bias update."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from mcutrain.trainer.graph.tensor import QuantParams as Q
from mcutrain.trainer.graph.tensor import Role, Tensor, TensorType
from mcutrain.trainer.ops.conv2d import Conv2D, Conv2DGradSums
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.fully_connected import FullyConnected
from mcutrain.trainer.ops.sgd import BiasUpdate
from mcutrain.trainer.ops.weighted import Weighted
from tests.support.feeds import (
    bias,
    error,
    exponent,
    filters,
    frozen_part,
    gathered,
    history,
    open_mask,
    s8,
    sgd,
    zero,
)
from tests.support.op_cases.case import Case, place

X_QUANT, OUT_QUANT = Q((0.05,), -3), Q((0.07,), 5)


@dataclass(frozen=True)
class Layer:
    """A layer with weights: its forward, input gradient, weight and bias update are four rows.

    ``w`` is (O, KH, KW, I), for DepthwiseConv2D (1, KH, KW, O), for FullyConnected (O, I).
    """

    name: str
    kind: type[Weighted]
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

    def op(self) -> Weighted:
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
        here = Tensor("x", x.type, Role.INPUT)
        weights = Tensor("w", w.type, Role.CONST)
        split = (saved, *part) if part else ()
        yield Case(self.name, op, (x, w, *b, *split), self.rounds)
        inner = (open_mask(x.type, self.x_limits), history(self.exponents))
        dx = op.grad_input(here)
        yield Case(f"{self.name}/dx", dx, (dout, e, w, *part, *inner), self.rounds)
        if self.kind in (Conv2D, FullyConnected):
            sums = Conv2DGradSums(op, x.type)
            yield Case(f"{self.name}/sums", sums, (dout, w, *part), self.rounds)
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
    # A filter for each shift to the right that there is, and with biases that make sums wrap.
    Layer("conv/every-scale", CONV, (1, 3, 4, 8), (36, 1, 1, 8), x_quant=Q((1.0,), 3),
          out_quant=Q((1.0,), -7), w_scales=tuple(0.7 * 2.0 ** -k for k in range(36)),
          bias_bits=31),
    Layer("conv/two-positions", CONV, (1, 3, 5, 16), (7, 1, 1, 16), act=(-90, 127)),
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
    Layer("dw/wide", DW, (1, 4, 19, 7), (1, 3, 3, 7), act=(-90, 127)),
    Layer("dw/wide-stride", DW, (1, 5, 21, 4), (1, 3, 3, 4), stride=(1, 2), x_limits=(-3, 127)),
    Layer("dw/5x5", DW, (1, 6, 11, 8), (1, 5, 5, 8), bias_bits=None),
    Layer("dw/7x7", DW, (1, 7, 20, 5), (1, 7, 7, 5), stride=(2, 2)),
    Layer("dw/4x2", DW, (1, 6, 12, 6), (1, 4, 2, 6), same=False),
    Layer("dw/flat", DW, (1, 1, 9, 5), (1, 3, 3, 5)),
    Layer("dw/in-part-7x7", DW, (1, 4, 9, 9), (1, 7, 7, 9), channels=(0, 2, 8)),
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


def offset_wraps(name: str, kind: type[Weighted], w: tuple[int, ...]) -> Case:
    """Accumulators at int32's ends under a factor just below 1: adding the zero point wraps."""
    quants = Q((0.9994003772735596,), 0), Q((1.0,), 127)
    layer = Layer(name, kind, (1, 1, 1, 2), w, x_quant=quants[0], out_quant=quants[1],
                  w_scales=(1.000599980354309,) * 2, bias_bits=31, dead=(0, 1))  # fmt: skip
    case = next(layer.rows())
    return replace(case, feeds=(case.feeds[0], zero(case.feeds[1]), case.feeds[2]))


ROWS = [
    *(row for layer in LAYERS for row in layer.rows()),
    offset_wraps("conv/offset-wraps", CONV, (2, 1, 1, 2)),
    offset_wraps("dw/offset-wraps", DW, (1, 1, 1, 2)),
]
