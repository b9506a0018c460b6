# SPDX-License-Identifier: Apache-2.0
"""The error of what takes a part of a tensor: written to where the part lies, 0 elsewhere.

Of a tensor with many such readers the sum reads the errors of the parts themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.fixedpoint import near
from mcutrain.trainer.graph.call import KernelCall, Scratch, Table
from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.ops.clamp_mask import masked
from mcutrain.trainer.ops.error import SUFFIXES, RawError, error_types, format_of, sum_dither
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


@dataclass(frozen=True)
class SumParts(RawError):
    """(dout, dout_e) of each reader, mask of x, history s16 (2,)[, sgd] -> dx, dx_e s16.

    The error of a tensor whose readers take parts of it: the bits of SumErrors of their
    ScatteredErrors, none of which is made. ``part`` is as that of SumErrors.
    """

    wheres: tuple[Strides, ...]
    x: TensorType
    part: int = 0

    @property
    def mutates(self) -> tuple[int, ...]:  # type: ignore[override]
        return (2 * len(self.wheres) + 1,)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        for where, dout in zip(self.wheres, types[::2], strict=False):
            if where.size != dout.size or where.greatest >= self.x.size:
                raise ValueError(f"{where} does not lead from {dout.shape} into {self.x.shape}")
        return error_types(types[0], self.x, types[2 * len(self.wheres)])

    def dither_node(self, node: Node) -> int:
        return sum_dither(node, self.part)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        at = 2 * len(self.wheres)
        errors, exponents = inputs[:at:2], [int(e[0]) for e in inputs[1:at:2]]
        total, greatest = np.zeros(self.x.size, np.int32), max(exponents)
        for where, error, exponent in zip(self.wheres, errors, exponents, strict=True):
            raw = near(error.ravel().astype(np.int32) << 8, min(31, greatest - exponent))
            total[where.indices] += raw
        mask, *state = inputs[at:]
        return self.requantized(node, total.reshape(self.x.shape), greatest - 8, mask, *state)

    def scratch_bytes(self, node: Node) -> int:
        return 4 * self.x.size

    def lower(self, node: Node) -> KernelCall:
        at = 2 * len(self.wheres)
        rows = [(*where.sizes, *where.strides, where.offset) for where in self.wheres]
        where = Table("where", np.array(rows, np.int32).ravel())
        pairs, mask = node.inputs[:at], node.inputs[at]
        params = {"size": self.x.size, "readers": len(self.wheres)}
        args = (
            pairs[::2], pairs[1::2], where, mask, *self.state_args(node), Scratch(),
            *node.outputs[:2],
        )  # fmt: skip
        kernel = f"sum_parts_{format_of(node.inputs[0].type).suffix}"
        return KernelCall("scattered_error", kernel, "sum_parts", params, args)


def saved_by_parts(x: TensorType, douts: list[TensorType]) -> int:
    """Bytes that SumParts takes less than the sum of as many errors of x's size."""
    size = format_of(douts[0]).types(x.shape)[0].nbytes
    return size * len(douts) - (sum(dout.nbytes for dout in douts) + 4 * x.size + size)
