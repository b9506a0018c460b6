# SPDX-License-Identifier: Apache-2.0
"""Softmax cross-entropy on int8 logits: the loss and the logits' error (SPEC 1.2).

One logit alone is class 1 against a class 0 whose logit is always 0: binary cross-entropy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.fixedpoint import near
from mcutrain.trainer.graph.call import Arg, KernelCall, Table
from mcutrain.trainer.graph.once import once_per_node
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.ops.first_greatest import candidates, class_params
from mcutrain.trainer.ops.loss import RECORD, Loss

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node

NAME = "softmax_cross_entropy"
ONE = 2**15
WORD = 32  # bits
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

    @once_per_node
    def exponentials(self, node: Node) -> Array:
        """(256,) u16: round(2**15 exp(-s d))."""
        return exponentials(node.inputs[0].type.scale)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        logits = candidates(node, *inputs[:1], *inputs[2:])
        return self.of(node, inputs[0], logits, int(inputs[1][0]), np.ones(logits.size, bool))

    def of(
        self, node: Node, output: Array, logits: Array, label: int, takes_part: Array
    ) -> tuple[Array, ...]:
        """The outputs for the candidates ``logits``, (N,) int64, those of them that
        ``takes_part`` (N,) says; ``output`` is what they come from."""
        distance = logits[takes_part].max() - logits
        t = np.where(takes_part, self.exponentials(node)[distance.clip(0)], 0).astype(np.int64)
        total = int(t.sum())
        gradient = ((t << 15) + total // 2) // total
        gradient[label] -= ONE
        bits, greatest = self.errors.bits, self.errors.greatest
        error = np.zeros(output.size, self.errors.dtype.np)
        found = np.clip(near(gradient, 15 - bits), -greatest, greatest)
        error[: found.size] = found[-error.size :]
        record = np.array([total, distance[label]], np.uint32)
        return error.reshape(output.shape), np.array([-bits], np.int16), record

    def lower(self, node: Node) -> KernelCall:
        logits, label, *classes = node.inputs
        return self.call(node, NAME, logits, label, *(classes or (None,)))

    def call(self, node: Node, kernel: str, *args: Arg) -> KernelCall:
        """Of ``kernel``, which takes the table and the outputs behind ``args``."""
        table = Table("exponential", self.exponentials(node))
        name, params = f"{kernel}_s8_{self.errors.suffix}", class_params(node.inputs[0].type)
        return KernelCall(NAME, name, NAME, params, (*args, table, *node.outputs))


@dataclass(frozen=True)
class MaskedSoftmaxCrossEntropy(SoftmaxCrossEntropy):
    """The same with ``seen`` (words,) u32 behind the label, which it changes in place: one bit of
    each class, of which the label's becomes 1. Only classes whose bit is 1 take part.

    So classes without samples are not pushed down (masked softmax; the labels trick of Zeno et
    al. 2018, ER-ACE of Caccia et al. 2022).
    """

    mutates = (2,)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        output, (label,), seen, *classes = inputs
        logits, seen = candidates(node, output, *classes), with_classes(seen, [int(label)])
        takes_part = class_bits(seen)[: logits.size]
        return *self.of(node, output, logits, int(label), takes_part), seen

    def lower(self, node: Node) -> KernelCall:
        logits, label, _, *classes = node.inputs
        return self.call(node, f"masked_{NAME}", logits, label, *(classes or (None,)))


def exponentials(scale: float) -> Array:
    """(256,) u16: round(2**15 exp(-scale d)) for d = 0..255."""
    return np.array([math.floor(ONE * math.exp(-scale * d) + 0.5) for d in range(256)], np.uint16)


def class_bits(seen: Array) -> Array:
    """(32 words,) bool: of each class whether its bit is set."""
    return (seen[:, None] >> np.arange(WORD, dtype=np.uint32) & 1).astype(bool).reshape(-1)


def with_classes(seen: Array, classes: Iterable[int]) -> Array:
    """``seen`` with the bits of these classes, too."""
    found = seen.copy()
    for label in classes:
        found[label // WORD] |= np.uint32(1 << label % WORD)
    return found
