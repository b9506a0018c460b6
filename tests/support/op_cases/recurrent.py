# SPDX-License-Identifier: Apache-2.0
"""Rows of layers with state: what they are given of it, they give back changed."""

from __future__ import annotations

from mcutrain.trainer.graph.tensor import DType, TensorType
from mcutrain.trainer.graph.tensor import QuantParams as Q
from mcutrain.trainer.ops.lstm import GATES, UnidirectionalSequenceLstm
from mcutrain.trainer.ops.svdf import Svdf
from tests.support.feeds import Feed, bias, filters, integers, s8
from tests.support.op_cases.case import Case

HIDDEN, PIXELS = Q((0.0078,), -1), Q((0.0039,), -128)
STATE, OUT = Q((0.4,), -13), Q((0.2,), -128)


def s16(*shape: int, quant: Q) -> Feed:
    return Feed(TensorType(shape, DType.S16, quant), integers(-(2**15), 2**15 - 1))


def lstm_case(
    name: str, x: tuple[int, ...], cells: int, cell_scale: float = 2.0**-12, clip: float = 10.0,
    h: Q = HIDDEN, x_quant: Q = PIXELS, w_scale: float = 0.007,
) -> Case:  # fmt: skip
    """Each gate has weights of a scale of its own."""
    scales = [w_scale * (1 + 0.1 * k) for k in range(GATES)]
    weights = [filters(cells, x[-1], quant=Q((s,))) for s in scales]
    recurrent = [filters(cells, cells, quant=Q((s / 2,))) for s in scales]
    biases = [bias(cells, 14) for _ in range(GATES)]
    state = (s8(1, cells, quant=h), s16(1, cells, quant=Q((cell_scale,))))
    feeds = (s8(*x, quant=x_quant), *weights, *recurrent, *biases, *state)
    return Case(name, UnidirectionalSequenceLstm(clip), feeds)


def svdf_case(
    name: str, inputs: int, filters_: int, memory: int, rank: int = 1, out: Q = OUT,
    state: Q = STATE, has_bias: bool = True, is_wide: bool = False,
) -> Case:  # fmt: skip
    make = s16 if is_wide else s8
    weights = (
        filters(filters_, inputs, quant=Q((0.007,))),
        make(filters_, memory, quant=Q((0.009 / (256 if is_wide else 1),))),
    )
    biases = (bias(filters_ // rank, 14),) if has_bias else ()
    feeds = (s8(1, inputs, quant=Q((0.06,), -7)), *weights, *biases)
    return Case(name, Svdf(out, rank), (*feeds, make(1, filters_ * memory, quant=state)))


ROWS = [
    lstm_case("lstm/one-step", (1, 1, 7), 3),
    lstm_case("lstm/fine-cells", (1, 1, 5), 4, cell_scale=2.0**-15, clip=0.0),
    lstm_case("lstm/coarse-cells", (1, 1, 5), 4, cell_scale=2.0**-6, clip=100.0),
    lstm_case("lstm/clips", (1, 1, 6), 5, clip=0.7),
    lstm_case("lstm/several-steps", (1, 5, 7), 3),
    lstm_case("lstm/several-steps-time-first", (6, 1, 2), 9, h=Q((0.0081,), 0)),
    lstm_case("lstm/several-steps-saturate", (1, 3, 4), 2, x_quant=Q((0.6,), -128), w_scale=0.02),
    svdf_case("svdf/odd", 7, 6, 5, rank=2),
    svdf_case("svdf/no-bias", 3, 4, 8, has_bias=False, out=Q((0.3,), 11)),
    svdf_case("svdf/no-memory", 5, 3, 1),
    svdf_case("svdf/state-wraps", 40, 4, 3, rank=4, state=Q((0.01,), 90), out=Q((0.0005,), 5)),
    svdf_case("svdf/saturates", 40, 4, 3, rank=4, state=Q((0.01,), 0), out=Q((0.0005,), 5)),
    svdf_case("svdf/wide", 7, 4, 1, state=Q((0.003,), 0), is_wide=True),
    svdf_case("svdf/wide-odd-wraps", 7, 6, 5, rank=3, state=Q((0.003,), 0), is_wide=True),
    svdf_case("svdf/wide-wraps", 9, 4, 11, rank=2, state=Q((0.0003,), 0), is_wide=True),
]
