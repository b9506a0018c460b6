# SPDX-License-Identifier: Apache-2.0
"""The error of what takes a part of a tensor: written to where the part lies, 0 elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.ops.clamp_mask import masked
from mcutrain.trainer.ops.error import SUFFIXES, error_types, format_of
from mcutrain.trainer.ops.strided_error import Strides

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node


@dataclass(frozen=True)
class ScatteredError(Op):
    """dout, dout_e s16 (1,), mask of x -> dx of x's shape, dx_e = dout_e.

    dout's element i, in row-major order, goes where ``where`` reads the i-th of x. It reads none
    twice.
    """

    where: Strides
    x: TensorType
    output_suffixes = SUFFIXES

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        dout, _, mask = types
        if self.where.size != dout.size or self.where.greatest >= self.x.size:
            raise ValueError(f"{self.where} does not lead from {dout.shape} into {self.x.shape}")
        return error_types(dout, self.x, mask)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, mask = inputs
        dx = np.zeros(self.x.size, dout.dtype)
        dx[self.where.indices] = dout.ravel()
        return masked(dx.reshape(self.x.shape), mask).astype(dout.dtype), exponent.copy()

    def lower(self, node: Node) -> KernelCall:
        params = {**self.where.params(), "offset": self.where.offset, "size": self.x.size}
        args = (*node.inputs, *node.outputs)
        kernel = f"scattered_error_{format_of(node.inputs[0].type).suffix}"
        return KernelCall("scattered_error", kernel, "scattered_error", params, args)
