# SPDX-License-Identifier: Apache-2.0
"""Rows of the operators that move, join, average or repeat values: forward and gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Node, Op
from mcutrain.trainer.graph.tensor import QuantParams as Q
from mcutrain.trainer.graph.tensor import Role, Tensor
from mcutrain.trainer.ops.concatenation import Concatenation
from mcutrain.trainer.ops.mean import Mean, MeanGrad
from mcutrain.trainer.ops.pad import Pad, PadV2
from mcutrain.trainer.ops.reshape import ExpandDims, Squeeze
from mcutrain.trainer.ops.resize_nearest_neighbor import (
    ResizeGrad,
    ResizeNearestNeighbor,
    ResizePassError,
)
from mcutrain.trainer.ops.strided_error import StridedError, Strides
from mcutrain.trainer.ops.transpose import Transpose
from tests.support.feeds import Feed, error, exponent, history, open_mask, s8
from tests.support.op_cases.case import Case

X_QUANT = Q((0.05,), -7)


def applied(op: Op, *feeds: Feed) -> Node:
    """``op`` on tensors of the feeds' types."""
    graph = Graph()
    inputs = [Tensor(f"x{k}", feed.type, Role.INPUT) for k, feed in enumerate(feeds)]
    graph.add(op, *inputs, name="y", index=0)
    return graph.nodes[0]


def gradient(name: str, op: Op, out: tuple[int, ...], x: Feed, limits: tuple[int, int]) -> Case:
    """The row of a gradient with the inputs (dout, dout_e, mask) and, if it has one, a history."""
    feeds = (error(*out), exponent(-20, 0), open_mask(x.type, limits))
    return Case(f"{name}/dx", op, (*feeds, history((-35, -10))) if op.mutates else feeds)


def pad_rows(name: str, x: tuple[int, ...], before: tuple[int, ...], after: tuple[int, ...],
             value: int = -7, limits: tuple[int, int] = (-128, 127),
             kind: type[Pad] = Pad) -> Iterator[Case]:  # fmt: skip
    op, feed = kind(before, after, value), s8(*x, quant=X_QUANT)
    node = applied(op, feed)
    yield Case(name, op, (feed,))
    yield gradient(
        name, StridedError(op.inside(node), feed.type), node.output.type.shape, feed, limits
    )


def mean_rows(name: str, x: tuple[int, ...], axes: tuple[int, int], out: Q = X_QUANT,
              limits: tuple[int, int] = (-128, 127), keep_dims: bool = False,
              zero_point: int = -7) -> Iterator[Case]:  # fmt: skip
    op, feed = Mean(out, *axes, keep_dims), s8(*x, quant=replace(X_QUANT, zero_point=zero_point))
    shape = applied(op, feed).output.type.shape
    yield Case(name, op, (feed,))
    outer, count, inner = op.block(feed.type)
    if count & (count - 1) == 0:
        where = Strides.of((outer, count, inner), (inner, 0, 1))
        dx: Op = StridedError(where, feed.type, count.bit_length() - 1)
    else:
        dx = MeanGrad(op, feed.type)
    yield gradient(name, dx, shape, feed, limits)


def concatenation_rows(name: str, axis: int, *shapes: tuple[int, ...]) -> Iterator[Case]:
    op, feeds = Concatenation(axis), tuple(s8(*shape, quant=X_QUANT) for shape in shapes)
    yield Case(name, op, feeds)


def transpose_rows(name: str, x: tuple[int, ...], order: tuple[int, ...],
                   limits: tuple[int, int] = (-128, 127)) -> Iterator[Case]:  # fmt: skip
    op, feed = Transpose(x, order), s8(*x, quant=X_QUANT)
    yield Case(name, op, (feed,))
    dx = StridedError(op.inverse.where, feed.type)
    yield gradient(name, dx, op.inverse.shape, feed, limits)


def resize_rows(name: str, x: tuple[int, ...], size: tuple[int, int], align: bool = False,
                half: bool = False,
                limits: tuple[int, int] = (-128, 127)) -> Iterator[Case]:  # fmt: skip
    op, feed = ResizeNearestNeighbor(size, align, half), s8(*x, quant=X_QUANT)
    yield Case(name, op, (feed,))
    kind = ResizePassError if op.readers(feed.type) == 1 else ResizeGrad
    yield gradient(name, kind(op, feed.type), (1, *size, x[3]), feed, limits)


