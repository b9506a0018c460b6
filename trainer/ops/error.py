# SPDX-License-Identifier: Apache-2.0
"""Error tensors: E12 or E8 integers with one exponent, their history, their sums (SPEC 1.3).

The shift that brings a raw int32 error to 12 or 8 bits comes from the tensor's history
(delayed scaling, Micikevicius et al. 2022), so that one pass over it suffices. E8 rounds
stochastically (Gupta et al. 2015). The format of an operator's error is that of its input's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from mcutrain.trainer.fixedpoint import (
    INT32_MAX,
    Int64,
    Integers,
    dither,
    magnitude,
    near,
    seed_op,
    stochastic_round,
)
from mcutrain.trainer.graph.call import Arg, ByChannels, KernelCall, Table, Writer
from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.graph.tensor import Array, DType, Role, Tensor, TensorType
from mcutrain.trainer.ops.clamp_mask import mask_type, masked
from mcutrain.trainer.ops.overlap import in_step
from mcutrain.trainer.ops.state_check import DECAY_AFTER, FIRST_HISTORY
from mcutrain.trainer.ops.window import Geometry

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node

E12_BITS, E8_BITS = 11, 7
COUNT_BITS = 15  # of 1 / count in the gradients of averages
EXPONENT = TensorType((1,), DType.S16)
SUFFIXES = ("", "_e")
ERROR = 2  # the low two bits of a dither's node number: of a first input's error, + 1 of a second's
SUM = 2**31 + ERROR  # and of the sum at an operator's output
PART = 2**20  # from output to output


@dataclass(frozen=True)
class ErrorFormat:
    """A format of errors, with how much of it fits 32 bits (SPEC 1.3, 1.4).

    ``max_products`` bounds the products of an error and 255, ``max_fan_out`` those of an error
    and 128, ``max_errors`` the errors in one sum; ``max_band`` the positions of a band.
    """

    name: str
    dtype: DType
    bits: int
    max_products: int
    max_band: int
    max_fan_out: int
    max_errors: int

    @property
    def greatest(self) -> int:
        return int(2**self.bits - 1)

    @property
    def suffix(self) -> str:
        """Of the kernels for this format."""
        return self.dtype.value

    def band_rows(self, g: Geometry) -> int:
        """Output rows whose weight gradient is applied at once; 0 if one is too long."""
        if g.out_h * g.out_w <= self.max_products:
            return g.out_h
        return self.max_band // g.out_w

    def types(self, shape: tuple[int, ...]) -> tuple[TensorType, TensorType]:
        """Types of an error's integers and of its exponent."""
        return TensorType(shape, self.dtype), EXPONENT


E12 = ErrorFormat("e12", DType.S16, E12_BITS, 4113, 4096, 8196, 2**20)
E8 = ErrorFormat("e8", DType.S8, E8_BITS, 66000, 2**16, 132104, 2**24)


def format_of(error: TensorType) -> ErrorFormat:
    """The format of an error tensor. Raises ValueError for another type."""
    for found in (E12, E8):
        if error.dtype is found.dtype:
            return found
    raise ValueError(f"an error of type {error.dtype.value}")


def error_types(dout: TensorType, x: TensorType, mask: TensorType) -> tuple[TensorType, TensorType]:
    """Types of the error of ``x`` that is made of ``dout``. Raises ValueError for the mask of
    another size."""
    if mask != mask_type(x):
        raise ValueError(f"a mask {mask.shape} of {mask.dtype.value} for {x.shape}")
    return format_of(dout).types(x.shape)


def new_history(name: str) -> Tensor:
    """STATE (2,) s16: h, the exponent the error needs, and n, samples since it did."""
    return Tensor(
        name, TensorType((2,), DType.S16), Role.STATE, np.array([FIRST_HISTORY, 0], np.int16)
    )


