# SPDX-License-Identifier: Apache-2.0
"""Sizes of layers, by the samples and by how wide a net shall be."""

from __future__ import annotations

from typing import TypeAlias

from mcutrain.trainer.making.net_builder import NetBuilder

Shape: TypeAlias = tuple[int, int, int]  # (H, W, C) of a sample; W is 1 of a series


def along(net: NetBuilder, size: int) -> tuple[int, int]:
    """A kernel or a stride of ``size`` along each axis that the last layer's output has, and no
    larger than that."""
    height, width = net.shapes[net.last][:2]
    return min(size, height), min(size, width)


def scaled(filters: int, percent: int) -> int:
    """Of a layer with so many filters; two at least.

    >>> scaled(16, 50), scaled(3, 25)
    (8, 2)
    """
    return max(2, round(filters * percent / 100))
