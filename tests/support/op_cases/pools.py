# SPDX-License-Identifier: Apache-2.0
"""Rows of pools: forward and gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import QuantParams as Q
from mcutrain.trainer.graph.tensor import TensorType
from mcutrain.trainer.ops.average_pool2d import (
    AveragePool2D,
    AveragePool2DGrad,
    AveragePool2DPassError,
)
from mcutrain.trainer.ops.max_pool2d import MaxPool2D, MaxPool2DGrad, MaxPool2DPassError
from tests.support.feeds import (
    Feed,
    error,
    exponent,
    history,
    mask_of_last,
    open_mask,
    s8,
    unmasked,
)
from tests.support.op_cases.case import Case, place


@dataclass(frozen=True)
class Pool:
    """A pool: its forward and its gradient are two rows."""

    name: str
    x: tuple[int, ...]
    window: tuple[int, int]
    stride: tuple[int, int]
    same: bool = False
    act: tuple[int, int] = (-128, 127)
    x_limits: tuple[int, int] = (-128, 127)
    kind: type[AveragePool2D | MaxPool2D] = AveragePool2D

    def rows(self) -> Iterator[Case]:
        sizes = zip(self.x[1:3], self.window, self.stride, strict=True)
        (h, top), (w, left) = (place(*size, self.same) for size in sizes)
        pool = self.kind((1, h, w, self.x[3]), self.window, self.stride, (top, left), *self.act)
        x = s8(*self.x, quant=Q((0.05,), -7))
        yield Case(self.name, pool, (x,))
        dout = (error(*pool.out_shape), exponent(-20, 0))
        dx = self.gradient(pool, x.type)
        rest = (history((-35, -10)),) if dx.mutates else ()
        yield Case(f"{self.name}/dx", dx, (*dout, *self.forward_feeds(x.type), *rest))

    def forward_feeds(self, x: TensorType) -> tuple[Feed, ...]:
        """What the gradient reads of the forward pass: the mask, and x to look for the maximum."""
        if self.kind is AveragePool2D:
            return (open_mask(x, self.x_limits),)
        return unmasked(x, self.x_limits), mask_of_last(x, self.x_limits)

    def gradient(self, pool: AveragePool2D | MaxPool2D, x: TensorType) -> Op:
        if isinstance(pool, MaxPool2D):
            return (MaxPool2DPassError if pool.is_disjoint else MaxPool2DGrad)(pool)
        passes_on = pool.halvings(pool.geometry(x)) is not None
        return (AveragePool2DPassError if passes_on else AveragePool2DGrad)(pool, x)


POOLS = [
    Pool("pool/1x1", (1, 1, 1, 1), (1, 1), (1, 1)),
    Pool("pool/whole", (1, 4, 4, 5), (4, 4), (4, 4), x_limits=(-7, 127)),
    Pool("pool/whole-odd", (1, 5, 3, 4), (5, 3), (5, 3), x_limits=(-30, 30)),
    Pool("pool/halves", (1, 6, 4, 2), (2, 2), (2, 2), act=(-7, 90)),
    Pool("pool/gaps", (1, 7, 8, 2), (2, 2), (3, 3)),
    Pool("pool/rest", (1, 5, 5, 3), (2, 2), (2, 2)),
    Pool("pool/overlaps", (1, 6, 7, 2), (3, 3), (2, 2)),
    Pool("pool/padded", (1, 5, 7, 3), (3, 3), (2, 2), same=True, x_limits=(-7, 100)),
    Pool("pool/padded-overlaps", (1, 4, 5, 2), (3, 3), (1, 1), same=True),
    Pool("pool/padded-disjoint", (1, 5, 5, 1), (2, 2), (2, 2), same=True),
    Pool("pool/window-exceeds-x", (1, 2, 3, 2), (5, 5), (1, 1), same=True),
    Pool("pool/three", (1, 6, 3, 2), (3, 1), (3, 1)),
    Pool("pool/33-rows", (1, 34, 2, 3), (33, 2), (1, 1), x_limits=(-100, 127)),
    Pool("pool/tall-padded", (1, 42, 3, 1), (40, 3), (7, 2), same=True, act=(-7, 5)),
    Pool("pool/tall-passes", (1, 64, 2, 1), (64, 2), (64, 2)),
]
MAX = MaxPool2D
MAX_POOLS = [
    Pool("max_pool/1x1", (1, 1, 1, 1), (1, 1), (1, 1), kind=MAX),
    Pool("max_pool/halves", (1, 6, 4, 3), (2, 2), (2, 2), act=(-7, 90), kind=MAX),
    Pool("max_pool/whole", (1, 5, 3, 4), (5, 3), (5, 3), x_limits=(-30, 30), kind=MAX),
    Pool("max_pool/gaps", (1, 7, 8, 2), (2, 2), (3, 3), x_limits=(-7, 127), kind=MAX),
    Pool("max_pool/rest", (1, 5, 5, 3), (2, 2), (2, 2), kind=MAX),
    Pool("max_pool/overlaps", (1, 6, 7, 2), (3, 3), (2, 2), x_limits=(-128, 100), kind=MAX),
    Pool("max_pool/padded", (1, 5, 7, 3), (3, 3), (2, 2), same=True, x_limits=(-7, 100), kind=MAX),
    Pool("max_pool/padded-overlaps", (1, 4, 5, 2), (3, 3), (1, 1), same=True, kind=MAX),
    Pool("max_pool/padded-disjoint", (1, 5, 5, 1), (2, 2), (2, 2), same=True, kind=MAX),
    Pool("max_pool/window-exceeds-x", (1, 2, 3, 2), (5, 5), (1, 1), same=True, kind=MAX),
    Pool("max_pool/uneven", (1, 9, 4, 2), (4, 1), (3, 2), kind=MAX),
    Pool("max_pool/32-rows", (1, 33, 2, 1), (32, 1), (1, 1), kind=MAX),
    Pool("max_pool/33-rows", (1, 34, 3, 5), (33, 2), (1, 1), kind=MAX),
    Pool("max_pool/tall-padded", (1, 50, 3, 2), (40, 3), (7, 2), same=True, kind=MAX),
    Pool("max_pool/tall-whole", (1, 70, 2, 3), (70, 2), (70, 2), x_limits=(-100, 127), kind=MAX),
]

LONG = [
    Pool("pool/long-row", (1, 1, 4100, 1), (1, 4099), (1, 1)),
    Pool("max_pool/long-row", (1, 1, 4100, 1), (1, 4099), (1, 1), kind=MAX),
]

ROWS = [row for pool in (*POOLS, *MAX_POOLS, *LONG) for row in pool.rows()]
