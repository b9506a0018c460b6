# SPDX-License-Identifier: Apache-2.0
"""Nets that know one machine: one tells its imbalance, one reconstructs its usual spectra."""

from __future__ import annotations

import numpy as np

from benchmarks.data import RawSamples
from benchmarks.nets import Recipe
from mcutrain.examples.machine import vibration
from mcutrain.examples.machine.make_machine import FACTORY, SPECTRUM_QUANT, autoencoder
from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.net_builder import NetBuilder

WINDOW_QUANT = QuantParams((1 / 64,), 0)  # +-2 g
COUNT = 2000
EPOCHS = 20


def imbalance() -> Recipe:
    rng = np.random.default_rng(1)
    amounts = rng.uniform(0, 1, COUNT)
    samples = RawSamples(vibration.windows(FACTORY, amounts, rng), amounts[:, None])
    return Recipe(
        "imbalance", imbalance_net(), samples, WINDOW_QUANT, EPOCHS, is_of_values=True
    )  # fmt: skip


def imbalance_net() -> NetBuilder:
    """2,200 parameters: convolutions over time, and their mean."""
    net = NetBuilder((vibration.WINDOW, 1, vibration.AXES), seed=1)
    net.conv(16, (7, 1), (2, 1))
    net.depthwise((7, 1), (2, 1))
    net.conv(32, 1)
    net.depthwise((5, 1), (2, 1))
    net.conv(32, 1)
    net.average_pool()
    net.dense(1)
    return net


def machine() -> Recipe:
    spectra = vibration.usual(FACTORY, COUNT, np.random.default_rng(2))
    return Recipe(
        "machine", autoencoder(), RawSamples(spectra, spectra), SPECTRUM_QUANT, EPOCHS,
        is_of_values=True,
    )  # fmt: skip
