# SPDX-License-Identifier: Apache-2.0
"""Calls of one row, of the calls of whole tensors (``Op.by_rows``)."""

from __future__ import annotations

from dataclasses import replace

from mcutrain.trainer.graph.call import KernelCall, Row, Rows, Table, Window
from mcutrain.trainer.graph.tensor import Role, Tensor
from mcutrain.trainer.ops.broadcast import Broadcast


def row_of_equals(whole: KernelCall) -> KernelCall | None:
    """The row of a call whose parameter ``size`` counts the elements of tensors of one shape, each
    computed from those at its place; None if they are not (1, H, W, C), or one is constant."""
    tensors = [arg for arg in whole.args if isinstance(arg, Tensor)]
    shape = tensors[-1].type.shape
    if len(shape) != 4 or any(t.role is Role.CONST for t in tensors):
        return None
    args = tuple(Row(arg, shape[1]) if isinstance(arg, Tensor) else arg for arg in whole.args)
    size = tensors[-1].type.size // shape[1]
    return replace(whole, params={**whole.params, "size": size}, args=args)


def row_of_pairs(whole: KernelCall) -> KernelCall | None:
    """The row of a call that takes two operands, their axes (kernels/broadcast.h) and the output;
    None if one operand is repeated or constant, or they are not (1, H, W, C)."""
    a, b, _, out = whole.args
    assert isinstance(a, Tensor) and isinstance(b, Tensor) and isinstance(out, Tensor)
    shape = a.type.shape
    if len(shape) != 4 or shape != b.type.shape or Role.CONST in (a.role, b.role):
        return None
    row = (1, 1, *shape[2:])
    axes = Table("axes", Broadcast(row, row).table())
    return replace(whole, args=(Row(a, shape[1]), Row(b, shape[1]), axes, Row(out, shape[1])))


def row_of_windows(whole: KernelCall, window: Window) -> KernelCall:
    """The row of a call that takes x (1, H, W, C) and out alone; its kernel ends in ``_row``."""
    x, out = whole.args
    assert isinstance(x, Tensor) and isinstance(out, Tensor)
    args = (Rows(x, x.type.shape[1], window), Row(out, out.type.shape[1]))
    return replace(whole, kernel=f"{whole.kernel}_row", args=args)
