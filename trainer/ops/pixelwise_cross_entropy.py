# SPDX-License-Identifier: Apache-2.0
"""Softmax cross-entropy at each position of an output, against a map of labels (SPEC 1.2).

One logit alone at each position is class 1 against a class 0 whose logit is always 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.fixedpoint import near, scaled_byte
from mcutrain.trainer.graph.call import KernelCall, Table
from mcutrain.trainer.graph.once import once_per_node
from mcutrain.trainer.graph.tensor import Array, DType, TensorType
from mcutrain.trainer.ops.loss import RECORD, Loss
from mcutrain.trainer.ops.softmax_cross_entropy import ONE, exponentials

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node

NAME = "pixelwise_cross_entropy"
IGNORED = 255  # the label of a position that takes no part
MAX_MAP_CLASSES = 255
MAX_POSITIONS = 2**16  # weights of up to 255 times distances of up to 255 sum up in 32 bits
LOG_BITS = 16  # of log2 behind the point
LOG_STEPS = 32  # of the table of log2 between two powers of two
MAX_LOG = 8 << LOG_BITS  # log2 of the sum of 255 exponentials is below it
MAX_RATE = 255


@dataclass(frozen=True)
class PixelwiseCrossEntropy(Loss):
    """logits (.., C) s8, labels (..) u8 -> dlogits, dlogits_e, record.

    The loss is the mean over all P positions of ``weights[label]`` times the cross-entropy there;
    without ``weights`` all are 1. A position with the label IGNORED has no error and no loss. The
    record holds the sums, over the positions that take part, of a log2(S / 2**15) and of a d: S is
    the sum of exponentials in 2**-15, d = max(logits) - logits[label], a the rate of the label.
    """

    weights: tuple[float, ...] = ()
    takes_map: ClassVar[bool] = True

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        logits, labels = types
        positions = logits.size // logits.shape[-1]
        if logits.shape[-1] > MAX_MAP_CLASSES or positions > MAX_POSITIONS:
            raise ValueError(
                f"logits {logits.shape} are not 1 to {MAX_MAP_CLASSES} classes at each of 1 to "
                f"{MAX_POSITIONS} positions"
            )
        if labels != label_map(logits):
            raise ValueError(f"labels {labels} are not one for each position of {logits.shape}")
        return *self.errors.types(logits.shape), RECORD

    def labels(self, logits: TensorType) -> int:
        return max(2, logits.shape[-1])

    def real(self, record: Array, logits: TensorType) -> float:
        """In nats."""
        _, q = self.rates(logits)
        logs = math.ldexp(int(record[0]), self.log_shift(logits) - LOG_BITS)
        return math.ldexp(logits.scale * int(record[1]) + math.log(2) * logs, -q)

    def permits(self, total: int, distance: int, logits: TensorType) -> bool:
        """No sum is beyond that of the greatest rate, logarithm and distance at each position."""
        positions = positions_of(logits)
        most = MAX_RATE * MAX_LOG * positions >> self.log_shift(logits)
        return total <= most and distance <= MAX_RATE * 255 * positions

    def rates(self, logits: TensorType) -> tuple[Array, int]:
        """((N,) uint8 a, q): the weight of each class over P is about a 2**-q.

        Raises ModelError for a weight that is not 0 and would be.
        """
        weights = self.weights or (1.0,) * self.labels(logits)
        _, q = scaled_byte(max(weights) / positions_of(logits))
        shares = [weight / positions_of(logits) for weight in weights]
        rates = [min(MAX_RATE, math.floor(math.ldexp(share, q) + 0.5)) for share in shares]
        for weight, rate in zip(weights, rates, strict=True):
            if weight > 0 and not rate:
                raise ModelError(
                    f"the class weights {weight:g} and {max(weights):g} are too far apart: a weight"
                    f" has 8 bits, so give none below {max(weights) / 500:g}, or 0"
                )
        return np.array(rates, np.uint8), q

    def log_shift(self, logits: TensorType) -> int:
        """By how much the sum of the logarithms is cut so that it fits 32 bits."""
        return max(0, (MAX_RATE * MAX_LOG * positions_of(logits)).bit_length() - 32)

    @property
    def shift(self) -> int:
        """What is cut off the product of a gradient of 16 bits and a rate of 8."""
        return 23 - self.errors.bits

    @once_per_node
    def exponentials(self, node: Node) -> Array:
        """(256,) u16: round(2**15 exp(-s d))."""
        return exponentials(node.inputs[0].type.scale)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        kind, labels = node.inputs[0].type, inputs[1].reshape(-1).astype(np.int64)
        rows = candidate_rows(inputs[0], kind)
        rates, q = self.rates(kind)
        takes_part = labels != IGNORED
        labels = np.where(takes_part, labels, 0)
        rate = np.where(takes_part, rates[labels].astype(np.int64), 0)
        distance = rows.max(axis=1)[:, None] - rows
        t = self.exponentials(node)[distance].astype(np.int64)
        total = t.sum(axis=1)
        gradient = ((t << 15) + total[:, None] // 2) // total[:, None]
        at = np.arange(len(rows))
        gradient[at, labels] -= ONE
        greatest = self.errors.greatest
        error = np.clip(near(gradient * rate[:, None], self.shift), -greatest, greatest)
        logs = int((rate * log2(total)).sum()) >> self.log_shift(kind)
        record = np.array([logs, (rate * distance[at, labels]).sum()], np.uint32)
        found = error[:, -kind.shape[-1] :].astype(self.errors.dtype.np).reshape(kind.shape)
        return found, np.array([self.shift - 15 - q], np.int16), record

    def lower(self, node: Node) -> KernelCall:
        kind = node.inputs[0].type
        rates, q = self.rates(kind)
        params = {
            "positions": positions_of(kind),
            "classes": kind.shape[-1],
            "zero_point": kind.zero_point,
            "exponent": self.shift - 15 - q,
            "log_shift": self.log_shift(kind),
        }
        tables = (
            Table("exponential", self.exponentials(node)),
            Table("rate", rates),
            Table("log2", log2_table()),
        )
        kernel = f"{NAME}_s8_{self.errors.suffix}"
        return KernelCall(NAME, kernel, NAME, params, (*node.inputs, *tables, *node.outputs))


def label_map(logits: TensorType) -> TensorType:
    """The type of the labels of an output's positions."""
    return TensorType(logits.shape[:-1], DType.U8)


