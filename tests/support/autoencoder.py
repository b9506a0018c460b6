# SPDX-License-Identifier: Apache-2.0
"""A small network that gives its input back."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import FullyConnectedOptions
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, write_model


def autoencoder(seed: int = 0) -> bytes:
    """12 values to 5 and back, in another scale."""
    rng = np.random.default_rng(seed)

    def dense(name: str, shape: tuple[int, int]) -> list[WriterTensor]:
        w = rng.integers(-127, 128, shape).astype(np.int8)
        b = rng.integers(-200, 200, shape[0]).astype(np.int32)
        scale = float(np.float32(0.01))
        return [
            WriterTensor(f"{name}_w", shape, "int8", QuantParams((scale,), 0), w),
            WriterTensor(f"{name}_b", b.shape, "int32", None, b),
        ]

    def values(name: str, size: int, scale: float, zero: int) -> WriterTensor:
        return WriterTensor(name, (1, size), "int8", QuantParams((float(np.float32(scale)),), zero))

    tensors = [values("x", 12, 0.05, 3), values("code", 5, 0.04, -7), values("y", 12, 0.07, 11)]
    tensors += dense("in", (5, 12)) + dense("out", (12, 5))
    options = FullyConnectedOptions()
    ops = [WriterOp("FULLY_CONNECTED", ("x", "in_w", "in_b"), ("code",), options),
           WriterOp("FULLY_CONNECTED", ("code", "out_w", "out_b"), ("y",), options)]  # fmt: skip
    return write_model(tensors, ops, ["x"], ["y"])
