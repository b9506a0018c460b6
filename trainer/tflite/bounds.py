# SPDX-License-Identifier: Apache-2.0
"""How much a model may ask for: beyond any microcontroller's, within a desk's memory and time.

A file of a kilobyte can declare tensors of gigabytes and windows of millions of taps.
"""

from __future__ import annotations

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.graph import Graph

MAX_OPERATORS = 512
MAX_OPERANDS = 256  # of one operator
MAX_RANK = 8
MAX_ELEMENTS = 1 << 22  # of a tensor
MAX_ACTIVATIONS = 1 << 25  # elements of all activations
MAX_READS = 1 << 24  # values that the windows of one operator read
MAX_TAPS = 1 << 16  # positions of all windows
MAX_MACS = 1 << 30


def require_bounded(graph: Graph, where: str) -> None:
    """Raises ModelError for a model beyond what is here for a microcontroller."""
    elements = sum(node.output.type.size for node in graph.nodes)
    taps = reads = macs = 0
    for node in graph.nodes:
        own_taps, read = node.op.reads(node)
        taps += own_taps
        macs += node.op.macs(node) or read
        reads = max(reads, read)
    for count, most, what in (
        (elements, MAX_ACTIVATIONS, "elements in its activations"),
        (taps, MAX_TAPS, "taps in its kernels and windows"),
        (reads, MAX_READS, "values read by the windows of one operator"),
        (macs, MAX_MACS, "multiply-accumulates"),
    ):
        if count > most:
            raise ModelError(
                f"{where} has {count} {what}; up to {most} are supported", "take a smaller model"
            )
