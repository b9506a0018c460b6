# SPDX-License-Identifier: Apache-2.0
"""Trains nets whose outputs are values: the mean squared error in place of the cross-entropy."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.making.float_net import Adam, FloatNet, Params


def fit_values(
    net: FloatNet,
    params: Params,
    x: Array,
    y: Array,
    *,
    epochs: int,
    batch: int,
    rate: float,
    seed: int,
) -> None:
    """As ``float_net.fit``, towards y (N, outputs)."""
    batches = len(x) // batch
    rng, adam = np.random.default_rng(seed), Adam()
    for epoch in range(epochs):
        for i, picked in enumerate(rng.permutation(len(x))[: batches * batch].reshape(-1, batch)):
            values = net.forward(params, x[picked])
            error = 2 * (values[net.layers[-1].name] - y[picked]) / y[picked].size
            now = rate * 0.5 * (1 + np.cos(np.pi * (epoch + i / batches) / epochs))
            adam.update(params, net.backward(params, values, error, params), now)
