# SPDX-License-Identifier: Apache-2.0
"""Models whose weights fit four bits, for what their kernels take: they compute nothing of use."""

from __future__ import annotations

from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.tflite.patch import TflitePatch

WEIGHTS = 1  # among an operator's inputs
HAVE_INT4 = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def into_range(w: Array) -> Array:
    """Four bits of each weight, with their sign."""
    found: Array = (w & 15 ^ 8) - 8
    return found


def in_range(data: bytes) -> bytes:
    """The file, with the weights of layers as ``into_range`` makes them."""
    patch = TflitePatch(data)
    for index in weights_in(patch):
        patch.set_data(index, into_range(patch.contents(index, "<i1").copy()).tobytes())
    return patch.finish()


def weights_in(patch: TflitePatch) -> list[int]:
    """The tensors of weights of layers that may have INT4 ones, each for its layer alone."""
    layers = [k for k in range(len(patch.operators)) if patch.kind(k) in HAVE_INT4]
    return [patch.own_input(operator, WEIGHTS) for operator in layers]
