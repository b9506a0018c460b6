# SPDX-License-Identifier: Apache-2.0
"""What the references make of the rows of op_cases."""

from __future__ import annotations

import zlib

import mcutrain.trainer.ops  # noqa: F401  (imports every operator module)
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array
from tests.support.bench import draw_inputs, node_of
from tests.support.op_cases import CASES, Case


def case_seed(case: Case, round_: int) -> int:
    return zlib.crc32(f"{case.name} {round_}".encode())


def reference(case: Case, node: Node, round_: int) -> tuple[list[Array], tuple[Array, ...]]:
    """The inputs of a row in a round, and the outputs that are right for them."""
    inputs = draw_inputs(case, case_seed(case, round_), round_)
    return inputs, node.op.reference(node, *(v.copy() for v in inputs))


def op_hashes() -> str:
    """A line per row: the CRC-32 of what the reference makes of three rounds."""
    lines = []
    for case in CASES:
        node, crc = node_of(Graph(), case), 0
        for round_ in (0, 2, case.rounds - 1):
            for value in reference(case, node, round_)[1]:
                crc = zlib.crc32(value.astype(value.dtype.newbyteorder("<")).tobytes(), crc)
        lines.append(f"{crc:08x}  {case.name}")
    return "\n".join(lines) + "\n"
