# SPDX-License-Identifier: Apache-2.0
"""Average over windows as models of uint8 have it: halves are rounded up, for values below zero
too, since they count from -128 there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.ops.average_pool2d import AveragePool2D

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node


@dataclass(frozen=True)
class AveragePool2DHalfUp(AveragePool2D):
    """x (1, H, W, C) s8 -> out (1, H', W', C) s8, same quantisation; the gradient of the parent."""

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        (x,) = inputs
        g = self.geometry(node.inputs[0].type)
        padded = g.padded(x.reshape(g.in_h, g.in_w, g.in_ch), dtype=np.int64)
        counts = self.counts(g)[..., None]
        out = (g.windows(padded).sum(axis=(2, 3)) + counts // 2) // counts
        out = np.clip(out, self.act_min, self.act_max).astype(np.int8)
        return (out.reshape(self.out_shape),)

    def lower(self, node: Node) -> KernelCall:
        name = "average_pool2d_half_up"
        return replace(super().lower(node), unit=name, kernel=f"{name}_s8")

    def by_rows(self, node: Node) -> KernelCall | None:
        return None
