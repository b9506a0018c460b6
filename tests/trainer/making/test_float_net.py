# SPDX-License-Identifier: Apache-2.0
"""Gradients of the float networks against finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.trainer.making import float_net as fl


def residual_net() -> tuple[fl.FloatNet, fl.Params]:
    """Every operator, a depth multiplier, both paddings, clamps, and a tensor with two readers."""
    conv = fl.same_window((7, 4), (3, 2), (2, 1))
    after = conv.out
    layers = (
        fl.Layer("conv", fl.Conv2D(conv), (fl.INPUT,), 0, 6),
        fl.Layer("wide", fl.DepthwiseConv2D(fl.same_window(after, (3, 3), (1, 1))), ("conv",)),
        fl.Layer("narrow", fl.Conv2D(fl.valid_window(after, (1, 1), (1, 1))), ("wide",), -1, 1),
        fl.Layer("add", fl.Add(), ("conv", "narrow"), 0),
        fl.Layer("pool", fl.AveragePool2D(fl.same_window(after, (3, 3), (2, 2))), ("add",)),
        fl.Layer("flat", fl.Reshape((2 * 2 * 3,)), ("pool",)),
        fl.Layer("head", fl.FullyConnected(), ("flat",)),
    )
    shapes = {"conv": (3, 3, 2, 2), "wide": (1, 3, 3, 6), "narrow": (3, 1, 1, 6), "head": (4, 12)}
    rng = np.random.default_rng(5)
    params: fl.Params = {}
    for name, shape in shapes.items():
        params[f"{name}/w"] = rng.normal(0, 0.5, shape)
        params[f"{name}/b"] = rng.normal(0, 0.5, shape[3] if name == "wide" else shape[0])
    return fl.FloatNet(layers), params


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
    step = 1e-6
    for name, grad in grads.items():
        flat = params[name].reshape(-1)
        for k in range(flat.size):
            kept = flat[k]
            flat[k] = kept + step
            above = loss()
            flat[k] = kept - step
            below = loss()
            flat[k] = kept
            # Central differences err by step**2 / 6 f''' plus 1e-16 / step: both below 1e-8 here.
            assert (above - below) / (2 * step) == pytest.approx(grad.reshape(-1)[k], abs=1e-8)


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
