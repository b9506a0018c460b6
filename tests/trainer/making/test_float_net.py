# SPDX-License-Identifier: Apache-2.0
"""Gradients of the float networks against finite differences."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.making import float_net as fl
from tests.support.float_nets import assert_are_derivatives, residual_net


def test_gradients_match_finite_differences() -> None:
    net, params = residual_net()
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(3, 7, 4, 2)), np.array([0, 3, 1])

    def loss() -> float:
        return fl.softmax_cross_entropy(net.logits(params, x), y)[0]

    values = net.forward(params, x)
    _, dlogits = fl.softmax_cross_entropy(values["head"], y)
    grads = net.backward(params, values, dlogits, params)

    assert set(grads) == set(params)
    assert (values["conv"] == 0).any()  # a clamp is at work
    # Central differences err by step**2 / 6 f''' plus 1e-16 / step: both below 1e-8 here.
    assert_are_derivatives(grads, params, loss, 1e-8)


def test_only_learned_parameters_get_a_gradient() -> None:
    net, params = residual_net()
    values = net.forward(params, np.ones((1, 7, 4, 2)))
    grads = net.backward(params, values, np.ones((1, 4)), {"narrow/b", "head/w"})

    assert set(grads) == {"narrow/b", "head/w"}
    assert net.learning_layers({"narrow/b"}) == {"narrow", "add", "pool", "flat", "head"}


def test_plain_descent_learns() -> None:
    net, params = residual_net()
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(8, 7, 4, 2)), np.arange(8) % 4
    losses = [fl.sgd_step(net, params, x, y, 0.2, params) for _ in range(200)]

    assert losses[-1] < 0.2 * losses[0]
    assert fl.accuracy(net, params, x, y) == 1.0
