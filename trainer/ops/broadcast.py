# SPDX-License-Identifier: Apache-2.0
"""Where two operands of an elementwise operator lie, if one is repeated along axes of the other.

As NumPy and TFLite have it: shapes are aligned at their last axes, and an axis of size 1, or a
missing one, is repeated. Twin of firmware/kernels/broadcast.h.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from mcutrain.trainer.graph.cutting import varying_axes
from mcutrain.trainer.graph.op import Ties
from mcutrain.trainer.graph.tensor import Array

MAX_AXES = 4  # of different steps, after neighbours of one kind are merged
NO_AXIS = (1, 0, 0)


@dataclass(frozen=True)
class Axis:
    """``size`` positions; ``a`` and ``b`` are an operand's steps in elements, 0 where repeated."""

    size: int
    a: int
    b: int


@dataclass(frozen=True)
class Broadcast:
    """Operands of the shapes ``a`` and ``b``. Raises ValueError if they do not fit."""

    a: tuple[int, ...]
    b: tuple[int, ...]

    def __post_init__(self) -> None:
        pairs = zip_longest(self.a[::-1], self.b[::-1], fillvalue=1)
        if any(1 != m != n != 1 for m, n in pairs):
            raise ValueError(f"shapes {self.a} and {self.b} do not fit")
        if len(self.axes) > MAX_AXES:
            raise ValueError(
                f"shapes {self.a} and {self.b} have {len(self.axes)} axes that differ in what is "
                f"repeated; at most {MAX_AXES} are supported"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        pairs = zip_longest(self.a[::-1], self.b[::-1], fillvalue=1)
        return tuple(max(pair) for pair in pairs)[::-1]

    @property
    def is_flat(self) -> bool:
        """Whether neither operand is repeated."""
        return math.prod(self.a) == math.prod(self.b) == math.prod(self.shape)

    @property
    def axes(self) -> list[Axis]:
        """The result's axes, outermost first: of more than one position, neighbours merged."""
        merged: list[Axis] = []
        a_step = b_step = 1
        for m, n in zip_longest(self.a[::-1], self.b[::-1], fillvalue=1):
            if m == n == 1:
                continue
            axis = Axis(max(m, n), a_step if m > 1 else 0, b_step if n > 1 else 0)
            last = merged[-1] if merged else None
            if last and (last.a > 0, last.b > 0) == (m > 1, n > 1):
                merged[-1] = Axis(last.size * axis.size, last.a, last.b)
            else:
                merged.append(axis)
            a_step, b_step = a_step * m, b_step * n
        return merged[::-1]

    def table(self) -> Array:
        """(3, 4) s32: sizes, steps of a, steps of b of four axes."""
        return columns([(x.size, x.a, x.b) for x in self.axes], MAX_AXES)

    def sum_table(self) -> Array:
        """(18,) s32 for sums over what a was repeated along, one for each element of a.

        Four axes of a and then two along which it is repeated: sizes, steps in the result,
        steps of b.
        """
        kept: list[tuple[int, int, int]] = []
        summed: list[tuple[int, int, int]] = []
        out_step = 1
        for axis in reversed(self.axes):
            (kept if axis.a else summed).append((axis.size, out_step, axis.b))
            out_step *= axis.size
        parts = columns(kept[::-1], MAX_AXES), columns(summed[::-1], MAX_AXES // 2)
        return np.concatenate([part.ravel() for part in parts])


def columns(axes: Sequence[tuple[int, ...]], count: int) -> Array:
    """(3, count) s32: ``axes`` behind as many of one position as are missing."""
    return np.array([NO_AXIS] * (count - len(axes)) + list(axes), np.int32).T.copy()


def sum_to(values: Array, shape: tuple[int, ...]) -> Array:
    """The sum of ``values`` over what an operand of ``shape`` was repeated along."""
    leading = values.ndim - len(shape)
    kept = (1,) * leading + shape
    repeated = tuple(k for k, (n, m) in enumerate(zip(values.shape, kept, strict=True)) if n != m)
    return np.asarray(values.sum(axis=repeated).reshape(shape))


def tied_pair(ids: tuple[Array, ...], shape: tuple[int, ...], ties: Ties) -> Array | str:
    """The ids of what is computed elementwise from two operands that are repeated to ``shape``; or
    why nothing can leave.

    An operand that is one value for all channels of the other is tied to none of them.
    """
    leading = [(1,) * (len(shape) - each.ndim) + each.shape for each in ids]
    a, b = (np.broadcast_to(each, shape) for each in ids)
    for own, other, size in ((a, b, leading[0]), (b, a, leading[1])):
        if any(size[axis] < shape[axis] for axis in varying_axes(other)):
            if varying_axes(own):
                return "its operands are repeated along the channels of each other"
            return other
    ties.unite(a, b)
    return a
