# SPDX-License-Identifier: Apache-2.0
"""Rows of layers whose frozen weights fit nibbles."""

from __future__ import annotations

from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.ops.weighted import Weighted
from tests.support.bench import draw_inputs
from tests.support.op_cases import Case

WEIGHTS = 1
DRAWN = 9  # a round in which they are no extremes


def nibbles_of(
    rows: list[Case], frozen: tuple[int, ...] = (WEIGHTS,)
) -> dict[str, dict[int, Array]]:
    """For each layer that learns whole, if it learns: what its inputs ``frozen`` hold, the weights
    within -8..7."""
    found = {}
    for case in rows:
        if isinstance(case.op, Weighted) and case.op.channels is None:
            values = dict(enumerate(draw_inputs(case, 1, DRAWN)))
            values[WEIGHTS] = (values[WEIGHTS] & 15 ^ 8) - 8
            found[case.name] = {k: v for k, v in values.items() if k in frozen}
    return found
