# SPDX-License-Identifier: Apache-2.0
"""Softmax cross-entropy on int8 logits: the loss and the logits' error (SPEC 1.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainer.fixedpoint import near
from trainer.ops.base import Arg, KernelCall, Op, Table
from trainer.ops.error import ERROR_MAX, EXPONENT
from trainer.tensor import Array, DType, TensorType

if TYPE_CHECKING:
    from trainer.graph import Node

ONE = 2**15
LOGITS_EXPONENT = -11
MAX_CLASSES = 2**16 - 1  # the sum of the exponentials fits 32 bits


@dataclass(frozen=True)
class SoftmaxCrossEntropy(Op):
    """logits (.., N) s8, label (1,) u32 -> dlogits (.., N) s16, dlogits_e s16, loss (3,) u32.

    loss holds S, the sum of exponentials in 2**-15, d_y = max(logits) - logits[label], and
    the index of the first greatest logit. Raises ValueError for more than one row.
    """

    output_suffixes = ("_d_logits", "_d_logits_e", "_record")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        logits = types[0]
        if not 2 <= logits.shape[-1] <= MAX_CLASSES or logits.size != logits.shape[-1]:
            raise ValueError(
                f"logits {logits.shape} are not one row of 2 to {MAX_CLASSES} classes; "
                "a softmax over one class has nothing to learn"
            )
        return TensorType(logits.shape, DType.S16), EXPONENT, TensorType((3,), DType.U32)

    def exponentials(self, node: Node) -> Array:
        """(256,) u16: round(2**15 exp(-s d))."""
        scale = node.inputs[0].type.scale
        return np.array(
            [math.floor(ONE * math.exp(-scale * d) + 0.5) for d in range(256)], np.uint16
        )

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        logits, label = inputs[0].reshape(-1).astype(np.int64), int(inputs[1][0])
        distance = logits.max() - logits
        t = self.exponentials(node)[distance].astype(np.int64)
        total = int(t.sum())
        gradient = ((t << 15) + total // 2) // total
        gradient[label] -= ONE
        error = np.clip(near(gradient, 4), -ERROR_MAX, ERROR_MAX).astype(np.int16)
        loss = np.array([total, distance[label], int(logits.argmax())], np.uint32)
        return error.reshape(inputs[0].shape), np.array([LOGITS_EXPONENT], np.int16), loss

    def lower(self, node: Node) -> KernelCall:
        logits, label = node.inputs
        params = {"classes": logits.type.size}
        table = Table("exponential", self.exponentials(node))
        args: tuple[Arg, ...] = (logits, label, table, *node.outputs)
        name = "softmax_cross_entropy"
        return KernelCall(name, f"{name}_s8", name, params, args)


def cross_entropy(loss: Array, logit_scale: float) -> float:
    """The loss in nats of a loss record (S, d_y, predicted)."""
    total, distance = int(loss[0]), int(loss[1])
    return logit_scale * distance + math.log(total / ONE)
