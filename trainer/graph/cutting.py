# SPDX-License-Identifier: Apache-2.0
"""What an operator says and is told when channels leave a network: ``Op.tie`` and ``Op.cut``.

Each element of a tensor has an id, an int64. Elements whose ids are one, or were united, leave
together.
"""

from __future__ import annotations

from dataclasses import dataclass

from mcutrain.trainer.graph.tensor import Array


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
