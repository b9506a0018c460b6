# SPDX-License-Identifier: Apache-2.0
"""Nets that know the first classes of Fashion-MNIST and have not seen the others."""

from __future__ import annotations

import numpy as np

from benchmarks.data import RawSamples, fashion_mnist
from benchmarks.nets import Recipe
from mcutrain.trainer.graph.tensor import Array, QuantParams
from mcutrain.trainer.making.net_builder import NetBuilder

INPUT_QUANT = QuantParams((float(np.float32(1 / 255)),), -128)  # pixels 0 to 255 are 0 to 1
PER_CLASS = 2000  # of 6,000 training images: the others are left for the benchmark
EPOCHS = 8


def known(samples: RawSamples, classes: int) -> RawSamples:
    """The samples of the first ``classes`` classes, in real units: float32 in [0, 1]."""
    chosen = samples.of_classes(range(classes))
    return RawSamples(chosen.x.astype(np.float32) / 255, chosen.y)


def pretraining(samples: RawSamples) -> RawSamples:
    """The first PER_CLASS of each class, in order; see ``unseen``."""
    return samples.take(_is_pretraining(samples))


def unseen(samples: RawSamples) -> RawSamples:
    """The training samples that no starting model was trained on."""
    return samples.take(~_is_pretraining(samples))


def _is_pretraining(samples: RawSamples) -> Array:
    chosen = np.zeros(len(samples), bool)
    for label in range(fashion_mnist.CLASSES):
        chosen[np.flatnonzero(samples.y == label)[:PER_CLASS]] = True
    return chosen


def recipe(classes: int = 5) -> Recipe:
    """A net of ``classes`` outputs: 0 to 4, or 8 where two more are to be learned."""
    samples = known(pretraining(fashion_mnist.train_set()), classes)
    return Recipe(
        f"fashion{classes}", build(classes), samples, INPUT_QUANT, EPOCHS, rate=4e-3, batch=64
    )


def build(classes: int) -> NetBuilder:
    """20,000 parameters, 0.5 million MACs; one residual block."""
    net = NetBuilder((fashion_mnist.SIZE, fashion_mnist.SIZE, 1), seed=1)
    net.conv(16, stride=2)
    net.depthwise(stride=2)
    shortcut = net.conv(64, kernel=1)
    net.depthwise()
    net.conv(64, kernel=1, activation="none")
    net.add(shortcut, net.last, activation="relu6")
    net.depthwise(stride=2)
    net.conv(192, kernel=1)
    net.average_pool()
    net.dense(classes)
    return net
