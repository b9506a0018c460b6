# SPDX-License-Identifier: Apache-2.0
"""Rows of the operators that take parts, positions or blends: forward and gradient."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mcutrain.trainer.ops.gather import Gather, GatherGrad, GatherPassError, Tile
from mcutrain.trainer.ops.pack import Pack
from mcutrain.trainer.ops.resize_bilinear import ResizeBilinear, ResizeBilinearGrad
from mcutrain.trainer.ops.scattered_error import ScatteredError, SumParts
from mcutrain.trainer.ops.slice import Slice, Split, SplitV, StridedSlice, Unpack
from tests.support.feeds import error, exponent, history, open_mask, s8
from tests.support.op_cases.case import Case
from tests.support.op_cases.structural import X_QUANT, gradient

WIDE = (-128, 127)


def slice_rows(name: str, x: tuple[int, ...], taken: tuple[range, ...],
               limits: tuple[int, int] = WIDE, shape: tuple[int, ...] | None = None,
               kind: type[Slice] = Slice) -> Iterator[Case]:  # fmt: skip
    op, feed = kind.of(x, list(taken), shape), s8(*x, quant=X_QUANT)
    yield Case(name, op, (feed,))
    yield gradient(name, ScatteredError(op.where, feed.type), op.shape, feed, limits)


def gather_rows(name: str, x: tuple[int, ...], index: tuple[int, ...], axis: int,
                limits: tuple[int, int] = WIDE, kind: type[Gather] = Gather,
                axes: int = 1, shape: tuple[int, ...] | None = None) -> Iterator[Case]:  # fmt: skip
    out = (*x[:axis], len(index), *x[axis + axes :]) if shape is None else shape
    op, feed = kind(out, index, axis, axes), s8(*x, quant=X_QUANT)
    yield Case(name, op, (feed,))
    grad = GatherPassError if op.readers == 1 else GatherGrad
    yield gradient(name, grad(op, feed.type), op.shape, feed, limits)


def tile_rows(name: str, x: tuple[int, ...], times: tuple[int, ...],
              limits: tuple[int, int] = WIDE) -> Iterator[Case]:  # fmt: skip
    index = np.tile(np.arange(int(np.prod(x))).reshape(x), times)
    out = tuple(int(n) for n in np.multiply(x, times))
    yield from gather_rows(name, x, tuple(map(int, index.ravel())), 0, limits, Tile, len(x), out)


def bilinear_rows(name: str, x: tuple[int, ...], size: tuple[int, int], align: bool = False,
                  half: bool = False,
                  limits: tuple[int, int] = WIDE) -> Iterator[Case]:  # fmt: skip
    op, feed = ResizeBilinear(size, align, half), s8(*x, quant=X_QUANT)
    yield Case(name, op, (feed,))
    yield gradient(name, ResizeBilinearGrad(op, feed.type), (1, *size, x[3]), feed, limits)


def parts_row(name: str, x: tuple[int, ...], *parts: tuple[range, ...]) -> Case:
    """The sum of the errors of parts, some of which lie over each other."""
    feed, ops = s8(*x, quant=X_QUANT), [Slice.of(x, list(part)) for part in parts]
    pairs = [f for op in ops for f in (error(*op.shape), exponent(-20, 0))]
    feeds = (*pairs, open_mask(feed.type, (-50, 90)), history((-35, -10)))
    return Case(name, SumParts(tuple(op.where for op in ops), feed.type), feeds)


ROWS = [
    parts_row("sum_parts/time", (1, 7, 5), *((range(1), range(k, k + 1), range(5))
                                             for k in range(7))),
    parts_row("sum_parts/over-each-other", (1, 4, 3, 6), *((range(1), range(k, 4), range(2, -1, -1),
                                                            range(k, 6, 2)) for k in range(4))),
    parts_row("sum_parts/of-one", (1, 4, 6), (range(1), range(1, 3), range(6))),
    *slice_rows("slice/inside", (1, 5, 4, 3), (range(1), range(1, 4), range(2, 4), range(3)),
                (-3, 127)),
    *slice_rows("slice/each-axis", (2, 4, 5, 6), (range(1, 2), range(1, 3), range(4), range(2, 5)),
                (-30, 30)),
    *slice_rows("slice/channels", (1, 3, 3, 7), (range(1), range(3), range(3), range(2, 5))),
    *slice_rows("slice/whole", (1, 3, 2), (range(1), range(3), range(2))),
    *slice_rows("strided/steps", (1, 7, 9, 4), (range(1), range(1, 7, 2), range(0, 9, 4),
                                                range(3, 4)), (-128, 60), (3, 3), StridedSlice),
    *slice_rows("strided/backward", (1, 4, 5, 3), (range(1), range(3, -1, -1), range(4, 0, -2),
                                                   range(2, -1, -1)), (-9, 90), None, StridedSlice),
    *slice_rows("strided/new-axis", (1, 6, 4), (range(1), range(0, 6, 5), range(4)), WIDE,
                (1, 2, 1, 4), StridedSlice),
    *slice_rows("strided/five-axes-join", (1, 2, 3, 4, 5, 2), (range(1), range(2), range(3),
                                                                range(1, 3), range(5), range(1)),
                WIDE, None, StridedSlice),
    *slice_rows("split/second", (1, 6, 4), (range(1), range(6), range(2, 4)), (-20, 100), None,
                Split),
    *slice_rows("split_v/last", (1, 3, 7), (range(1), range(3), range(2, 7)), WIDE, None, SplitV),
    *slice_rows("unpack/time", (1, 5, 6), (range(1), range(3, 4), range(6)), WIDE, (1, 6), Unpack),
    *slice_rows("unpack/channels", (1, 5, 6), (range(1), range(5), range(4, 5)), (-50, 127),
                (1, 5), Unpack),
    *gather_rows("gathered/channels", (1, 3, 2, 5), (4, 0, 2), 3, (-3, 127)),
    *gather_rows("gathered/repeats", (1, 4, 3), (1, 1, 3, 0, 1, 3), 1, (-30, 30)),
    *gather_rows("gathered/one", (1, 4, 3), (2,), 1, WIDE, shape=(1, 3)),
    *gather_rows("gathered/table", (1, 3, 5), (4, 0, 4, 1), 2, WIDE, shape=(1, 3, 2, 2)),
    *gather_rows("gathered/many-of-one", (1, 1, 3), (0,) * 300, 1),
    *tile_rows("tile/each-axis", (1, 2, 3), (2, 1, 3), (-3, 127)),
    *tile_rows("tile/rows-and-columns", (1, 3, 1, 2, 1, 2), (1, 1, 2, 1, 2, 1), (-60, 60)),
    *tile_rows("tile/once", (1, 2, 3), (1, 1, 1)),
    Case("pack/first", Pack(0), (s8(1, 3, quant=X_QUANT), s8(1, 3, quant=X_QUANT))),
    Case("pack/inside", Pack(1), tuple(s8(2, 3, 4, quant=X_QUANT) for _ in range(3))),
    Case("pack/last", Pack(2), tuple(s8(1, 5, quant=X_QUANT) for _ in range(4))),
    *bilinear_rows("resize_bilinear/doubles", (1, 3, 2, 3), (6, 4), limits=(-3, 127)),
    *bilinear_rows("resize_bilinear/doubles-half", (1, 3, 2, 3), (6, 4), half=True),
    *bilinear_rows("resize_bilinear/uneven", (1, 5, 3, 2), (7, 8), half=True, limits=(-30, 30)),
    *bilinear_rows("resize_bilinear/aligned", (1, 4, 5, 1), (9, 7), align=True),
    *bilinear_rows("resize_bilinear/smaller", (1, 7, 8, 2), (3, 5), limits=(-128, 60)),
    *bilinear_rows("resize_bilinear/smaller-half", (1, 7, 8, 2), (3, 4), half=True),
    *bilinear_rows("resize_bilinear/smaller-aligned", (1, 7, 8, 2), (3, 1), align=True),
    *bilinear_rows("resize_bilinear/same", (1, 2, 3, 2), (2, 3)),
    *bilinear_rows("resize_bilinear/from-one", (1, 1, 1, 2), (30, 20)),
]  # fmt: skip
