# SPDX-License-Identifier: Apache-2.0
"""Rows of the layers whose taps or inputs lie apart, or whose channels are in groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mcutrain.trainer.graph.tensor import QuantParams as Q
from mcutrain.trainer.ops.dilated_depthwise_conv2d import DilatedDepthwiseConv2D
from mcutrain.trainer.ops.spaced_conv2d import SpacedConv2D
from mcutrain.trainer.ops.transpose_conv import TransposeConv
from mcutrain.trainer.ops.weighted import Weighted
from tests.support.op_cases.case import place
from tests.support.op_cases.layers import DEAD, Layer


@dataclass(frozen=True)
class Spaced(Layer):
    """As Layer, with dilation and groups; of a TransposeConv ``out`` is the output's size."""

    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    out: tuple[int, int] = (0, 0)

    def op(self) -> Weighted:
        kernel = zip(self.w[1:3], self.dilation, strict=True)
        spans = [(k - 1) * apart + 1 for k, apart in kernel]
        sizes = self.out if self.kind is TransposeConv else self.x[1:3]
        found = zip(sizes, spans, self.stride, strict=True)
        (h, top), (w, left) = (place(*size, self.same) for size in found)
        own: dict[str, Any] = {"dilation": self.dilation, "groups": self.groups}
        if self.kind is TransposeConv:
            assert (h, w) == self.x[1:3]
            (h, w), own = self.out, {}
        elif self.kind is DilatedDepthwiseConv2D:
            own = {"dilation": self.dilation}
        return self.kind(
            self.out_quant, (1, h, w, self.filters), self.stride, (top, left), *self.act,
            self.bias_bits is not None, self.dead, self.channels, **own,
        )  # fmt: skip


CONV, DW, TC = SpacedConv2D, DilatedDepthwiseConv2D, TransposeConv
SPACED = [
    Spaced("dilated/odd", CONV, (1, 5, 7, 3), (4, 3, 3, 3), dilation=(2, 3)),
    Spaced("dilated/valid", CONV, (1, 8, 6, 2), (5, 3, 2, 2), dilation=(3, 4), same=False,
           act=(-90, 127), x_limits=(-3, 127)),
    Spaced("dilated/stride", CONV, (1, 7, 8, 2), (3, 3, 3, 2), dilation=(2, 3), stride=(2, 2)),
    Spaced("dilated/causal", CONV, (1, 1, 16, 4), (6, 1, 3, 4), dilation=(1, 4), same=False),
    Spaced("dilated/far-apart", CONV, (1, 4, 3, 2), (2, 3, 3, 2), dilation=(1000, 7)),
    Spaced("dilated/most-taps", CONV, (1, 9, 11, 1), (2, 8, 8, 1), dilation=(2, 2), rounds=8),
    Spaced("dilated/in-part", CONV, (1, 5, 6, 6), (3, 3, 3, 6), dilation=(2, 2), channels=(1, 4)),
    Spaced("dilated/in-part-dead", CONV, (1, 4, 4, 3), (4, 3, 3, 3), dilation=(1, 2),
           w_scales=DEAD, dead=(1, 3), bias_bits=31, channels=(2,)),
    Spaced("dilated/bands", CONV, (1, 65, 64, 1), (2, 2, 1, 1), dilation=(3, 1), bias_bits=20,
           rounds=8),
    Spaced("grouped/odd", CONV, (1, 4, 5, 6), (9, 3, 3, 2), groups=3),
    Spaced("grouped/pointwise", CONV, (1, 3, 3, 8), (10, 1, 1, 4), groups=2, x_limits=(-60, 60)),
    Spaced("grouped/of-one", CONV, (1, 3, 4, 5), (5, 3, 3, 1), groups=5),
    Spaced("grouped/stride", CONV, (1, 6, 7, 12), (8, 3, 2, 3), groups=4, stride=(2, 3),
           same=False, bias_bits=None),
    Spaced("grouped/dilated-wraps", CONV, (1, 6, 5, 4), (4, 3, 3, 2), groups=2, dilation=(2, 1),
           w_scales=DEAD, dead=(1, 2), bias_bits=31),
    Spaced("transpose/doubles", TC, (1, 3, 4, 3), (5, 3, 3, 3), stride=(2, 2), out=(6, 8)),
    Spaced("transpose/valid", TC, (1, 3, 2, 2), (3, 4, 5, 2), stride=(2, 3), out=(8, 8), same=False,
           act=(-128, 127), x_limits=(-3, 127)),
    Spaced("transpose/rest", TC, (1, 3, 2, 2), (3, 2, 3, 2), stride=(3, 2), out=(9, 6), same=False),
    Spaced("transpose/stride-1", TC, (1, 5, 4, 3), (4, 3, 2, 3), out=(5, 4)),
    Spaced("transpose/row", TC, (1, 1, 9, 4), (3, 1, 4, 4), stride=(1, 2), out=(1, 18),
           bias_bits=None, w_scales=(0.004,), x_quant=Q((0.05,), -128)),
    Spaced("transpose/in-part", TC, (1, 3, 3, 5), (3, 3, 3, 5), stride=(2, 2), out=(6, 5),
           channels=(0, 3)),
    Spaced("transpose/dead-wraps", TC, (1, 3, 3, 2), (4, 2, 2, 2), stride=(2, 2), out=(6, 6),
           w_scales=DEAD, dead=(1, 2), bias_bits=31),
    Spaced("dilated-dw/odd", DW, (1, 5, 7, 3), (1, 3, 3, 3), dilation=(2, 3)),
    Spaced("dilated-dw/wide", DW, (1, 3, 40, 9), (1, 3, 3, 9), dilation=(1, 2)),
    Spaced("dilated-dw/valid", DW, (1, 8, 6, 3), (1, 3, 2, 3), dilation=(3, 4), same=False,
           act=(-90, 127), x_limits=(-3, 127)),
    Spaced("dilated-dw/stride", DW, (1, 7, 8, 3), (1, 3, 3, 3), dilation=(2, 3), stride=(2, 2)),
    Spaced("dilated-dw/multiplier", DW, (1, 5, 6, 3), (1, 3, 2, 6), dilation=(2, 1),
           bias_bits=None),
    Spaced("dilated-dw/small-scales", DW, (1, 4, 5, 3), (1, 3, 3, 3), dilation=(1, 2),
           w_scales=(0.01, 3e-6, 1e-4)),
    Spaced("dilated-dw/in-part", DW, (1, 5, 4, 6), (1, 3, 3, 6), dilation=(2, 1), channels=(1, 4)),
    Spaced("dilated-dw/in-part-multiplier", DW, (1, 4, 4, 4), (1, 3, 3, 8), dilation=(1, 2),
           channels=(0, 3), bias_bits=None, x_limits=(-60, 60)),
]  # fmt: skip

ROWS = [row for layer in SPACED for row in layer.rows()]
