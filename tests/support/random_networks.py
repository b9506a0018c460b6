# SPDX-License-Identifier: Apache-2.0
"""Small networks of random options."""

from __future__ import annotations

from tests.support.model_maker import ModelMaker


def random_network(seed: int) -> bytes:
    """Two layers of random options, a residual add over a third, and a head."""
    make = ModelMaker(seed)
    kinds = make.c.pick(("CONV_2D", "DEPTHWISE_CONV_2D"), ("DEPTHWISE_CONV_2D", "CONV_2D"))
    last = make.activation("x", make.image(), make.c.quant())
    for kind, name in zip(kinds, ("a", "c"), strict=True):
        last = make.layer(kind, last, name)
    make.add(last)
    make.dense_of(make.tensors[-1], "z", 4)
    return make.finish()
