# SPDX-License-Identifier: Apache-2.0
"""One row of the table: one node."""

from __future__ import annotations

from dataclasses import dataclass

from mcutrain.trainer.graph.op import Op
from tests.support.feeds import Feed


@dataclass(frozen=True)
class Case:
    """One node: an operator, how each of its inputs is drawn, and how often."""

    name: str
    op: Op
    feeds: tuple[Feed, ...]
    rounds: int = 16


def place(size: int, kernel: int, stride: int, same: bool) -> tuple[int, int]:
    """(outputs, padding before) along one axis, by TFLite's rule."""
    out = -(-size // stride) if same else (size - kernel) // stride + 1
    return out, max(0, (out - 1) * stride + kernel - size) // 2
