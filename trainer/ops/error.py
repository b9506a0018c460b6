# SPDX-License-Identifier: Apache-2.0
"""Error tensors: E12 integers with one exponent, their history, masking and sums (SPEC 1.3).

The shift that brings a raw int32 error to 12 bits comes from the tensor's history
(delayed scaling, Micikevicius et al. 2022), so that one pass over it suffices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trainer.fixedpoint import INT32_MAX, Int64, near
from trainer.ops.base import Arg, KernelCall, Op
from trainer.tensor import Array, DType, Role, Tensor, TensorType

if TYPE_CHECKING:
    from trainer.graph import Node

ERROR_BITS = 11
ERROR_MAX = 2**ERROR_BITS - 1
DECAY_AFTER = 16  # samples that need less before h falls by one
COUNT_BITS = 15  # of 1 / count in the gradients of averages
EXPONENT = TensorType((1,), DType.S16)
SUFFIXES = ("", "_e")


def error_types(shape: tuple[int, ...]) -> tuple[TensorType, TensorType]:
    """Types of an error's integers and of its exponent."""
    return TensorType(shape, DType.S16), EXPONENT


def new_history(name: str) -> Tensor:
    """STATE (2,) s16: h, the exponent the error needs, and n, samples since it did."""
    return Tensor(name, TensorType((2,), DType.S16), Role.STATE, np.array([-32768, 0], np.int16))


def requantize_error(
    raw: Int64, e_raw: int, forward: Array, limits: tuple[int, int], history: Array
) -> tuple[Array, Array, Array]:
    """REQ: (error s16, exponent (1,) s16, new history) of the int32 errors ``raw``.

    Zero where ``forward`` sits at its limits; shifted by the history before this sample.
    """
    assert np.abs(raw).max(initial=0) <= INT32_MAX
    masked = mask(raw, forward, limits)
    h, n = (int(v) for v in history)
    shift = min(31, max(0, h - e_raw))
    error = np.clip(near(masked, shift), -ERROR_MAX, ERROR_MAX).astype(np.int16)
    greatest = int(np.abs(masked).max(initial=0))
    if greatest:
        h, n = next_history(h, n, e_raw + max(0, greatest.bit_length() - ERROR_BITS))
    return error, np.array([e_raw + shift], np.int16), np.array([h, n], np.int16)


def next_history(h: int, n: int, need: int) -> tuple[int, int]:
    """(h, n) after a sample that needed the exponent ``need``.

    >>> next_history(-32768, 0, -20), next_history(-20, 3, -20), next_history(-20, 15, -22)
    ((-20, 0), (-20, 0), (-21, 0))
    """
    if need >= h:
        return need, 0
    return (h - 1, 0) if n + 1 == DECAY_AFTER else (h, n + 1)


def count_share(counts: npt.NDArray[Any]) -> Int64:
    """round(2**15 / count): what each averaged value gets of an error, with e - 15.

    >>> count_share(np.array([3, 2**16, 2**16 + 1]))
    array([10923,     1,     0])
    """
    return np.asarray((2 * 2**COUNT_BITS + counts) // (2 * counts))


def mask(error: npt.NDArray[Any], forward: Array, limits: tuple[int, int]) -> npt.NDArray[Any]:
    """Zero where the forward value is at or beyond its limits."""
    lo, hi = limits
    inside = (forward > lo) & (forward < hi)
    return np.asarray(error * inside.reshape(error.shape))


@dataclass(frozen=True)
class MaskError(Op):
    """dout s16, dout_e s16 (1,), x s8 of dout's size -> dx s16 of x's shape, dx_e.

    The gradient of operators that only pass errors on (ADD, RESHAPE): no shift, no history.
    """

    x_limits: tuple[int, int]
    output_suffixes = SUFFIXES

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        return error_types(types[2].shape)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, x = inputs
        return mask(dout.reshape(x.shape), x, self.x_limits).astype(np.int16), exponent.copy()

    def lower(self, node: Node) -> KernelCall:
        params = mask_params(node.inputs[2], self.x_limits)
        return KernelCall(
            "error", "mask_error_s16", "mask_error", params, node.inputs + node.outputs
        )


def mask_params(x: Tensor, limits: tuple[int, int]) -> dict[str, int]:
    return {"size": x.type.size, "x_min": limits[0], "x_max": limits[1]}


@dataclass(frozen=True)
class SumErrors(Op):
    """(dout, dout_e) of each reader, x s8, history s16 (2,) -> dx s16, dx_e s16; history in place.

    The error of a tensor with several readers: one n-ary sum at the greatest exponent.
    """

    readers: int
    x_limits: tuple[int, int]
    output_suffixes = SUFFIXES

    @property
    def mutates(self) -> tuple[int, ...]:  # type: ignore[override]
        return (2 * self.readers + 1,)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        return error_types(types[-2].shape)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        errors, exponents = inputs[:-2:2], [int(e[0]) for e in inputs[1:-2:2]]
        greatest = max(exponents)
        total = np.zeros(errors[0].shape, np.int64)
        for error, exponent in zip(errors, exponents, strict=True):
            total += near(error.astype(np.int64) << 8, min(31, greatest - exponent))
        return requantize_error(total, greatest - 8, inputs[-2], self.x_limits, inputs[-1])

    def lower(self, node: Node) -> KernelCall:
        pairs, (x, history) = node.inputs[:-2], node.inputs[-2:]
        params = {**mask_params(x, self.x_limits), "readers": self.readers}
        args: tuple[Arg, ...] = (pairs[::2], pairs[1::2], x, history, *node.outputs[:2])
        return KernelCall("error", "sum_errors_s16", "sum_errors", params, args)
