# SPDX-License-Identifier: Apache-2.0
"""A small float network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mcutrain.trainer.making import float_layers as fo
from mcutrain.trainer.making import float_net as fl


def residual_net() -> tuple[fl.FloatNet, fl.Params]:
    """Every operator, a depth multiplier, both paddings, clamps, and a tensor with two readers."""
    conv = fo.same_window((7, 4), (3, 2), (2, 1))
    after = conv.out
    layers = (
        fl.FloatLayer("conv", fo.Conv2D(conv), (fl.INPUT,), 0, 6),
        fl.FloatLayer("wide", fo.DepthwiseConv2D(fo.same_window(after, (3, 3), (1, 1))), ("conv",)),
        fl.FloatLayer(
            "narrow", fo.Conv2D(fo.valid_window(after, (1, 1), (1, 1))), ("wide",), -1, 1
        ),
        fl.FloatLayer("add", fo.Add(), ("conv", "narrow"), 0),
        fl.FloatLayer("pool", fo.AveragePool2D(fo.same_window(after, (3, 3), (2, 2))), ("add",)),
        fl.FloatLayer("flat", fo.Reshape((2 * 2 * 3,)), ("pool",)),
        fl.FloatLayer("head", fo.FullyConnected(), ("flat",)),
    )
    shapes = {"conv": (3, 3, 2, 2), "wide": (1, 3, 3, 6), "narrow": (3, 1, 1, 6), "head": (4, 12)}
    rng = np.random.default_rng(5)
    params: fl.Params = {}
    for name, shape in shapes.items():
        params[f"{name}/w"] = rng.normal(0, 0.5, shape)
        params[f"{name}/b"] = rng.normal(0, 0.5, shape[3] if name == "wide" else shape[0])
    return fl.FloatNet(layers), params


def assert_are_derivatives(
    grads: fl.Params, params: fl.Params, loss: Callable[[], float], error: float
) -> None:
    """Each gradient is what central differences of the loss are, to ``error``."""
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
            assert (above - below) / (2 * step) == pytest.approx(grad.reshape(-1)[k], abs=error)
