# SPDX-License-Identifier: Apache-2.0
"""Positions of an axis in any order, some of them several times or never, and its gradient.

Forward: out[o][j] = x[o][index[j]], one quantisation (TFLite GATHER with constant indices; TILE
gathers positions again and again).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.fixedpoint import INT32_MAX, Int64
from mcutrain.trainer.graph.call import Arg, KernelCall, Table
from mcutrain.trainer.graph.op import ErrorTensor, Op
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType
from mcutrain.trainer.ops.clamp_mask import masked
from mcutrain.trainer.ops.error import SUFFIXES, RawError, error_types, format_of
from mcutrain.trainer.ops.move import Move
from mcutrain.trainer.ops.slice import axis_of

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource, Tape

MAX_POSITIONS = 2**16 - 1  # of an axis, before and after: an index and their number are uint16


@dataclass(frozen=True)
class Gather(Move):
    """x s8 -> out s8 of ``shape``: ``index`` lists positions along the axis ``axis`` of x, or along
    ``axes`` neighbouring axes from there on that count as one."""

    tflite_name = "GATHER"
    index: tuple[int, ...]
    axis: int
    axes: int = 1

    @classmethod
    def parts(cls, source: OperatorSource, shape: tuple[int, ...]) -> Iterator[Move]:
        if source.option("BatchDims"):
            raise UnsupportedOpError(
                f"{source} has batch dimensions: each element of the batch has indices of its own",
                "gather with the same indices for all of the batch",
            )
        axis = axis_of(source, int(source.option("Axis")), shape)
        indices = source.integers(1)
        out = (*shape[:axis], *indices.shape, *shape[axis + 1 :])
        yield cls(out, tuple(int(k) for k in indices.ravel()), axis)

    def sizes(self, x: tuple[int, ...]) -> tuple[int, int, int]:
        """(how often the positions are gathered, positions in x, elements of each)."""
        last = self.axis + self.axes
        return math.prod(x[: self.axis]), math.prod(x[self.axis : last]), math.prod(x[last:])

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        outer, count, inner = self.sizes(x.shape)
        if not self.index or not 0 <= min(self.index) <= max(self.index) < count:
            at = (min(self.index), max(self.index)) if self.index else "none"
            raise ValueError(f"indices {at} (least, greatest) of {count} positions of {x.shape}")
        if max(count, len(self.index)) > MAX_POSITIONS:
            raise ValueError(
                f"{len(self.index)} of {count} positions; up to {MAX_POSITIONS} are supported"
            )
        if math.prod(self.shape) != outer * len(self.index) * inner:
            raise ValueError(f"{len(self.index)} positions of {x.shape} are not {self.shape}")
        return (x.with_shape(*self.shape),)

    def moved(self, values: Array) -> Array:
        rows = values.reshape(self.sizes(values.shape))
        return np.asarray(rows[:, list(self.index)].reshape(self.shape))

    def narrowed(self, node: Node, channels: int) -> Op | None:
        keeps_last = self.axis + self.axes < len(node.inputs[0].type.shape)
        return replace(self, shape=(*self.shape[:-1], channels)) if keeps_last else None

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        (x,) = node.inputs
        if not tape.needs(x):
            return
        if self.readers == 1:
            op = GatherPassError(self, x.type)
            yield x, tape.passed_error(op, node, x, *error, tape.mask(x))
        else:
            yield x, tape.raw_error(GatherGrad(self, x.type), node, x, *error, tape.mask(x))

    @property
    def readers(self) -> int:
        """How often the position is taken that is taken most often."""
        return int(np.bincount(self.index).max())

    def scattered(self, x: TensorType, dout: Array) -> Int64:
        """x's shape, int64: the sum of dout over the outputs that are a position."""
        outer, count, inner = self.sizes(x.shape)
        found = np.zeros((count, outer, inner), np.int64)
        rows = dout.reshape(outer, len(self.index), inner).astype(np.int64)
        np.add.at(found, list(self.index), rows.swapaxes(0, 1))
        return found.swapaxes(0, 1).reshape(x.shape)

    def params(self, x: TensorType) -> dict[str, int]:
        outer, positions, inner = self.sizes(x.shape)
        sizes = {"outer": outer, "positions": positions, "inner": inner}
        return sizes | {"gathered": len(self.index)}

    def lower(self, node: Node) -> KernelCall:
        (x,) = node.inputs
        index = Table("index", np.array(self.index, np.uint16))
        return KernelCall(
            "gather", "gather_s8", "gather", self.params(x.type), (x, index, node.output)
        )


