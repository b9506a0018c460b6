# SPDX-License-Identifier: Apache-2.0
"""Where a forward value is inside its limits: one bit per element, all that its error asks of it.

Bit k % 8 of byte k // 8, the least significant first, belongs to element k in row-major order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mcutrain.trainer.graph.call import KernelCall, Row
from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Array, DType, TensorType

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node


def mask_type(x: TensorType) -> TensorType:
    """Of the mask of a tensor of type ``x``."""
    return TensorType((-(-x.size // 8),), DType.U8)


def packed(x: Array, limits: tuple[int, int]) -> Array:
    """The mask of ``x``: 1 where ``lo < x < hi``, 0 elsewhere and behind the last element.

    >>> packed(np.array([-3, -2, 5, 6, 0, 0, 0, 0, 4], np.int8), (-3, 6)).tolist()
    [246, 1]
    """
    lo, hi = limits
    return np.packbits(((x > lo) & (x < hi)).ravel(), bitorder="little")


def masked(error: npt.NDArray[Any], mask: Array) -> npt.NDArray[Any]:
    """``error`` where the mask's bit is 1, else 0."""
    bits = np.unpackbits(mask, count=error.size, bitorder="little")
    return np.asarray(error * bits.reshape(error.shape))


@dataclass(frozen=True)
class ClampMask(Op):
    """x s8 -> mask u8 (ceil(size / 8),): 1 where x is inside its limits (SPEC 1.3)."""

    x_limits: tuple[int, int]

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        return (mask_type(types[0]),)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return (packed(inputs[0], self.x_limits),)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        return {(0, 0): 0}

    def lower(self, node: Node) -> KernelCall:
        (x,) = node.inputs
        params = {"size": x.type.size, "x_min": self.x_limits[0], "x_max": self.x_limits[1]}
        return KernelCall("clamp_mask", "clamp_mask_s8", "clamp_mask", params, (x, node.output))

    def by_rows(self, node: Node) -> KernelCall | None:
        """If a row's bits are whole bytes."""
        (x,) = node.inputs
        height = x.type.shape[1] if len(x.type.shape) == 4 else 1
        if height == 1 or x.type.size % (8 * height):
            return None
        whole = self.lower(node)
        args = (Row(x, height), Row(node.output, height))
        return replace(whole, params={**whole.params, "size": x.type.size // height}, args=args)
