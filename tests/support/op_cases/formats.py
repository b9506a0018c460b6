# SPDX-License-Identifier: Apache-2.0
"""Rows of the other formats (SPEC 1.3, 1.5), made of the rows of the default ones.

Every row with errors is there once more with E8, and the update of every layer also without a
fraction and into a sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from mcutrain.trainer.formats import Formats
from mcutrain.trainer.graph.tensor import DType, Role, Tensor, TensorType
from mcutrain.trainer.graph.tensor import QuantParams as Q
from mcutrain.trainer.ops.add import Add
from mcutrain.trainer.ops.error import E8, RawError
from mcutrain.trainer.ops.loss import Loss
from mcutrain.trainer.ops.mul import Mul
from mcutrain.trainer.ops.sgd import ApplySum, sum_of
from mcutrain.trainer.ops.weighted_gradients import WeightedUpdate
from tests.support.feeds import ErrorFeed, Feed, bias, error, filters, integers, s8, sgd
from tests.support.op_cases.case import Case
from tests.support.op_cases.elementwise import Pair
from tests.support.op_cases.layers import CONV, DW, Layer

INT32 = (-(2**31), 2**31 - 1)


def in_e8(rows: Iterable[Case]) -> Iterator[Case]:
    """The rows that have errors, with E8."""
    for row in rows:
        name = f"{row.name}/e8"
        if isinstance(row.op, Loss):
            yield replace(row, name=name, op=replace(row.op, errors=E8))
        elif any(isinstance(feed, ErrorFeed) for feed in row.feeds):
            feeds = tuple(
                error(*f.type.shape, errors=E8) if isinstance(f, ErrorFeed) else f
                for f in row.feeds
            )
            dither = (sgd((6, 20)),) if isinstance(row.op, RawError) else ()
            yield replace(row, name=name, feeds=(*feeds, *dither))


def sums(type_: TensorType) -> Feed:
    """The sum of a weight's or a bias's steps: any bytes, as a host may write them."""
    total = sum_of(Tensor("t", type_, Role.PARAM), Formats(accumulate=2))
    assert total is not None
    return Feed(total.type, integers(*INT32))


def other_weights(rows: Iterable[Case]) -> Iterator[Case]:
    """The updates of weights, without a fraction and into a sum; one of each three with shifts."""
    for k, row in enumerate(row for row in rows if isinstance(row.op, WeightedUpdate)):
        (w, frac, *rest), whole = row.feeds, replace(row.op, has_fraction=False)
        yield Case(f"{row.name}/int8", whole, (w, *rest), row.rounds)
        yield Case(f"{row.name}/sum", whole, (sums(w.type), *rest), row.rounds)
        parts = ((w, frac), (w,), (sums(w.type),))[k % 3]
        op = replace(row.op, has_fraction=len(parts) == 2, has_input_shifts=True)
        shifts = Feed(TensorType(w.type.shape[-1:], DType.S8), integers(-128, 127))
        yield Case(f"{row.name}/shifted", op, (*parts, shifts, *rest), row.rounds)


def apply_rows(name: str, samples: int, *, has_fraction: bool = True) -> Iterator[Case]:
    w = filters(3, 2, 5, 2, quant=Q((0.01,)))
    frac = s8(3, 2, 5, 2)
    parts = (w, frac) if has_fraction else (w,)
    rate = sgd((6, 20))
    op = ApplySum(samples, has_fraction)
    yield Case(f"apply/{name}", op, (*parts, sums(w.type), rate), 40)
    small = Feed(sums(w.type).type, integers(-3, 3))
    yield Case(f"apply/{name}/small", op, (*parts, small, rate), 40)
    b = bias(7, 30)
    yield Case(f"apply/{name}/bias", ApplySum(samples), (b, sums(b.type), rate), 40)


# At the bounds of E8, which E12 cannot reach (SPEC 1.4).
E8_LAYERS = [
    Layer("conv/greatest-fan-out-8", CONV, (1, 1, 1, 2), (132104, 1, 1, 2), w_scales=(0.25,),
          bias_bits=None, rounds=5),
    Layer("conv/most-positions-8", CONV, (1, 66000, 1, 1), (1, 1, 1, 1),
          x_quant=Q((0.05,), -128), rounds=5),
    Layer("conv/bands-8", CONV, (1, 257, 257, 1), (1, 1, 1, 1), rounds=5),
    Layer("dw/bands-8", DW, (1, 257, 257, 1), (1, 1, 1, 1), rounds=5),
]  # fmt: skip
E8_PAIRS = [
    Pair("mul/most-positions-8", Mul(Q((3.0,), 0)), (1, 66000, 1), (1, 1, 1), Q((0.5,), -128),
         Q((0.25,), 0), rounds=5),
    Pair("add/many-positions-8", Add(Q((0.13,), 7)), (1, 1100, 1000, 1), (1,), rounds=4),
]  # fmt: skip


def other_formats(rows: list[Case]) -> list[Case]:
    """``rows`` of the default formats in the others."""
    greatest = [row for part in (*E8_LAYERS, *E8_PAIRS) for row in part.rows()]
    errors = [row for row in greatest if any(isinstance(f, ErrorFeed) for f in row.feeds)]
    updates = [*rows, *other_weights(rows)]
    return [
        *other_weights(rows),
        *in_e8([*updates, *errors]),
        *apply_rows("of-1", 1),
        *apply_rows("of-2", 2),
        *apply_rows("of-3/int8", 3, has_fraction=False),
        *apply_rows("of-65536", 65536),
    ]
