# SPDX-License-Identifier: Apache-2.0
"""Mean squared error between an int8 output and an int8 target of its scale (SPEC 1.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.fixedpoint import near, scaled_byte
from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.ops.loss import RECORD, Loss

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node

MAX_OUTPUTS = 2**16  # squares of up to 255 that fit 32 bits


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """y (..) s8, target of y's type -> dy, dy_e s16 (1,), record (2,) u32.

    The record is the sum of (y - target)**2 in squared quanta, and 0. dy is
    2 s (y - target) / N as near((y - target) a, k) with (a, q) = byte(2 s / N), dy_e = k - q;
    k = 5 for E12, 9 for E8: 255 * 255 / 2**k is no more than the greatest error.
    """

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        y, target = types
        if y != target:
            raise ValueError(
                f"the target {target.shape} has another type than the output {y.shape}"
            )
        if y.size > MAX_OUTPUTS:
            raise ValueError(f"{y.size} outputs: a mean over at most {MAX_OUTPUTS} is supported")
        return *self.errors.types(y.shape), RECORD

    def labels(self, logits: TensorType) -> int:
        return 0

    def real(self, record: Array, logits: TensorType) -> float:
        """The mean of squared differences, in squared real units."""
        return int(record[0]) * logits.scale**2 / logits.size

    def permits(self, total: int, distance: int, logits: TensorType) -> bool:
        return total <= 255**2 * logits.size and distance == 0

    @property
    def shift(self) -> int:
        return 16 - self.errors.bits

    def rate(self, y: TensorType) -> tuple[int, int]:
        """(a, q) of 2 s / N."""
        return scaled_byte(2.0 * y.scale / y.size)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        y, target = (value.astype(np.int64) for value in inputs)
        a, q = self.rate(node.inputs[0].type)
        error = near((y - target) * a, self.shift).astype(self.errors.dtype.np)
        record = np.array([((y - target) ** 2).sum(), 0], np.uint32)
        return error, np.array([self.shift - q], np.int16), record

    def lower(self, node: Node) -> KernelCall:
        y = node.inputs[0].type
        a, q = self.rate(y)
        params = {"size": y.size, "rate": a, "exponent": self.shift - q}
        name = "mean_squared_error"
        kernel = f"{name}_s8_{self.errors.suffix}"
        return KernelCall(name, kernel, name, params, (*node.inputs, *node.outputs))
