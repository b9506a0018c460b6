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
    recurrent,
    spaced,
    structural,
)
from tests.support.op_cases.case import Case
from tests.support.op_cases.formats import other_formats

__all__ = ["CASES", "Case"]

ROWS = [*layers.ROWS, *pools.ROWS, *others.ROWS, *structural.ROWS, *elementwise.ROWS]
ROWS += [*moves.ROWS, *pairs.ROWS, *curves.ROWS, *recurrent.ROWS, *attention.ROWS, *spaced.ROWS]
CASES = [*ROWS, *other_formats(ROWS)]
