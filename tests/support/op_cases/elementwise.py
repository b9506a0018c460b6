# SPDX-License-Identifier: Apache-2.0
"""Rows of elementwise operators: functions of one value, products and sums of repeated terms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mcutrain.trainer.graph.tensor import QuantParams as Q
from mcutrain.trainer.ops.add import Add, AddGrad
from mcutrain.trainer.ops.broadcast import Broadcast
from mcutrain.trainer.ops.hard_swish import HardSwish
from mcutrain.trainer.ops.leaky_relu import LeakyRelu
from mcutrain.trainer.ops.logistic import Logistic
from mcutrain.trainer.ops.lookup import Lookup, LookupGrad
from mcutrain.trainer.ops.mul import Mul, MulGrad
from mcutrain.trainer.ops.quantize import Quantize
from mcutrain.trainer.ops.relu import Relu, Relu6
from mcutrain.trainer.ops.tanh import Tanh
from tests.support.feeds import error, exponent, history, mask_of_last, open_mask, s8, unmasked
from tests.support.op_cases.case import Case

LIMITS = (-128, 127)
X_QUANT, B_QUANT = Q((0.05,), -3), Q((0.11,), 4)


@dataclass(frozen=True)
class Function:
    """A function of one value: its forward, and its gradient if it does not pass errors on."""

    name: str
    op: Lookup
    x_quant: Q = X_QUANT
    shape: tuple[int, ...] = (1, 3, 5, 7)
    x_limits: tuple[int, int] = LIMITS

    def rows(self) -> Iterator[Case]:
        x = s8(*self.shape, quant=self.x_quant)
        yield Case(self.name, self.op, (x,))
        if not self.op.passes_on:
            dout = (error(*self.shape), exponent(-20, 0))
            values = unmasked(x.type, self.x_limits)
            inner = (values, mask_of_last(x.type, self.x_limits), history((-35, 0)))
            yield Case(f"{self.name}/dx", LookupGrad(self.op), (*dout, *inner))


FUNCTIONS = [
    Function("relu/odd", Relu(Q((0.03,), -100))),
    Function("relu/least-zero-point", Relu(Q((0.05,), -128)), Q((0.05,), -128)),
    Function("relu/nothing-above", Relu(Q((0.05,), 127)), Q((0.05,), 127)),
    Function("relu/left-shift", Relu(Q((1e-4,), -9))),
    Function("relu6/odd", Relu6(Q((0.07,), -20)), Q((0.07,), -20)),
    Function("relu6/beyond-the-bytes", Relu6(Q((0.01,), -128)), Q((0.01,), -128)),
    Function("relu6/coarse", Relu6(Q((5.0,), 3)), Q((5.0,), 3)),
    Function("quantize/odd", Quantize(Q((0.03,), 17))),
    Function("quantize/finer", Quantize(Q((0.0004,), 17))),
    Function("quantize/coarser", Quantize(Q((4.0,), -128)), Q((0.05,), 127)),
    Function("quantize/vanishes", Quantize(Q((1e9,), 5)), Q((1e-3,), 1)),
    Function("leaky-relu/odd", LeakyRelu(Q((0.03,), 17), 0.1), x_limits=(-50, 100)),
    Function("leaky-relu/steep", LeakyRelu(Q((0.2,), 0), 2.5), Q((0.05,), 127)),
    Function("leaky-relu/flat", LeakyRelu(Q((0.04,), -128), 0.01), Q((0.04,), -128)),
    Function("hard-swish/odd", HardSwish(Q((0.03,), -110)), x_limits=(-90, 127)),
    Function("hard-swish/coarse", HardSwish(Q((0.4,), -128)), Q((0.5,), 127)),
    Function("hard-swish/fine", HardSwish(Q((0.001,), 3)), Q((0.001,), 3), (1, 9)),
    Function("hard-swish/saturates", HardSwish(Q((0.004,), -128)), Q((0.3,), 0)),
    Function("logistic/odd", Logistic(), x_limits=(-40, 90)),
    Function("logistic/coarse", Logistic(), Q((7.9,), 11)),
    Function("logistic/fine", Logistic(), Q((1e-6,), -128)),
    Function("logistic/one-sided", Logistic(), Q((0.2,), 127), (1, 1)),
    Function("tanh/odd", Tanh(), x_limits=(-40, 90)),
    Function("tanh/coarse", Tanh(), Q((7.9,), 11)),
    Function("tanh/fine", Tanh(), Q((1e-6,), -128)),
    Function("tanh/one-sided", Tanh(), Q((0.03,), -128), (2, 9)),
]


@dataclass(frozen=True)
class Pair:
    """A product or a sum: its forward, and the gradients that the operands compute."""

    name: str
    op: Mul | Add
    a: tuple[int, ...]
    b: tuple[int, ...]
    a_quant: Q = X_QUANT
    b_quant: Q = B_QUANT
    limits: tuple[int, int] = LIMITS
    rounds: int = 16

    def rows(self) -> Iterator[Case]:
        a, b = s8(*self.a, quant=self.a_quant), s8(*self.b, quant=self.b_quant)
        yield Case(self.name, self.op, (a, b), self.rounds)
        out = Broadcast(self.a, self.b).shape
        dout = (error(*out), exponent(-20, 0))
        for x, other, name in ((a, b, "da"), (b, a, "db")):
            inner = (open_mask(x.type, self.limits), history((-30, 0)))
            name = f"{self.name}/{name}"
            if isinstance(self.op, Mul):
                yield Case(name, MulGrad(x.type), (*dout, other, *inner), self.rounds)
            elif x.type.size != dout[0].type.size:
                yield Case(name, AddGrad(x.type), (*dout, *inner), self.rounds)


OUT = Q((0.13,), 7)
PAIRS = [
    Pair("mul/odd", Mul(OUT), (1, 3, 5, 7), (1, 3, 5, 7), limits=(-60, 100)),
    Pair("mul/scalar", Mul(OUT), (1, 3, 5, 2), (1,)),
    Pair("mul/channels", Mul(OUT, -128, 60), (1, 3, 2, 5), (5,)),
    Pair("mul/gate", Mul(Q((0.05,), -3)), (1, 4, 3, 5), (1, 1, 1, 5), b_quant=Q((1 / 256,), -128)),
    Pair("mul/map", Mul(OUT), (1, 4, 3, 1), (1, 4, 3, 6)),
    Pair("mul/outer", Mul(OUT), (1, 4, 1, 3), (1, 1, 5, 1), limits=(-90, 90)),
    Pair("mul/alternates", Mul(OUT), (2, 1, 3, 1), (1, 5, 1, 2)),
    Pair("mul/alternates-beside", Mul(OUT), (2, 1, 3, 4), (2, 5, 3, 1)),
    Pair("mul/ranks", Mul(OUT), (3, 1), (2, 1, 1, 4)),
    Pair("mul/saturates", Mul(Q((0.001,), 9)), (1, 9), (1, 9)),
    Pair("mul/left-shift-wraps", Mul(Q((1e-9,), 9)), (1, 9), (9,), Q((1.0,), 1), Q((0.9,), 0)),
    Pair("mul/vanishes", Mul(Q((1e9,), 9)), (1, 9), (1, 9), Q((1e-3,), 1), Q((1e-3,), 0)),
    Pair("mul/zero-points", Mul(Q((0.9,), -128)), (1, 9), (1, 9), Q((0.05,), 127),
         Q((0.25,), -128)),
    Pair("mul/most-positions", Mul(Q((3.0,), 0)), (1, 4113, 1), (1, 1, 1), Q((0.5,), -128),
         Q((0.25,), 0), rounds=6),
    Pair("add/scalar", Add(OUT), (1, 3, 5, 2), (1,)),
    Pair("add/channels", Add(OUT, -128, 60), (5,), (1, 3, 2, 5), limits=(-60, 100)),
    Pair("add/map", Add(OUT), (1, 4, 3, 1), (1, 4, 3, 6)),
    Pair("add/outer", Add(OUT), (1, 4, 1, 3), (1, 1, 5, 1)),
    Pair("add/alternates", Add(OUT), (2, 1, 3, 1), (1, 5, 1, 2)),
    Pair("add/ranks", Add(OUT), (3, 1), (2, 1, 1, 4)),
    Pair("add/flat-ranks", Add(OUT), (6,), (1, 1, 6)),
    Pair("add/many-positions", Add(OUT), (1, 70, 70, 2), (2,), rounds=6),
]  # fmt: skip


ROWS = [row for part in (FUNCTIONS, PAIRS) for case in part for row in case.rows()]
