# SPDX-License-Identifier: Apache-2.0
"""Which axes MEAN and REDUCE_MAX reduce: neighbours, but for axes of size 1, which any may be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcutrain.trainer.errors import ModelError, UnsupportedOpError

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import OperatorSource


@dataclass(frozen=True)
class Reduction:
    """The axes ``first`` to ``last`` of ``shape`` are reduced, and what is left is ``out_shape``.

    >>> Reduction.of((1, 6, 4), (0, 2), keep_dims=False)
    Reduction(shape=(1, 6, 4), first=2, last=2, out_shape=(6,))
    """

    shape: tuple[int, ...]
    first: int
    last: int
    out_shape: tuple[int, ...]

    @classmethod
    def of(cls, shape: tuple[int, ...], axes: tuple[int, ...], keep_dims: bool) -> Reduction:
        """Raises ValueError for axes of several values that are no neighbours, or the first one."""
        wide = [axis for axis in axes if shape[axis] > 1] or [axis for axis in axes if axis]
        between = range(wide[0], wide[-1] + 1) if wide else ()
        if not wide or wide[0] == 0 or any(shape[k] > 1 and k not in axes for k in between):
            raise ValueError("neighbouring axes without the first are supported")
        left = tuple(
            1 if k in axes else n for k, n in enumerate(shape) if keep_dims or k not in axes
        )
        return cls(shape, wide[0], wide[-1], left)

    @classmethod
    def read(cls, source: OperatorSource, shape: tuple[int, ...], does: str) -> Reduction:
        """Of an operator in a file, which ``does`` this over axes. Raises ModelError."""
        rank, given = len(shape), [int(v) for v in source.integers(1).ravel()]
        if not all(-rank <= axis < rank for axis in given):
            raise ModelError(f"{source}: axes {given} of {shape}")
        axes = tuple(sorted({axis % rank for axis in given}))
        try:
            return cls.of(shape, axes, bool(source.option("KeepDims")))
        except ValueError as err:
            raise UnsupportedOpError(
                f"{source}: {does} over the axes {given} of {shape}; {err}"
            ) from err

    @property
    def count(self) -> int:
        """How many values are reduced to one."""
        return math.prod(self.shape[self.first : self.last + 1])

    @property
    def outer(self) -> int:
        """How many blocks of them there are before the axes that follow."""
        return math.prod(self.shape[: self.first])
