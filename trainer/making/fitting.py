# SPDX-License-Identifier: Apache-2.0
"""Trains floating-point networks: Adam, a rate that falls, and an end when nothing is gained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from mcutrain.trainer.making.float_layers import Array, BatchNorm
from mcutrain.trainer.making.float_net import (
    FloatNet,
    Labels,
    Params,
    softmax_cross_entropy,
)

Loss = Callable[..., tuple[float, Array]]
MOMENTUM = 0.9  # of a batch norm's statistics, from batch to batch


@dataclass(eq=False)
class Adam:
    """Kingma and Ba 2015, algorithm 1, with the weight decay decoupled from the gradient."""

    decay: float = 0.0
    first: Params = field(default_factory=dict)
    second: Params = field(default_factory=dict)
    steps: int = 0

    def update(self, params: Params, grads: Mapping[str, Array], rate: float) -> None:
        self.steps += 1
        for name, grad in grads.items():
            m = 0.9 * self.first.get(name, 0.0) + 0.1 * grad
            v = 0.999 * self.second.get(name, 0.0) + 0.001 * grad * grad
            self.first[name], self.second[name] = m, v
            direction = (m / (1 - 0.9**self.steps)) / (np.sqrt(v / (1 - 0.999**self.steps)) + 1e-8)
            params[name] -= rate * (direction + self.decay * params[name])


@dataclass
class Fitted:
    """What came of a training: the mean loss of each epoch and, with validation samples, theirs
    after each epoch. ``best`` is the epoch whose parameters were kept, counted from 0."""

    losses: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    best: int = -1


def fit(
    net: FloatNet,
    params: Params,
    x: Array,
    y: Labels | Array,
    *,
    epochs: int = 30,
    batch: int = 32,
    rate: float = 2e-3,
    decay: float = 1e-2,
    seed: int = 1,
    loss: Loss = softmax_cross_entropy,
    validation: tuple[Array, Labels | Array] | None = None,
    patience: int = 5,
) -> Fitted:
    """Trains ``params`` in place on x (N, ...): Adam, the rate falling as a cosine.

    y are labels (N,), or values (N, outputs) with ``squared_error`` as the loss; those of an
    autoencoder are x. What is left over of an epoch's last batch sits the epoch out. With
    ``validation`` (x, y) the parameters of the epoch with their least loss are kept, and
    ``patience`` epochs without a lesser one end the training. Raises ValueError if there are fewer
    samples than a batch has.
    """
    batches = len(x) // batch
    if not batches:
        raise ValueError(f"{len(x)} samples do not fill a batch of {batch}")
    rng, adam, told = np.random.default_rng(seed), Adam(decay), Fitted()
    learned = [name for layer in net.layers for name in (layer.weight, layer.bias)]
    learned = [name for name in learned if name in params]
    best: Params = {}
    for epoch in range(epochs):
        lost = 0.0
        for i, picked in enumerate(rng.permutation(len(x))[: batches * batch].reshape(-1, batch)):
            values = net.forward(params, x[picked], is_training=True)
            now, dlogits = loss(values[net.layers[-1].name], y[picked])
            lost += now
            done = (epoch + i / batches) / epochs
            follow_statistics(net, params, values, is_first=not told.losses and i == 0)
            grads = net.backward(params, values, dlogits, learned)
            adam.update(params, grads, rate * 0.5 * (1 + np.cos(np.pi * done)))
        told.losses.append(lost / batches)
        if validation is None:
            told.best = epoch
            continue
        told.validation.append(loss(net.logits(params, validation[0]), validation[1])[0])
        if told.best < 0 or told.validation[-1] < told.validation[told.best]:
            told.best, best = epoch, {name: value.copy() for name, value in params.items()}
        elif epoch - told.best >= patience:
            break
    params.update(best)
    return told


def follow_statistics(
    net: FloatNet, params: Params, values: Mapping[str, Array], *, is_first: bool
) -> None:
    """Moves the statistics of batch norms to those of the batch whose outputs ``values`` are."""
    keep = 0.0 if is_first else MOMENTUM
    for layer in net.layers:
        if isinstance(layer.op, BatchNorm):
            now = layer.op.statistics(values[layer.inputs[0]])
            params[layer.mean] = keep * params[layer.mean] + (1 - keep) * now.mean
            params[layer.variance] = keep * params[layer.variance] + (1 - keep) * now.variance