@dataclass(frozen=True)
class RawError(Op, ABC):
    """What operators have in common that compute an error anew, by REQ (SPEC 1.3).

    Inputs: dout, dout_e, .., x's mask, history s16 (2,) in place[, sgd u32 for E8] -> dx, dx_e.
    ``operand``: whether x is the first or the second input of the forward operator.
    """

    operand: int = field(default=0, kw_only=True)
    output_suffixes = SUFFIXES

    @abstractmethod
    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]: ...

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        """REQ reads the exponent before it writes the new one."""
        return {(1, 1): 0}

    def dither_node(self, node: Node) -> int:
        """The stable identity of E8's dither (SPEC 1.1)."""
        return 4 * node.index + ERROR + self.operand

    def requantized(
        self, node: Node, raw: Integers, e_raw: int, mask: Array, *state: Array
    ) -> tuple[Array, Array, Array]:
        """REQ: (error, exponent (1,) s16, new history) of the errors ``raw``, which fit int32.

        Zero where the mask says so; shifted by the history before this sample.
        ``state`` is the history and, for E8, the SGD state.
        """
        assert magnitude(raw) <= INT32_MAX
        format_ = format_of(node.output.type)
        raw = masked(raw.astype(np.int32), mask)
        h, n = (int(v) for v in state[0])
        shift = min(31, max(0, h - e_raw))
        rounded = near(raw, shift) if format_ is E12 else self.dithered(node, raw, shift, *state)
        most = format_.greatest
        error = np.minimum(np.maximum(rounded, -most), most).astype(format_.dtype.np)
        greatest = int(magnitude(raw))
        if greatest:
            h, n = next_history(h, n, e_raw + max(0, greatest.bit_length() - format_.bits))
        return error, np.array([e_raw + shift], np.int16), np.array([h, n], np.int16)

    def dithered(self, node: Node, raw: Array, shift: int, _: Array, sgd: Array) -> Int64:
        """SR(raw, shift, r_j), j the row-major index."""
        seed = seed_op(int(sgd[0]), int(sgd[1]), self.dither_node(node))
        r = dither(seed, np.arange(raw.size, dtype=np.uint32).reshape(raw.shape))
        return stochastic_round(raw.astype(np.int64), np.array(shift), r)

    def state_args(self, node: Node) -> tuple[Arg, ...]:
        """What REQ's kernels take after the mask: the history, for E8 its dither's parts too."""
        if format_of(node.output.type) is E12:
            return (node.inputs[-1],)
        return (*node.inputs[-2:], Table("node", np.array([self.dither_node(node)], np.uint32)))

    def in_groups(
        self, node: Node, part: KernelCall, scale_exponent: int, scratch: tuple[int, int] = (0, 0)
    ) -> ByChannels:
        """``part`` between the begin and the end of REQ(raw, e + scale_exponent); ``scratch`` are
        its bytes, and those for each channel."""
        (dx, dx_e), exponent = node.outputs[:2], node.inputs[1]
        suffix, state = format_of(dx.type).suffix, self.state_args(node)
        writer, params = Writer(suffix), {"scale_exponent": scale_exponent}
        opened = (exponent, *state, writer, dx_e)
        begin = KernelCall("error", f"error_open_{suffix}", "error_open", params, opened)
        end = KernelCall("error", f"error_end_{suffix}", "", {}, (writer, state[0], dx_e))
        return ByChannels(part, *scratch, begin, end, dx)


def sum_dither(node: Node, part: int) -> int:
    """The identity of the dither of the sum at the output ``part`` of an operator."""
    return 4 * node.index + SUM + part * PART


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


@dataclass(frozen=True)
class MaskError(Op):
    """dout, dout_e s16 (1,), mask of x, which has dout's size -> dx of x's shape, dx_e.

    The gradient of operators that only pass errors on (ADD, RESHAPE): no shift, no history.
    """

    x: TensorType
    output_suffixes = SUFFIXES
    kernel: ClassVar[str] = "mask_error"

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        dout, _, mask = types
        return error_types(dout, self.x, mask)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, mask = inputs
        return masked(dout.reshape(self.x.shape), mask).astype(dout.dtype), exponent.copy()

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        return {(0, 0): 0, (0, 2): in_step(node.output.type, node.inputs[2].type), (1, 1): 0}

    def lower(self, node: Node) -> KernelCall:
        params = {"size": self.x.size}
        kernel = f"{self.kernel}_{format_of(node.inputs[0].type).suffix}"
        return KernelCall("error", kernel, "mask_error", params, node.inputs + node.outputs)


