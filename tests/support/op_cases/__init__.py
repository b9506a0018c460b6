# SPDX-License-Identifier: Apache-2.0
"""One row per thing worth checking about an operator. Every test of operators reads this."""

from tests.support.op_cases import (
    attention,
    curves,
    elementwise,
    layers,
    moves,
    others,
    pairs,
    pools,
    positions,
    recurrent,
    spaced,
    structural,
    unsigned,
)
from tests.support.op_cases.case import Case
from tests.support.op_cases.formats import other_formats

__all__ = ["CASES", "Case"]

TOPICS = (
    layers, pools, others, structural, elementwise, moves, pairs, curves, recurrent, attention,
    spaced, positions, unsigned,
)  # fmt: skip
ROWS = [row for topic in TOPICS for row in topic.ROWS]
CASES = [*ROWS, *other_formats(ROWS)]
