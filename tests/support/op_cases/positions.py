# SPDX-License-Identifier: Apache-2.0
"""Rows of the loss that has a label for each position."""

from __future__ import annotations

from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.graph.tensor import QuantParams as Q
from mcutrain.trainer.ops.pixelwise_cross_entropy import (
    IGNORED,
    PixelwiseCrossEntropy,
    label_map,
)
from tests.support.feeds import Draw, Feed, s8
from tests.support.op_cases.case import Case


def labels_of(logits: TensorType) -> Feed:
    """Labels of classes, some of positions that take no part; in some rounds of all, or of none."""

    def rule(draw: Draw, type_: TensorType) -> Array:
        found = draw.rng.randint(0, max(2, logits.shape[-1]), type_.shape)
        share = (0.0, 0.2, 1.0)[draw.round % 3]
        found[draw.rng.uniform(size=type_.shape) < share] = IGNORED
        return found

    return Feed(label_map(logits), rule)


def pixelwise_case(
    name: str, shape: tuple[int, ...], scale: float = 0.1, weights: tuple[float, ...] = ()
) -> Case:
    logits = s8(*shape, quant=Q((scale,), 7))
    op = PixelwiseCrossEntropy(weights=weights)
    return Case(f"pixelwise/{name}", op, (logits, labels_of(logits.type)))


ROWS = [
    pixelwise_case("odd", (1, 3, 5, 3)),
    pixelwise_case("one", (1, 1, 1, 2)),
    pixelwise_case("windows", (1, 7, 4), 0.03),
    pixelwise_case("binary", (1, 4, 3, 1), 0.2),
    pixelwise_case("most-classes", (1, 2, 255), 0.01),
    pixelwise_case("weighted", (1, 3, 3, 3), 0.2, (1.0, 20.0, 0.0)),
    pixelwise_case("far-weights", (1, 8, 8, 2), 0.15, (1.0, 255.0)),
    pixelwise_case("coarse", (1, 5, 4, 4), 3.0),
    pixelwise_case("fine", (1, 5, 4, 4), 1e-5),
    pixelwise_case("many", (1, 40, 50, 2), 0.4),
]
