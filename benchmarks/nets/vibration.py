# SPDX-License-Identifier: Apache-2.0
"""Nets that know one machine: one tells its imbalance, one reconstructs its usual spectra."""

from __future__ import annotations

import numpy as np

from benchmarks.data import RawSamples, vibration
from benchmarks.data.vibration import Machine
from benchmarks.nets import Recipe
from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.net_builder import NetBuilder

KNOWN = Machine.numbered(0)
WINDOW_QUANT = QuantParams((1 / 64,), 0)  # +-2 g
SPECTRUM_QUANT = QuantParams((5 / 255,), 25)  # about -3 to 2 decades: vibration.LOG_RANGE
COUNT = 2000
EPOCHS = 20


def imbalance() -> Recipe:
    rng = np.random.default_rng(1)
    amounts = rng.uniform(0, 1, COUNT)
    samples = RawSamples(vibration.windows(KNOWN, amounts, rng), amounts[:, None])
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
    spectra = vibration.usual(KNOWN, COUNT, np.random.default_rng(2))
    return Recipe(
        "machine", autoencoder(), RawSamples(spectra, spectra), SPECTRUM_QUANT, EPOCHS,
        is_of_values=True,
    )  # fmt: skip


def autoencoder() -> NetBuilder:
    """1,900 parameters: six values between dense layers of 24."""
    net = NetBuilder((vibration.BANDS,), seed=1)
    net.dense(24, "relu6")
    net.dense(6)
    net.dense(24, "relu6")
    net.dense(vibration.BANDS)
    return net
