# SPDX-License-Identifier: Apache-2.0
"""What an operator says and is told when channels leave a network: ``Op.tie`` and ``Op.cut``.

Each element of a tensor has an id, an int64. Elements whose ids are one, or were united, leave
together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mcutrain.trainer.graph.tensor import Array

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node


@dataclass(frozen=True)
class KeptAxis:
    """What stays of a tensor: the positions ``index``, ascending, of the axis ``axis``."""

    axis: int
    index: Array

    def shape(self, old: tuple[int, ...]) -> tuple[int, ...]:
        """Of the tensor that had the shape ``old``."""
        return (*old[: self.axis], len(self.index), *old[self.axis + 1 :])

    def of(self, data: Array) -> Array:
        """What stays of the tensor's data."""
        return data.take(self.index, axis=self.axis)


class Ties(Protocol):
    """What a rule of ties (``Op.tie``) may ask for; ``trainer.shrinking.ties`` has it."""

    def make(self, node: Node, count: int) -> Array:
        """(count,): new ids, of what as many filters of the node make."""

    def read(self, node: Node, ids: Array) -> None:
        """The columns of the node's weights read what has these ids."""

    def unite(self, a: Array, b: Array) -> None:
        """What lies at one place of these two arrays leaves together. They fit by broadcasting."""

    def stay(self, why: str) -> int:
        """An id of what cannot leave."""

    def must_stay(self, ids: Array) -> bool:
        """Whether it is known by now that nothing of these ids can leave."""


def along_last(ids: Array) -> Array | None:
    """(C,): the ids along the last axis; None if they differ along another one."""
    row = ids[(0,) * (ids.ndim - 1)]
    return row if bool((thin(ids) == row).all()) else None


def thin(ids: Array) -> Array:
    """The same ids, once along the axes along which they are only repeated in memory."""
    return ids[tuple(slice(0, 1) if step == 0 else slice(None) for step in ids.strides)]


def varying_axes(ids: Array) -> list[int]:
    """The axes along which ids differ."""
    once = thin(ids)
    return [
        k for k in range(ids.ndim) if once.shape[k] > 1 and bool((once != once.take([0], k)).any())
    ]


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
