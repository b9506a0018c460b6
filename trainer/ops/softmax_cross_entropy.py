# SPDX-License-Identifier: Apache-2.0
"""Softmax cross-entropy on int8 logits: the loss and the logits' error (SPEC 1.2).

One logit alone is class 1 against a class 0 whose logit is always 0: binary cross-entropy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.fixedpoint import near
from mcutrain.trainer.graph.call import Arg, KernelCall, Table
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.ops.first_greatest import candidates, class_params
from mcutrain.trainer.ops.loss import RECORD, Loss

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node

ONE = 2**15
MAX_CLASSES = 2**16 - 1  # the sum of the exponentials fits 32 bits


@dataclass(frozen=True)
class SoftmaxCrossEntropy(Loss):
    """logits (.., N) s8, label (1,) u32[, classes (1,) u32] -> dlogits, dlogits_e, record.

    The record is S, the sum of exponentials in 2**-15, and d_y = max(logits) - logits[label].
    With ``classes`` only the first so many logits take part; the error of the others is 0.
    Raises ValueError for more than one row.
    """

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        logits = types[0]
        if logits.shape[-1] > MAX_CLASSES or logits.size != logits.shape[-1]:
            raise ValueError(f"logits {logits.shape} are not one row of 1 to {MAX_CLASSES} classes")
        return *self.errors.types(logits.shape), RECORD

    def labels(self, logits: TensorType) -> int:
        return max(2, logits.size)

    def real(self, record: Array, logits: TensorType) -> float:
        """In nats."""
        return logits.scale * int(record[1]) + math.log(int(record[0]) / ONE)

    def permits(self, total: int, distance: int, logits: TensorType) -> bool:
        """The greatest logit alone gives 1 to the sum, and none gives more."""
        return ONE <= total <= ONE * self.labels(logits) and distance <= 255

    def exponentials(self, node: Node) -> Array:
        """(256,) u16: round(2**15 exp(-s d))."""
        scale = node.inputs[0].type.scale
        return np.array(
            [math.floor(ONE * math.exp(-scale * d) + 0.5) for d in range(256)], np.uint16
        )

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        logits, label = candidates(node, *inputs[:1], *inputs[2:]), int(inputs[1][0])
        distance = logits.max() - logits
        t = self.exponentials(node)[distance].astype(np.int64)
        total = int(t.sum())
        gradient = ((t << 15) + total // 2) // total
        gradient[label] -= ONE
        bits, greatest = self.errors.bits, self.errors.greatest
        error = np.zeros(inputs[0].size, self.errors.dtype.np)
        found = np.clip(near(gradient, 15 - bits), -greatest, greatest)
        error[: found.size] = found[-error.size :]
        record = np.array([total, distance[label]], np.uint32)
        return error.reshape(inputs[0].shape), np.array([-bits], np.int16), record

    def lower(self, node: Node) -> KernelCall:
        logits, label, *classes = node.inputs
        table = Table("exponential", self.exponentials(node))
        args: tuple[Arg, ...] = (logits, label, *(classes or (None,)), table, *node.outputs)
        name = "softmax_cross_entropy"
        kernel = f"{name}_s8_{self.errors.suffix}"
        return KernelCall(name, kernel, name, class_params(logits.type), args)
