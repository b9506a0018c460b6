# SPDX-License-Identifier: Apache-2.0
"""What the state of a plan satisfies whenever training left it (SPEC 4).

Twin of firmware/kernels/state_check.h: a check holds for the same bytes on the device and here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.graph.tensor import Array, Tensor

HISTORY_MAX = 2**14
FIRST_HISTORY = -32768
DECAY_AFTER = 16  # samples that need less before h falls by one
WEIGHT_MAX = 127 * 256
BIAS_MAX = 2**30


@dataclass(frozen=True)
class StateCheck:
    """A question to some tensors of the state: ``mct_<function>`` on the device, ``holds`` here.

    Both take the values of ``tensors`` and then ``numbers``; the device also takes the tensors'
    size where ``has_size``. ``told`` is what the values are if it does not hold.
    """

    function: str
    holds: Callable[..., bool]
    tensors: tuple[Tensor, ...]
    told: str
    numbers: tuple[int, ...] = ()
    has_size: bool = False

    def passes(self, state: Mapping[Tensor, Array]) -> bool:
        return bool(self.holds(*(state[tensor] for tensor in self.tensors), *self.numbers))

    @property
    def failure(self) -> str:
        """A clause that says what is wrong and where."""
        return f"the tensor {self.tensors[-1].name} has {self.told}"


def fractions_are_valid(weight: Array, fraction: Array) -> bool:
    """|256 w + fraction| <= 127 * 256, or w = -128 as the model file had it, with fraction 0."""
    m = 256 * weight.astype(np.int32) + fraction
    return bool(((np.abs(m) <= WEIGHT_MAX) | (m == -128 * 256)).all())


def are_within(values: Array, limit: int) -> bool:
    """-limit <= value <= limit."""
    return bool((np.abs(values.astype(np.int64)) <= limit).all())


def history_is_valid(history: Array) -> bool:
    """{h, n} of an error (SPEC 1.3)."""
    h, n = (int(v) for v in history)
    if h == FIRST_HISTORY:
        return n == 0
    return abs(h) <= HISTORY_MAX and 0 <= n < DECAY_AFTER


def count_is_valid(count: Array, low: int, high: int) -> bool:
    """low <= count <= high."""
    return low <= int(count[0]) <= high


def sgd_is_valid(sgd: Array) -> bool:
    """Seed and step number are any; the learning rate is one that ``LearningRate`` can be."""
    _, _, multiplier, shift = (int(v) for v in sgd)
    return (multiplier == 0 or 128 <= multiplier <= 255) and shift <= 255


def fraction_check(weight: Tensor, fraction: Tensor) -> StateCheck:
    """Of a learned weight with a fraction."""
    return StateCheck(
        "fractions_are_valid", fractions_are_valid, (weight, fraction),
        "weights beyond 127", has_size=True,
    )  # fmt: skip


def bias_check(bias: Tensor) -> StateCheck:
    """Of a learned bias: one that the model file has beyond the limit is dead and stays."""
    assert bias.data is not None
    limit = max(BIAS_MAX, int(np.abs(bias.data.astype(np.int64)).max(initial=0)))
    return StateCheck(
        "are_within", are_within, (bias,), "biases out of range",
        (min(limit, 2**31 - 1),), has_size=True,
    )  # fmt: skip


def sum_check(learned: Tensor, total: Tensor) -> StateCheck:
    """Of the sum of steps beside a learned tensor."""
    return StateCheck(
        "are_within", are_within, (total,), "sums out of range", (BIAS_MAX,), has_size=True
    )


def history_check(history: Tensor) -> StateCheck:
    """Of an error's history."""
    return StateCheck("history_is_valid", history_is_valid, (history,), "a history out of range")


def count_check(active: Tensor, classes: int) -> StateCheck:
    """Of the number of classes in use, of a head with ``classes`` outputs."""
    return StateCheck(
        "count_is_valid", count_is_valid, (active,), "a class count out of range", (2, classes)
    )


def sgd_check(sgd: Tensor) -> StateCheck:
    """Of the state of SGD."""
    return StateCheck("sgd_is_valid", sgd_is_valid, (sgd,), "a learning rate out of range")
