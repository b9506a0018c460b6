# SPDX-License-Identifier: Apache-2.0
"""A net that knows the activities of five people of HAPT; the 25 others are new to it."""

from __future__ import annotations

from benchmarks.data import hapt
from benchmarks.nets import Recipe
from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.net_builder import NetBuilder

INPUT_QUANT = QuantParams((1 / 64,), 0)  # +-2 of hapt.AXIS_UNITS
EPOCHS = 30


def recipe() -> Recipe:
    samples = hapt.windows().of(hapt.KNOWN_PEOPLE)
    return Recipe("hapt", build(), samples, INPUT_QUANT, EPOCHS)


def build() -> NetBuilder:
    """3,200 parameters: convolutions over time, and their mean."""
    net = NetBuilder((hapt.WINDOW, 1, 6), seed=1)
    net.conv(16, (5, 1), (2, 1))
    net.depthwise((5, 1), (2, 1))
    net.conv(32, 1)
    net.depthwise((5, 1), (2, 1))
    net.conv(48, 1)
    net.average_pool()
    net.dense(hapt.CLASSES)
    return net
