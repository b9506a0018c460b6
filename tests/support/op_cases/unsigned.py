# SPDX-License-Identifier: Apache-2.0
"""Rows of what only models of uint8 have: halves rounded up, weights that are sums of two int8."""

from __future__ import annotations

from dataclasses import replace

from mcutrain.trainer.graph.tensor import QuantParams as Q
from mcutrain.trainer.ops.average_pool2d_half_up import AveragePool2DHalfUp
from mcutrain.trainer.ops.conv2d import Conv2D
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.depthwise_conv2d_wide import DepthwiseConv2DWide
from mcutrain.trainer.ops.fully_connected import FullyConnected
from tests.support.feeds import filters, gathered
from tests.support.op_cases.case import Case
from tests.support.op_cases.layers import Layer
from tests.support.op_cases.pools import Pool


def half_up_case(name: str, x: tuple[int, ...], window: tuple[int, int],
                 stride: tuple[int, int], same: bool = False) -> Case:  # fmt: skip
    pool = Pool(f"half_up/{name}", x, window, stride, same, kind=AveragePool2DHalfUp)
    return next(pool.rows())


def wide_case(name: str, x: tuple[int, ...], w: tuple[int, ...], **more: object) -> Case:
    layer = Layer(f"wide/{name}", DepthwiseConv2D, x, w, w_scales=(0.004,), **more)  # type: ignore[arg-type]
    row = next(layer.rows())
    op = DepthwiseConv2DWide(**vars(row.op))
    return replace(row, op=op, feeds=(*row.feeds, row.feeds[1]))


def beyond_case(name: str, kind: type[Conv2D | FullyConnected], x: tuple[int, ...],
                w: tuple[int, ...], channels: tuple[int, ...]) -> Case:  # fmt: skip
    """Both parts have weights in the same channels."""
    row = next(Layer(f"beyond/{name}", kind, x, w, w_scales=(0.004,)).rows())
    op = replace(row.op, channels=channels)  # type: ignore[call-arg]
    quant = Q((0.004,))
    some = gathered(row.feeds[0].type, w[-1], channels)
    rest = filters(*w[:-1], len(channels), quant=quant)
    return replace(row, op=op, feeds=(*row.feeds, some, rest))


ROWS = [
    half_up_case("even", (1, 4, 6, 3), (2, 2), (2, 2)),
    half_up_case("edges", (1, 5, 7, 5), (2, 4), (1, 2), same=True),
    half_up_case("whole", (1, 4, 4, 2), (4, 4), (4, 4)),
    wide_case("odd", (1, 5, 7, 3), (1, 3, 3, 3)),
    wide_case("multiplier", (1, 4, 5, 2), (1, 2, 3, 6), stride=(2, 2), same=False),
    wide_case("no-bias", (1, 3, 3, 9), (1, 3, 3, 9), bias_bits=None),
    beyond_case("conv", Conv2D, (1, 4, 5, 6), (7, 3, 3, 6), (1, 4)),
    beyond_case("dense", FullyConnected, (1, 10), (6, 10), (0, 3, 9)),
]
