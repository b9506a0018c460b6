# SPDX-License-Identifier: Apache-2.0
"""A net that knows the digits of some writers."""

from __future__ import annotations

from benchmarks.data import digits
from benchmarks.nets import Recipe
from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.net_builder import NetBuilder

INPUT_QUANT = QuantParams((1 / 128,), -128)  # 0 to 1.99; a sixteenth of ink is 8
EPOCHS = 60


def recipe(classes: int = digits.CLASSES) -> Recipe:
    """A net of the first ``classes`` digits."""
    name = "digits" if classes == digits.CLASSES else f"digits{classes}"
    samples = digits.first_writers().of_classes(range(classes))
    return Recipe(name, build(classes), samples, INPUT_QUANT, EPOCHS)


def build(classes: int) -> NetBuilder:
    """6,000 parameters."""
    net = NetBuilder((8, 8, 1), seed=1)
    net.conv(16)
    net.depthwise(stride=2)
    net.conv(32, kernel=1)
    net.dense(classes)
    return net