ROWS = [
    *pad_rows("pad/odd", (1, 3, 5, 2), (0, 1, 2, 0), (0, 2, 0, 0), limits=(-3, 127)),
    *pad_rows("pad/each-axis", (1, 2, 3, 2), (1, 2, 0, 1), (0, 1, 1, 3), value=-128),
    *pad_rows("pad/three-axes", (2, 3, 4), (1, 0, 2), (0, 0, 1), value=127, limits=(-128, 90)),
    *pad_rows("pad/one-axis", (5,), (3,), (4,)),
    *pad_rows("pad/none", (1, 2, 3, 2), (0,) * 4, (0,) * 4),
    *pad_rows("pad/before-only", (1, 1, 1, 3), (0, 0, 2, 0), (0, 0, 0, 0)),
    *pad_rows("padv2/odd", (1, 4, 3), (0, 1, 1), (0, 0, 2), value=55, kind=PadV2),
    *mean_rows("mean/whole", (1, 4, 4, 5), (1, 2), limits=(-7, 127)),
    *mean_rows("mean/whole-odd", (1, 5, 3, 4), (1, 2), Q((0.031,), 11), limits=(-30, 30)),
    *mean_rows("mean/keeps-dims", (1, 3, 3, 2), (1, 2), Q((0.07,), 3), keep_dims=True),
    *mean_rows("mean/of-one", (1, 1, 1, 6), (1, 2), Q((0.02,), 100)),
    *mean_rows("mean/of-one-equal", (1, 1, 1, 6), (1, 2)),
    *mean_rows("mean/time", (1, 49, 3), (1, 1), Q((0.049,), 9)),
    *mean_rows("mean/channels", (1, 3, 2, 7), (3, 3), Q((0.06,), -1)),
    *mean_rows("mean/rows", (2, 6, 2, 3), (1, 1), Q((0.11,), 127)),
    *mean_rows("mean/all-but-batch", (3, 2, 5, 3), (1, 3), Q((0.05,), -128)),
    *mean_rows("mean/saturates", (1, 3, 4, 2), (1, 2), Q((0.001,), 9)),
    *mean_rows("mean/left-shift-wraps", (1, 5, 7, 2), (1, 2), Q((1e-9,), 1), zero_point=-128),
    *mean_rows("mean/far-right-shift", (1, 3, 5, 2), (1, 2), Q((9e7,), 1)),
    *mean_rows("mean/factor-of-zero", (1, 3, 5, 2), (1, 2), Q((1e12,), 1)),
    *mean_rows("mean/many", (1, 101, 99, 1), (1, 2), Q((0.01,), -5), zero_point=127),
    *concatenation_rows("concatenation/channels", 3, (1, 3, 2, 4), (1, 3, 2, 1), (1, 3, 2, 5)),
    *concatenation_rows("concatenation/rows", 1, (1, 3, 2, 2), (1, 1, 2, 2)),
    *concatenation_rows("concatenation/batch", 0, (2, 3), (1, 3)),
    *concatenation_rows("concatenation/of-one", 1, (1, 7)),
    *transpose_rows("transpose/channels-first", (1, 3, 4, 2), (0, 3, 1, 2), (-3, 127)),
    *transpose_rows("transpose/reversed", (2, 3, 4, 5), (3, 2, 1, 0)),
    *transpose_rows("transpose/two-axes", (5, 7), (1, 0), (-30, 30)),
    *transpose_rows("transpose/swaps-outer", (2, 3, 2, 4), (1, 0, 2, 3)),
    *transpose_rows("transpose/five-axes-join", (1, 3, 1, 4, 2), (2, 3, 4, 0, 1)),
    *transpose_rows("transpose/alias", (1, 4, 1, 3), (2, 1, 0, 3)),
    *resize_rows("resize/doubles", (1, 3, 2, 3), (6, 4), limits=(-3, 127)),
    *resize_rows("resize/uneven", (1, 5, 3, 2), (7, 8), half=True, limits=(-30, 30)),
    *resize_rows("resize/aligned", (1, 4, 5, 1), (9, 7), align=True),
    *resize_rows("resize/aligned-half", (1, 4, 5, 1), (3, 11), align=True, half=True),
    *resize_rows("resize/smaller", (1, 7, 8, 2), (3, 5), limits=(-128, 60)),
    *resize_rows("resize/smaller-half", (1, 7, 8, 2), (3, 4), half=True),
    *resize_rows("resize/same", (1, 2, 3, 2), (2, 3)),
    *resize_rows("resize/to-one", (1, 4, 3, 2), (1, 1), align=True),
    *resize_rows("resize/from-one", (1, 1, 1, 2), (5, 4)),
    Case("squeeze/odd", Squeeze((3, 5)), (s8(1, 3, 1, 5),)),
    Case("expand_dims/odd", ExpandDims((1, 3, 1, 5)), (s8(1, 3, 5),)),
]  # fmt: skip
# An input that is a slice of the joined tensor, in the middle and at its ends.
ROWS += [
    gradient(f"concatenation/{name}", StridedError(where, x.type), (1, 3, 2, 9), x, limits)
    for name, where, x, limits in (
        ("first", Strides.of((6, 4), (9, 1), 0), s8(1, 3, 2, 4), (-128, 127)),
        ("middle", Strides.of((6, 1), (9, 1), 4), s8(1, 3, 2, 1), (-20, 90)),
        ("last", Strides.of((6, 4), (9, 1), 5), s8(1, 3, 2, 4), (-3, 127)),
    )
]
