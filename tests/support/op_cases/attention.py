# SPDX-License-Identifier: Apache-2.0
"""Rows of what attention and embeddings are made of: products of activations, softmax inside, rows
by their length, greatest values and sums along axes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mcutrain.trainer.graph.tensor import QuantParams as Q
from mcutrain.trainer.ops.batch_matmul import BatchMatMul, BatchMatMulGrad
from mcutrain.trainer.ops.broadcast import Broadcast
from mcutrain.trainer.ops.l2_normalization import OUT_QUANT as UNIT
from mcutrain.trainer.ops.l2_normalization import L2Normalization, L2NormalizationGrad
from mcutrain.trainer.ops.max_pool2d import MaxPool2DPassError
from mcutrain.trainer.ops.reduce_max import ReduceMax
from mcutrain.trainer.ops.reduction import Reduction
from mcutrain.trainer.ops.softmax import OUT_QUANT as SHARES
from mcutrain.trainer.ops.softmax import SoftmaxGrad
from mcutrain.trainer.ops.sum import Sum
from tests.support.feeds import error, exponent, history, mask_of_last, open_mask, s8, unmasked
from tests.support.op_cases.case import Case

LIMITS = (-128, 127)
A_QUANT, B_QUANT, OUT = Q((0.05,), -3), Q((0.11,), 4), Q((0.13,), 7)


@dataclass(frozen=True)
class Product:
    """A product of matrices: its forward, and the gradients of both operands."""

    name: str
    a: tuple[int, ...]
    b: tuple[int, ...]
    adj: tuple[bool, bool] = (False, False)
    a_quant: Q = A_QUANT
    b_quant: Q = B_QUANT
    out_quant: Q = OUT
    act: tuple[int, int] = LIMITS
    limits: tuple[int, int] = LIMITS
    of_rows: bool = False
    rounds: int = 12

    @property
    def out(self) -> tuple[int, ...]:
        a = (-1, self.b[-1]) if self.of_rows else self.a
        rows, cols = a[-1 if self.adj[0] else -2], self.b[-2 if self.adj[1] else -1]
        if self.of_rows:
            return (*self.a[:-1], cols)
        return (*Broadcast(self.a[:-2], self.b[:-2]).shape, rows, cols)

    def op(self) -> BatchMatMul:
        return BatchMatMul(self.out_quant, self.out, *self.adj, *self.act, of_rows=self.of_rows)

    def rows(self) -> Iterator[Case]:
        op, a, b = self.op(), s8(*self.a, quant=self.a_quant), s8(*self.b, quant=self.b_quant)
        yield Case(self.name, op, (a, b), self.rounds)
        dout = (error(*self.out), exponent(-20, 0))
        for k, (x, other, name) in enumerate(((a, b, "da"), (b, a, "db"))):
            inner = (open_mask(x.type, self.limits), history((-30, 0)))
            grad = BatchMatMulGrad(x.type, operand=k, product=op)
            yield Case(f"{self.name}/{name}", grad, (*dout, other, *inner), self.rounds)


PRODUCTS = [
    Product("matmul/plain", (1, 3, 5), (1, 5, 4), limits=(-60, 100)),
    Product("matmul/adj-x", (2, 5, 3), (2, 5, 4), (True, False), act=(-7, 90)),
    Product("matmul/adj-y", (1, 2, 7, 4), (1, 2, 5, 4), (False, True)),
    Product("matmul/adj-both", (3, 5, 2), (3, 4, 5), (True, True)),
    Product("matmul/ranks", (1, 6, 5), (5, 3)),
    Product("matmul/lower-rank-first", (6, 5), (1, 3, 5, 2)),
    Product("matmul/repeats-a", (1, 3, 4), (4, 4, 2), a_quant=Q((0.02,), 127)),
    Product("matmul/repeats-b", (2, 3, 4, 2), (2, 1, 2, 5), (False, False)),
    Product("matmul/repeats-both", (3, 1, 2, 4), (1, 2, 4, 3), limits=(-90, 90)),
    Product("matmul/shares", (1, 2, 6, 6), (1, 2, 6, 3), a_quant=SHARES, out_quant=Q((0.04,), 2)),
    Product("matmul/one-by-one", (1, 1, 1), (1, 1, 1)),
    Product("matmul/vector", (1, 1, 9), (9, 1), (False, False)),
    Product("matmul/rows", (1, 3, 5), (4, 5), (False, True), act=(-3, 127), of_rows=True),
    Product("matmul/saturates", (2, 7), (7, 3), out_quant=Q((0.001,), 9)),
    Product("matmul/left-shift-wraps", (2, 7), (7, 3), (False, False), Q((1.0,), 1), Q((0.9,), 0),
            Q((1e-9,), 9)),
    Product("matmul/vanishes", (2, 7), (7, 3), out_quant=Q((1e9,), 9)),
    Product("matmul/deepest", (1, 33025), (33025, 1), a_quant=Q((0.05,), 127),
            b_quant=Q((0.05,), -128), out_quant=Q((300.0,), 0), rounds=5),
    Product("matmul/most-products", (1, 2), (2, 4113), rounds=5),
]  # fmt: skip


def reduce_max_rows(name: str, shape: tuple[int, ...], axes: tuple[int, ...],
                    keep_dims: bool = False) -> Iterator[Case]:  # fmt: skip
    op = ReduceMax.over(Reduction.of(shape, axes, keep_dims))
    yield Case(name, op, (s8(*shape),))
    x = unmasked(s8(*shape).type, (-90, 100))
    dout = (error(*op.out_shape), exponent(-20, 0))
    yield Case(f"{name}/dx", MaxPool2DPassError(op), (*dout, x, mask_of_last(x.type, (-90, 100))))


def softmax_row(name: str, shape: tuple[int, ...], beta: float = 1.0, rounds: int = 16) -> Case:
    x = s8(*shape, quant=Q((0.1,), 11)).type
    dout, y = (error(*shape), exponent(-20, 0)), s8(*shape, quant=SHARES)
    inner = (open_mask(x, (-120, 127)), history((-40, 0)))
    return Case(name, SoftmaxGrad(x, beta), (*dout, y, *inner), rounds)


def length_rows(name: str, shape: tuple[int, ...], quant: Q = A_QUANT, rounds: int = 16,
                has_gradient: bool = True) -> Iterator[Case]:  # fmt: skip
    x = s8(*shape, quant=quant)
    yield Case(name, L2Normalization(), (x,), rounds)
    dout, y = (error(*shape), exponent(-20, 0)), s8(*shape, quant=UNIT)
    inner = (open_mask(x.type, (-100, 127)), history((-40, 0)))
    if has_gradient:
        yield Case(f"{name}/dx", L2NormalizationGrad(), (*dout, x, y, *inner), rounds)


def sum_row(name: str, shape: tuple[int, ...], first: int, last: int, out: Q) -> Case:
    return Case(name, Sum(out, first, last), (s8(*shape),))


ROWS = [
    *(row for product in PRODUCTS for row in product.rows()),
    *reduce_max_rows("reduce_max/map", (1, 4, 3, 5), (1, 2)),
    *reduce_max_rows("reduce_max/channels", (1, 4, 3, 5), (3,), True),
    *reduce_max_rows("reduce_max/all", (1, 7, 2), (1, 2)),
    *reduce_max_rows("reduce_max/inside", (2, 3, 4, 5), (2,)),
    *reduce_max_rows("reduce_max/long", (1, 5000, 2), (1,)),
    *reduce_max_rows("reduce_max/of-one", (1, 1, 6), (0, 1)),
    softmax_row("softmax/2/dx", (1, 2)),
    softmax_row("softmax/maps/dx", (1, 2, 5, 7)),
    softmax_row("softmax/beta/dx", (3, 10), 0.3),
    softmax_row("softmax/steep/dx", (3, 10), 5.0),
    softmax_row("softmax/1/dx", (4, 1)),
    softmax_row("softmax/most/dx", (1, 4095), rounds=6),
    *length_rows("length/odd", (1, 3, 5)),
    *length_rows("length/rows", (1, 2, 3, 16), Q((0.3,), 127)),
    *length_rows("length/fine", (2, 9), Q((1e-6,), -128)),
    *length_rows("length/coarse", (2, 9), Q((900.0,), 0)),
    *length_rows("length/1", (5, 1)),
    *length_rows("length/8196", (1, 8196), Q((0.05,), -128), 6),
    *length_rows("length/33025", (1, 33025), Q((0.05,), -128), 6, False),
    sum_row("sum/map", (1, 4, 3, 5), 1, 2, Q((0.3,), 5)),
    sum_row("sum/channels", (2, 7), 1, 1, Q((0.05,), -3)),
    sum_row("sum/left-shift", (1, 6, 2), 1, 1, Q((0.001,), 0)),
]
