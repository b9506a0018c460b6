# SPDX-License-Identifier: Apache-2.0
"""Rows of everything that is neither a layer nor a pool."""

from __future__ import annotations

from mcutrain.trainer.graph.tensor import DType, TensorType
from mcutrain.trainer.graph.tensor import QuantParams as Q
from mcutrain.trainer.ops.add import Add
from mcutrain.trainer.ops.clamp_mask import ClampMask
from mcutrain.trainer.ops.error import E8, E12, ErrorFormat, MaskError, RequantizeError, SumErrors
from mcutrain.trainer.ops.first_greatest import FirstGreatest
from mcutrain.trainer.ops.gather_channels import GatherChannels
from mcutrain.trainer.ops.mean_squared_error import MeanSquaredError
from mcutrain.trainer.ops.reshape import Reshape
from mcutrain.trainer.ops.sgd import BiasUpdate, CountStep
from mcutrain.trainer.ops.softmax import Softmax
from mcutrain.trainer.ops.softmax_cross_entropy import (
    MaskedSoftmaxCrossEntropy,
    SoftmaxCrossEntropy,
)
from tests.support.feeds import (
    Feed,
    bias,
    count,
    error,
    exponent,
    history,
    integers,
    label,
    mask_of,
    open_mask,
    s8,
    seen,
    sgd,
)
from tests.support.op_cases.case import Case


def add_case(name: str, a: Q, b: Q, out: Q, act: tuple[int, int] = (-128, 127)) -> Case:
    return Case(name, Add(out, *act), (s8(1, 3, 5, 7, quant=a), s8(1, 3, 5, 7, quant=b)))


def sum_case(name: str, shape: tuple[int, ...], *exponents: tuple[int, int],
             x_limits: tuple[int, int] = (-128, 127)) -> Case:  # fmt: skip
    pairs = [feed for e in exponents for feed in (error(*shape), exponent(*e))]
    low, high = min(e[0] for e in exponents), max(e[1] for e in exponents)
    mask = open_mask(s8(*shape).type, x_limits)
    return Case(name, SumErrors(len(exponents)), (*pairs, mask, history((low, high))))


def requantize_case(name: str, shape: tuple[int, ...], errors: ErrorFormat) -> Case:
    x = s8(*shape)
    raw = Feed(TensorType(shape, DType.S32), integers(-(2**31 - 1), 2**31 - 1))
    state = (open_mask(x.type, (-128, 127)), history((-20, 0)))
    dither = (sgd((6, 20)),) if errors is E8 else ()
    op = RequantizeError(x.type, -5, errors.name)
    return Case(name, op, (raw, exponent(-20, 0), *state, *dither))


def mask_case(name: str, shape: tuple[int, ...], *dout: Feed,
              x_limits: tuple[int, int] = (-128, 127)) -> Case:  # fmt: skip
    x = s8(*shape)
    return Case(name, MaskError(x.type), (*dout, mask_of(x, x_limits)))


def cross_entropy_case(name: str, classes: int, scale: float = 0.125) -> Case:
    logits = s8(1, classes, quant=Q((scale,), 0))
    return Case(name, SoftmaxCrossEntropy(), (logits, label(classes)))


def masked_case(name: str, classes: int, *more: Feed) -> Case:
    logits = s8(1, classes, quant=Q((0.06,), 9))
    n = max(2, classes) if not more else 2  # labels below 2 are in use whatever the count
    return Case(name, MaskedSoftmaxCrossEntropy(), (logits, label(n), seen(max(2, classes)), *more))


def first_greatest_case(name: str, outputs: int, *classes: Feed) -> Case:
    logits = s8(1, outputs, quant=Q((0.1,), -3))
    return Case(name, FirstGreatest(), (logits, *classes))


def squared_error_case(name: str, outputs: int, scale: float) -> Case:
    y = s8(1, outputs, quant=Q((scale,), 4))
    return Case(name, MeanSquaredError(), (y, y))


def softmax_case(name: str, rows: int, channels: int, scale: float, beta: float = 1.0) -> Case:
    return Case(name, Softmax(beta), (s8(rows, channels, quant=Q((scale,), 11)),))


