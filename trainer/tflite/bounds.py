# SPDX-License-Identifier: Apache-2.0
"""How much a model may ask for: beyond any microcontroller's, within a desk's memory and time.

A file of a kilobyte can declare tensors of gigabytes and windows of millions of taps.
"""

from __future__ import annotations

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.ops.conv2d import Conv2D
from mcutrain.trainer.ops.window import Pool2D

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
        x, op = node.inputs[0].type, node.op
        if isinstance(op, Conv2D):
            w = node.inputs[1].type
            g = op.geometry(x, w)
            # The filters of a depthwise layer read different values, all others the same.
            read = g.out_h * g.out_w * w.size // w.shape[0]
        elif isinstance(op, Pool2D):
            g = op.geometry(x)
            read = g.out_h * g.out_w * g.kernel_h * g.kernel_w * g.in_ch
        else:
            continue
        taps += g.kernel_h * g.kernel_w
        macs += op.macs(node) if isinstance(op, Conv2D) else read
        reads = max(reads, read)
    for count, most, what in (
        (elements, MAX_ACTIVATIONS, "elements in its activations"),
        (taps, MAX_TAPS, "taps in its kernels and windows"),
        (reads, MAX_READS, "values read by the windows of one operator"),
        (macs, MAX_MACS, "multiply-accumulates"),
    ):
        if count > most:
            raise ModelError(
                f"{where} has {count} {what}; up to {most} are supported: take a smaller model"
            )
