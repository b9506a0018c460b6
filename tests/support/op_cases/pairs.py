# SPDX-License-Identifier: Apache-2.0
"""Rows of differences, their squares, the smaller or greater of two, and slopes by channel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mcutrain.trainer.graph.tensor import QuantParams as Q
from mcutrain.trainer.graph.tensor import TensorType
from mcutrain.trainer.ops.add import AddGrad
from mcutrain.trainer.ops.broadcast import Broadcast
from mcutrain.trainer.ops.error import NegatedError
from mcutrain.trainer.ops.minimum_maximum import ChosenMask, Maximum, Minimum
from mcutrain.trainer.ops.prelu import Prelu, PreluGrad
from mcutrain.trainer.ops.squared_difference import SquaredDifference, SquaredDifferenceGrad
from mcutrain.trainer.ops.sub import Sub
from tests.support.feeds import error, exponent, history, mask_of_last, open_mask, s8, unmasked
from tests.support.op_cases.case import Case
from tests.support.op_cases.elementwise import B_QUANT, LIMITS, X_QUANT


@dataclass(frozen=True)
class Difference:
    """A difference, its square, or a choice: its forward, and what its gradients compute."""

    name: str
    op: Sub | SquaredDifference | Maximum
    a: tuple[int, ...]
    b: tuple[int, ...]
    a_quant: Q = X_QUANT
    b_quant: Q = B_QUANT
    limits: tuple[int, int] = LIMITS
    rounds: int = 16

    def rows(self) -> Iterator[Case]:
        a, b = s8(*self.a, quant=self.a_quant), s8(*self.b, quant=self.b_quant)
        yield Case(self.name, self.op, (a, b), self.rounds)
        for k, (x, other, name) in enumerate(((a, b, "da"), (b, a, "db"))):
            name = f"{self.name}/{name}"
            if isinstance(self.op, Maximum):
                yield Case(f"{name}/takes", ChosenMask(self.op, k), (a, b), self.rounds)
            else:
                yield from self.gradients(name, k, x.type, other.type)

    def gradients(self, name: str, k: int, x: TensorType, other: TensorType) -> Iterator[Case]:
        out = Broadcast(self.a, self.b).shape
        dout = (error(*out), exponent(-20, 0))
        mask, past = open_mask(x, self.limits), history((-30, 0))
        if isinstance(self.op, SquaredDifference):
            values = unmasked(x, self.limits), s8(*other.shape, quant=other.quant or X_QUANT)
            inner = (*dout, *values, mask, past)
            yield Case(name, SquaredDifferenceGrad(operand=k), inner, self.rounds)
        elif x.size != dout[0].type.size:
            yield Case(name, AddGrad(x), (*dout, mask, past), self.rounds)
        elif k:
            yield Case(name, NegatedError(x), (*dout, mask), self.rounds)


@dataclass(frozen=True)
class Slopes:
    """A PRELU: its forward and its gradient."""

    name: str
    op: Prelu
    shape: tuple[int, ...]
    x_quant: Q = X_QUANT
    x_limits: tuple[int, int] = LIMITS

    def rows(self) -> Iterator[Case]:
        x = s8(*self.shape, quant=self.x_quant)
        yield Case(self.name, self.op, (x,))
        dout = (error(*self.shape), exponent(-20, 0))
        inner = (unmasked(x.type, self.x_limits), mask_of_last(x.type, self.x_limits))
        yield Case(f"{self.name}/dx", PreluGrad(self.op), (*dout, *inner, history((-35, 0))))


OUT = Q((0.13,), 7)
DIFFERENCES = [
    Difference("sub/odd", Sub(OUT), (1, 3, 5, 7), (1, 3, 5, 7), limits=(-60, 100)),
    Difference("sub/scalar", Sub(OUT, -128, 60), (1, 3, 5, 2), (1,)),
    Difference("sub/from-one", Sub(Q((1 / 256,), -128)), (1,), (1, 3, 2, 5),
               Q((1 / 255,), -128), Q((1 / 256,), -128)),
    Difference("sub/ties", Sub(Q((0.5,), 0)), (1, 9), (1, 9), Q((0.5,), 0),
               Q((0.5 + 2.0**-9,), 0)),
    Difference("sub/outer", Sub(OUT), (1, 4, 1, 3), (1, 1, 5, 1)),
    Difference("sub/ranks", Sub(OUT), (3, 1), (2, 1, 1, 4)),
    Difference("squared-difference/odd", SquaredDifference(OUT), (1, 3, 5, 7), (1, 3, 5, 7),
               limits=(-60, 100)),
    Difference("squared-difference/mean", SquaredDifference(OUT), (1, 4, 9), (1, 4, 1)),
    Difference("squared-difference/scalar", SquaredDifference(OUT), (1, 3, 5, 2), (1,),
               Q((0.002,), 127), Q((0.11,), -128)),
    Difference("squared-difference/outer", SquaredDifference(OUT), (1, 4, 1, 3), (1, 1, 5, 1)),
    Difference("squared-difference/saturates", SquaredDifference(Q((0.001,), 9)), (1, 9), (1, 9)),
    Difference("squared-difference/most-positions", SquaredDifference(Q((3.0,), 0)),
               (1, 4098, 1), (1, 1, 1), Q((0.5,), -128), Q((0.25,), 0), rounds=6),
    Difference("minimum/odd", Minimum(X_QUANT), (1, 3, 5, 7), (1, 3, 5, 7), b_quant=X_QUANT),
    Difference("minimum/channels", Minimum(X_QUANT), (1, 3, 2, 5), (5,), b_quant=X_QUANT),
    Difference("minimum/outer", Minimum(X_QUANT), (1, 4, 1, 3), (1, 1, 5, 1), b_quant=X_QUANT),
    Difference("maximum/odd", Maximum(X_QUANT), (1, 3, 5, 7), (1, 3, 5, 7), b_quant=X_QUANT),
    Difference("maximum/map", Maximum(X_QUANT), (1, 4, 3, 1), (1, 4, 3, 6), b_quant=X_QUANT),
    Difference("maximum/scalar", Maximum(X_QUANT), (1,), (1, 3, 3, 2), b_quant=X_QUANT),
]  # fmt: skip
SLOPES = [
    Slopes("prelu/channels", Prelu(Q((0.03,), 17), (25, -90, 0, 127, 60), (5,), 0.01),
           (1, 3, 4, 5), x_limits=(-50, 100)),
    Slopes("prelu/one", Prelu(Q((0.2,), 0), (200,), (1,), 0.02), (1, 9), Q((0.05,), 127)),
    Slopes("prelu/map", Prelu(Q((0.04,), -128), tuple(range(-100, 152, 21)), (3, 4, 1), 0.003),
           (1, 3, 4, 2), Q((0.04,), 0)),
    Slopes("prelu/left-shift", Prelu(Q((1e-4,), 9), (255, -255), (1, 1, 2), 0.5), (1, 5, 3, 2)),
]  # fmt: skip
ROWS = [row for part in (DIFFERENCES, SLOPES) for case in part for row in case.rows()]
