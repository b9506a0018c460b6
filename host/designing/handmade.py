# SPDX-License-Identifier: Apache-2.0
"""Nets that people made for one task each, scaled: what a designed net must be better than.

They are the examples, benchmarks and tutorials of this project.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mcutrain.host.designing.widths import along, scaled
from mcutrain.trainer.making.net_builder import NetBuilder


@dataclass(frozen=True)
class HandMade:
    """``build(net, percent)`` adds all layers but the head. ``source`` is where it comes from."""

    is_series: bool
    build: Callable[[NetBuilder, int], None]
    source: str


def watch(net: NetBuilder, percent: int) -> None:
    net.conv(scaled(16, percent), along(net, 5), along(net, 3), "valid")
    net.depthwise(along(net, 5))
    net.conv(scaled(24, percent), 1)
    net.average_pool()


def gestures(net: NetBuilder, percent: int) -> None:
    net.conv(scaled(12, percent), along(net, 5), along(net, 2))
    net.depthwise(along(net, 5), along(net, 2))
    net.conv(scaled(24, percent), 1)
    net.average_pool()


def activities(net: NetBuilder, percent: int) -> None:
    net.conv(scaled(16, percent), along(net, 5), along(net, 2))
    for filters in (32, 48):
        net.depthwise(along(net, 5), along(net, 2))
        net.conv(scaled(filters, percent), 1)
    net.average_pool()


def vibration(net: NetBuilder, percent: int) -> None:
    net.conv(scaled(16, percent), along(net, 7), along(net, 2))
    for kernel in (7, 5):
        net.depthwise(along(net, kernel), along(net, 2))
        net.conv(scaled(32, percent), 1)
    net.average_pool()


def camera(net: NetBuilder, percent: int) -> None:
    net.conv(scaled(12, percent), along(net, 3), along(net, 2))
    for filters, stride in ((24, 1), (32, 2), (48, 2)):
        net.depthwise(along(net, 3), along(net, stride))
        net.conv(scaled(filters, percent), 1)
    net.average_pool()


def digits(net: NetBuilder, percent: int) -> None:
    net.conv(scaled(16, percent), along(net, 3))
    net.depthwise(along(net, 3), along(net, 2))
    net.conv(scaled(32, percent), 1)


def fashion(net: NetBuilder, percent: int) -> None:
    wide = scaled(64, percent)
    net.conv(scaled(16, percent), along(net, 3), along(net, 2))
    net.depthwise(along(net, 3), along(net, 2))
    shortcut = net.conv(wide, 1)
    net.depthwise(along(net, 3))
    net.conv(wide, 1, activation="none")
    net.add(shortcut, net.last, activation="relu6")
    net.depthwise(along(net, 3), along(net, 2))
    net.conv(scaled(192, percent), 1)
    net.average_pool()


HANDMADE = {
    "watch": HandMade(True, watch, "examples/watch"),
    "gestures": HandMade(True, gestures, "docs/tutorials/own.md"),
    "activities": HandMade(True, activities, "benchmarks/nets/hapt.py"),
    "vibration": HandMade(True, vibration, "benchmarks/nets/vibration.py"),
    "camera": HandMade(False, camera, "examples/camera"),
    "digits": HandMade(False, digits, "benchmarks/nets/digits.py"),
    "fashion": HandMade(False, fashion, "benchmarks/nets/fashion.py"),
}