def positions_of(logits: TensorType) -> int:
    return logits.size // logits.shape[-1]


def candidate_rows(logits: Array, kind: TensorType) -> Array:
    """(P, N) int64: the logits that compete at each position; a lone one stands against the
    constant zero. ``logits`` may be those of several samples, one after another."""
    rows = logits.reshape(-1, kind.shape[-1]).astype(np.int64)
    if rows.shape[1] > 1:
        return rows
    return np.concatenate([np.full_like(rows, kind.zero_point), rows], axis=1)


def log2_table() -> Array:
    """(LOG_STEPS + 1,) u16: log2(1 + k / LOG_STEPS) in 2**-LOG_BITS, the last one less than 1."""
    steps = [math.log2(1 + k / LOG_STEPS) for k in range(LOG_STEPS + 1)]
    found = [min(2**16 - 1, math.floor(math.ldexp(step, LOG_BITS) + 0.5)) for step in steps]
    return np.array(found, np.uint16)


def log2(total: Array) -> Array:
    """log2(total / 2**15) in 2**-LOG_BITS, int64, by straight lines between the table's values;
    ``total`` from 2**15 to 2**23 - 1, int64.

    >>> log2(np.array([2**15, 2**16, 3 * 2**15]))
    array([     0,  65536, 103872])
    """
    bits = np.frexp(total.astype(np.float64))[1].astype(np.int64) - 16
    part = (total << (16 - bits)) & (2**31 - 1)  # behind the leading one, in 2**-31
    table = log2_table().astype(np.int64)
    step, rest = part >> 26, (part >> 10) & (2**16 - 1)
    between = (table[step + 1] - table[step]) * rest + (1 << 15) >> 16
    return np.asarray((bits << LOG_BITS) + table[step] + between)