@dataclass(frozen=True)
class Tile(Gather):
    """x s8 -> out s8: x again and again along each axis (TFLite TILE)."""

    tflite_name = "TILE"

    @classmethod
    def parts(cls, source: OperatorSource, shape: tuple[int, ...]) -> Iterator[Move]:
        """The input 1 says how often along each axis."""
        times = [int(v) for v in source.integers(1).ravel()]
        if len(times) != len(shape) or min(times, default=0) < 1:
            raise ModelError(f"{source}: {shape} {times} times along its axes")
        repeated = [axis for axis, count in enumerate(times) if count > 1]
        first, last = (min(repeated), max(repeated) + 1) if repeated else (0, 1)
        inside, often = shape[first:last], times[first:last]
        positions = math.prod(inside) * math.prod(often)
        if positions > MAX_POSITIONS:
            raise UnsupportedOpError(
                f"{source}: {positions} positions; up to {MAX_POSITIONS} are supported",
                "repeat along fewer axes at a time",
            )
        index = np.tile(np.arange(math.prod(inside)).reshape(inside), often)
        out = tuple(n * count for n, count in zip(shape, times, strict=True))
        yield cls(out, tuple(int(k) for k in index.ravel()), first, last - first)


@dataclass(frozen=True)
class GatherPassError(Op):
    """dout, dout_e s16, mask of x -> dx, dx_e = dout_e, where no position is taken twice."""

    gather: Gather
    x: TensorType
    output_suffixes = SUFFIXES

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        if self.gather.readers != 1:
            raise ValueError("positions that are taken twice do not only pass errors on")
        return error_types(types[0], self.x, types[2])

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, mask = inputs
        raw = self.gather.scattered(self.x, dout)
        return masked(raw, mask).astype(dout.dtype), exponent.copy()

    def lower(self, node: Node) -> KernelCall:
        return grad_call("gather_pass_error", self.gather, self.x, node)


@dataclass(frozen=True)
class GatherGrad(RawError):
    """dout, dout_e s16, mask of x, history s16[, sgd] -> dx, dx_e s16; history in place.

    raw = sum of dout over the outputs that are a position; dx = REQ(raw, e) with x's mask.
    """

    gather: Gather
    x: TensorType
    mutates = (3,)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        readers = self.gather.readers
        if readers * format_of(types[0]).greatest > INT32_MAX:
            raise ValueError(f"{readers} outputs are one position: their sum overflows 32 bits")
        return error_types(types[0], self.x, types[2])

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        dout, exponent, mask, *state = inputs
        raw = self.gather.scattered(self.x, dout)
        return self.requantized(node, raw, int(exponent[0]), mask, *state)

    def lower(self, node: Node) -> KernelCall:
        return grad_call("gather_grad", self.gather, self.x, node, *self.state_args(node))


def grad_call(kernel: str, gather: Gather, x: TensorType, node: Node, *state: Arg) -> KernelCall:
    """``reader`` lists the outputs that are each position, those of position k from ``first[k]``
    on."""
    index = np.array(gather.index)
    starts = np.searchsorted(np.sort(index), np.arange(gather.sizes(x.shape)[1] + 1))
    first = Table("first", starts.astype(np.uint16))
    reader = Table("reader", np.argsort(index, kind="stable").astype(np.uint16))
    args = (*node.inputs[:3], first, reader, *state, *node.outputs[:2])
    kernel = f"{kernel}_{format_of(node.inputs[0].type).suffix}"
    return KernelCall("gather", kernel, "gather", gather.params(x), args)