@dataclass(frozen=True)
class NegatedError(MaskError):
    """As MaskError, with the other sign: of what is subtracted (SUB)."""

    kernel = "negate_error"

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dx, exponent = super().reference(node, *inputs)
        return -dx, exponent


@dataclass(frozen=True)
class SumErrors(RawError):
    """(dout, dout_e) of each reader, mask of x, history s16 (2,)[, sgd] -> dx, dx_e s16.

    The error of a tensor with several readers: one n-ary sum at the greatest exponent. The tensor
    is the output ``part`` of an operator of the file.
    """

    readers: int
    part: int = 0

    @property
    def mutates(self) -> tuple[int, ...]:  # type: ignore[override]
        return (2 * self.readers + 1,)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        return error_types(types[0], types[0], types[2 * self.readers])

    def dither_node(self, node: Node) -> int:
        return sum_dither(node, self.part)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        pairs, (mask, *state) = inputs[: 2 * self.readers], inputs[2 * self.readers :]
        errors, exponents = pairs[::2], [int(e[0]) for e in pairs[1::2]]
        greatest = max(exponents)
        total = np.zeros(errors[0].shape, np.int32)
        for error, exponent in zip(errors, exponents, strict=True):
            total += near(error.astype(np.int32) << 8, min(31, greatest - exponent))
        return self.requantized(node, total, greatest - 8, mask, *state)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        at = 2 * self.readers
        errors = {(k % 2, k): 0 for k in range(at)}
        return errors | {(0, at): in_step(node.output.type, node.inputs[at].type)}

    def lower(self, node: Node) -> KernelCall:
        pairs, mask = node.inputs[: 2 * self.readers], node.inputs[2 * self.readers]
        params = {"size": node.output.type.size, "readers": self.readers}
        args = (pairs[::2], pairs[1::2], mask, *self.state_args(node), *node.outputs[:2])
        kernel = f"sum_errors_{format_of(node.inputs[0].type).suffix}"
        return KernelCall("error", kernel, "sum_errors", params, args)


@dataclass(frozen=True)
class RequantizeError(RawError):
    """raw s32, dout_e s16, mask of x, history s16[, sgd] -> dx, dx_e: REQ(raw, e + scale_exponent).

    What is left of an operator whose sums are made before.
    """

    x: TensorType
    scale_exponent: int
    format_name: str
    mutates = (3,)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        format_ = next(f for f in (E12, E8) if f.name == self.format_name)
        return error_types(TensorType(self.x.shape, format_.dtype), self.x, types[2])

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        raw, exponent, mask, *state = inputs
        e_raw = int(exponent[0]) + self.scale_exponent
        return self.requantized(node, raw, e_raw, mask, *state)

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        mask = in_step(node.output.type, node.inputs[2].type)
        return super().overlays(node) | {(0, 0): 0, (0, 2): mask}

    def lower(self, node: Node) -> KernelCall:
        raw, exponent, mask = node.inputs[:3]
        params = {"size": raw.type.size, "scale_exponent": self.scale_exponent}
        args = (raw, exponent, mask, *self.state_args(node), *node.outputs[:2])
        kernel = f"requantize_error_{format_of(node.output.type).suffix}"
        return KernelCall("error", kernel, "requantize_error", params, args)


def clear_sums(raw: Tensor) -> KernelCall:
    """The call that makes the int32 sums 0."""
    return KernelCall("error", "clear_sums", "clear_sums", {"size": raw.type.size}, (raw,))
