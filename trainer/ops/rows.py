# SPDX-License-Identifier: Apache-2.0
"""Calls of one row, of the calls of whole tensors (``Op.by_rows``)."""

from __future__ import annotations

from dataclasses import replace

from mcutrain.trainer.graph.call import KernelCall, Row, Rows, Window
from mcutrain.trainer.graph.tensor import Role, Tensor


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


def row_of_windows(whole: KernelCall, window: Window) -> KernelCall:
    """The row of a call that takes x (1, H, W, C) and out alone; its kernel ends in ``_row``."""
    x, out = whole.args
    assert isinstance(x, Tensor) and isinstance(out, Tensor)
    args = (Rows(x, x.type.shape[1], window), Row(out, out.type.shape[1]))
    return replace(whole, kernel=f"{whole.kernel}_row", args=args)