ROWS = [
    add_case("add/odd", Q((0.05,), -3), Q((0.11,), 4), Q((0.13,), 7)),
    add_case("add/relu", Q((0.05,), 127), Q((0.05,), -128), Q((0.05,), -128), (-128, 5)),
    add_case("add/far-scales", Q((3.0,), 1), Q((1e-4,), 0), Q((2.0,), -9)),
    add_case("add/saturates", Q((1.0,), 1), Q((0.9,), 0), Q((0.001,), 3)),
    add_case("add/left-shift-wraps", Q((1.0,), 1), Q((0.9,), 0), Q((1e-7,), 3)),
    *(
        Case(f"clamp_mask/{name}", ClampMask(limits), (s8(*shape),))
        for name, shape, limits in (
            ("odd", (1, 3, 5), (-3, 40)),
            ("whole-bytes", (1, 4, 2, 3), (-128, 127)),
            ("one", (1, 1), (-90, 90)),
            ("nine", (9,), (-128, 6)),
            ("equal-limits", (1, 13), (127, 127)),
            ("nothing-between", (1, 13), (4, 5)),
            ("one-between", (1, 300), (4, 6)),
        )
    ),
    mask_case("mask/odd", (1, 3, 5), error(1, 3, 5), exponent(-20, 5), x_limits=(-3, 40)),
    mask_case("mask/reshapes", (1, 3, 2), error(1, 6), exponent(-9, -9)),
    sum_case("sum/of-2", (1, 3, 5), (-20, 0), (-20, 0), x_limits=(-3, 127)),
    sum_case("sum/of-3", (1, 3, 5), (-20, 0), (-20, 0), (-20, 0)),
    sum_case("sum/far-exponents", (1, 9), (-60, 0), (-20, 30), (-90, -60)),
    sum_case("sum/of-1", (1, 4), (-12, -9)),
    sum_case("sum/of-5", (2, 7), *[(-14, -8)] * 5),
    requantize_case("requantize", (1, 3, 4, 5), E12),
    requantize_case("requantize/e8", (1, 3, 4, 5), E8),
    Case("gather/odd", GatherChannels((0, 2, 6), 7), (s8(1, 3, 2, 7),)),
    Case("gather/one", GatherChannels((4,), 5), (s8(1, 5),)),
    Case("gather/flattens", GatherChannels((1, 9), 12), (s8(1, 2, 2, 3),)),
    Case("reshape/odd", Reshape((1, 15)), (s8(1, 3, 5),)),
    Case("bias/greatest", BiasUpdate(0.05, Q((0.01,)), ()),
         (bias(6, 30), error(3, 6), exponent(-3, 40), sgd((0, 9)))),
    Case("bias/beyond-its-limits", BiasUpdate(0.05, Q((0.01,)), ()),
         (bias(6, 31, tuple(range(6))), error(3, 6), exponent(-3, 40), sgd((0, 9)))),
    Case("bias/rounding-twice", BiasUpdate(0.05, Q((0.01,) * 5 + (1e-3,), 0, 0), (2,)),
         (bias(6, 10), error(4, 6), exponent(-60, -5), sgd((6, 30)))),
    Case("bias/positions", BiasUpdate(0.05, Q((0.01,)), ()),
         (bias(2, 20), error(1, 70, 70, 2), exponent(-20, -8), sgd((6, 20)))),
    Case("count/any", CountStep(), (sgd((0, 40)),)),
    softmax_case("softmax/2", 1, 2, 0.05),
    softmax_case("softmax/3-rows", 3, 5, 0.17),
    softmax_case("softmax/10", 1, 10, 0.0999),
    softmax_case("softmax/100", 1, 100, 0.0625),
    softmax_case("softmax/fine", 1, 12, 1e-6),
    softmax_case("softmax/coarse", 1, 12, 15.9),
    softmax_case("softmax/beta", 2, 7, 0.3, 0.5),
    softmax_case("softmax/1", 4, 1, 0.1),
    softmax_case("softmax/1000", 1, 1000, 0.02),
    *(cross_entropy_case(f"loss/{n}", n) for n in (2, 3, 10, 100, 1000)),
    cross_entropy_case("loss/coarse", 7, 3.0),
    cross_entropy_case("loss/fine", 7, 1e-5),
    Case("loss/binary", SoftmaxCrossEntropy(), (s8(1, 1, quant=Q((0.03,), 17)), label(2))),
    Case("loss/binary-coarse", SoftmaxCrossEntropy(), (s8(1, 1, quant=Q((2.0,), -128)), label(2))),
    Case("loss/spare", SoftmaxCrossEntropy(), (s8(1, 9), label(2), count(2, 9))),
    *(masked_case(f"masked/{n}", n) for n in (1, 2, 10, 32, 33, 100)),
    masked_case("masked/spare", 40, count(2, 40)),
    first_greatest_case("predicted/10", 10),
    first_greatest_case("predicted/1", 1),
    first_greatest_case("predicted/spare", 10, count(2, 10)),
    *(squared_error_case(f"mse/{n}", n, 0.05) for n in (1, 3, 640)),
    squared_error_case("mse/coarse", 5, 90.0),
    squared_error_case("mse/fine", 7, 1e-6),
]  # fmt: skip
