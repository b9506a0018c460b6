# SPDX-License-Identifier: Apache-2.0
"""The error of what only moves values about: read from elsewhere, masked, not changed.

PAD, CONCATENATION, TRANSPOSE and an even MEAN differ in where each element of their input
went, and that is an offset and a stride along each axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.ops.clamp_mask import masked
from mcutrain.trainer.ops.error import SUFFIXES, error_types, format_of
from mcutrain.trainer.ops.overlap import distance, in_step

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node

AXES = 4


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The stride along each axis, in elements.

    >>> row_major((2, 3, 5))
    (15, 5, 1)
    """
    return tuple(math.prod(shape[k + 1 :]) for k in range(len(shape)))


@dataclass(frozen=True)
class Strides:
    """Elements at ``offset + sum(index * stride)`` of an array, in row-major order of index."""

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @classmethod
    def of(cls, sizes: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> Strides:
        """With axes of size 1 dropped and neighbours joined: exactly 4 axes are left.

        Raises ValueError if it takes more.

        >>> Strides.of((1, 5, 2, 3), (0, 12, 3, 1), 7)
        Strides(sizes=(1, 1, 5, 6), strides=(0, 0, 12, 1), offset=7)
        """
        axes: list[tuple[int, int]] = []
        for size, stride in zip(sizes, strides, strict=True):
            if axes and axes[-1][1] == stride * size:
                axes[-1] = (axes[-1][0] * size, stride)
            elif size > 1:
                axes.append((size, stride))
        if len(axes) > AXES:
            raise ValueError(f"{len(axes)} axes move apart; up to {AXES} are supported")
        axes = [(1, 0)] * (AXES - len(axes)) + axes
        return cls(tuple(a[0] for a in axes), tuple(a[1] for a in axes), offset)

    @property
    def size(self) -> int:
        return math.prod(self.sizes)

    @property
    def greatest(self) -> int:
        """The greatest index that is read."""
        steps = zip(self.sizes, self.strides, strict=True)
        return self.offset + sum((size - 1) * max(0, stride) for size, stride in steps)

    @property
    def indices(self) -> Array:
        """(size,): where each element is read, in order."""
        steps = zip(self.sizes, self.strides, strict=True)
        return np.asarray(self.offset + sum(np.ix_(*(np.arange(n) * s for n, s in steps)))).ravel()

    def read(self, source: Array) -> Array:
        """The elements, in an array of the 4 sizes."""
        return np.asarray(source.ravel()[self.indices].reshape(self.sizes))

    def params(self) -> dict[str, int]:
        sizes = {f"size_{k}": size for k, size in enumerate(self.sizes)}
        return sizes | {f"stride_{k}": stride for k, stride in enumerate(self.strides)}


@dataclass(frozen=True)
class StridedError(Op):
    """dout, dout_e s16 (1,), mask of x -> dx of x's shape, dx_e = dout_e - exponent_step.

    The error of x's element i, in row-major order, is the i-th that ``where`` reads of dout.
    """

    where: Strides
    x: TensorType
    exponent_step: int = 0
    output_suffixes = SUFFIXES

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        dout, _, mask = types
        if self.where.size != self.x.size or self.where.greatest >= dout.size:
            raise ValueError(f"{self.where} does not lead from {self.x.shape} into {dout.shape}")
        return error_types(dout, self.x, mask)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, mask = inputs
        dx = masked(self.where.read(dout).reshape(self.x.shape), mask).astype(dout.dtype)
        return dx, (exponent - self.exponent_step).astype(np.int16)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        dx, mask = node.output.type, node.inputs[2].type
        dout = distance(np.arange(dx.size), self.where.indices) * dx.dtype.nbytes
        return {(0, 0): dout, (0, 2): in_step(dx, mask), (1, 1): 0}

    def lower(self, node: Node) -> KernelCall:
        params = {
            **self.where.params(),
            "offset": self.where.offset,
            "exponent_step": self.exponent_step,
        }
        args = (*node.inputs, *node.outputs)
        kernel = f"strided_error_{format_of(node.inputs[0].type).suffix}"
        return KernelCall("strided_error", kernel, "strided_error", params, args)
