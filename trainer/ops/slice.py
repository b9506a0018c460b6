# SPDX-License-Identifier: Apache-2.0
"""A part of a tensor, at even steps along each axis, and its gradient.

Forward: out[i] = x[first + i step], one quantisation (TFLite SLICE, STRIDED_SLICE; SPLIT, SPLIT_V
and UNPACK are one such part for each of their outputs).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.call import KernelCall
from mcutrain.trainer.graph.cutting import KeptAxis, varying_axes
from mcutrain.trainer.graph.op import ErrorTensor, Op
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType
from mcutrain.trainer.ops.move import Move
from mcutrain.trainer.ops.overlap import distance
from mcutrain.trainer.ops.scattered_error import ScatteredError
from mcutrain.trainer.ops.strided_copy import strided_copy
from mcutrain.trainer.ops.strided_error import Strides, row_major

if TYPE_CHECKING:
    from mcutrain.trainer.graph.op import Node, OperatorSource, Tape, Ties


@dataclass(frozen=True)
class Slice(Move):
    """x s8 of ``x_shape`` -> out s8 of ``shape``: of each axis of x ``count`` elements from
    ``first`` on, each ``step`` behind the one before."""

    tflite_name = "SLICE"
    x_shape: tuple[int, ...]
    first: tuple[int, ...]
    count: tuple[int, ...]
    step: tuple[int, ...]

    @classmethod
    def parts(cls, source: OperatorSource, shape: tuple[int, ...]) -> Iterator[Move]:
        """Of SLICE: the inputs 1 and 2 have the begin and the size along each axis, or -1 for all
        that is left."""
        begin, size = ([int(v) for v in source.integers(k).ravel()] for k in (1, 2))
        if not len(begin) == len(size) == len(shape):
            raise ModelError(f"{source}: a part from {begin} of {size} does not fit {shape}")
        taken = []
        for axis, (first, count, whole) in enumerate(zip(begin, size, shape, strict=True)):
            last = whole if count == -1 else first + count
            if not 0 <= first < last <= whole:
                raise ModelError(
                    f"{source}: {count} elements from {first} on of the {whole} of axis {axis}"
                )
            taken.append(range(first, last))
        yield cls.of(shape, taken)

    @classmethod
    def of(
        cls, x: tuple[int, ...], taken: list[range], shape: tuple[int, ...] | None = None
    ) -> Slice:
        """With the indices of each axis, none of them empty; ``shape`` if it is another than
        theirs."""
        count = tuple(len(indices) for indices in taken)
        first, step = (tuple(getattr(r, name) for r in taken) for name in ("start", "step"))
        return cls(count if shape is None else shape, x, first, count, step)

    @property
    def where(self) -> Strides:
        """Where the output's elements lie in the input."""
        strides = row_major(self.x_shape)
        steps = tuple(a * b for a, b in zip(self.step, strides, strict=True))
        offset = sum(a * b for a, b in zip(self.first, strides, strict=True))
        return Strides.of(self.count, steps, offset)

    @property
    def alias(self) -> bool:  # type: ignore[override]
        """All of the input: the bytes stay where they are."""
        whole = self.count == self.x_shape and not any(self.first)
        return whole and all(s == 1 or n == 1 for s, n in zip(self.step, self.count, strict=True))

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        if x.shape != self.x_shape:
            raise ValueError(f"a part of {self.x_shape} from {x.shape}")
        _ = self.where  # a ValueError for too many axes
        return (x.with_shape(*self.shape),)

    def moved(self, values: Array) -> Array:
        axes = zip(self.first, self.count, self.step, strict=True)
        taken = np.ix_(*(np.arange(n) * step + first for first, n, step in axes))
        return np.ascontiguousarray(values[taken]).reshape(self.shape)

    def narrowed(self, node: Node, channels: int) -> Op | None:
        keeps_last = (self.first[-1], self.step[-1]) == (0, 1)
        if not keeps_last or not self.x_shape[-1] == self.count[-1] == self.shape[-1]:
            return None
        last = (channels,)
        return replace(
            self,
            x_shape=self.x_shape[:-1] + last,
            count=self.count[:-1] + last,
            shape=self.shape[:-1] + last,
        )

    def tie(self, node: Node, ids: tuple[Array, ...], ties: Ties) -> Array | str:
        for axis in varying_axes(ids[0]):
            if self.count[axis] < self.x_shape[axis] or self.step[axis] != 1:
                why = self.tie_part(ids[0], axis, ties)
                if why:
                    return why
        return self.moved(ids[0])

    def tie_part(self, ids: Array, axis: int, ties: Ties) -> str:
        """Tie what must be for the part to be one of a smaller axis; why that cannot be, or ""."""
        return "" if self.step[axis] == 1 else f"{self.tflite_name} takes some by steps"

    def cut(self, node: Node, kept: Mapping[Tensor, KeptAxis]) -> Op:
        left, out = kept[node.inputs[0]], kept.get(node.output)
        first, count = list(self.first), list(self.count)
        ends = [first[left.axis], first[left.axis] + count[left.axis]]
        begin, end = np.searchsorted(left.index, ends)
        first[left.axis], count[left.axis] = int(begin), int(end - begin)
        return replace(
            self,
            shape=out.shape(self.shape) if out else self.shape,
            x_shape=left.shape(self.x_shape),
            first=tuple(first),
            count=tuple(count),
        )

    def told(self) -> Mapping[int, Array]:
        return {1: np.array(self.first), 2: np.array(self.count)}

    def overlays(self, node: Node) -> dict[tuple[int, int], int]:
        where = self.where
        if self.alias:
            return {}
        return {(0, 0): distance(np.arange(where.size), where.indices)}

    def vjp(
        self, node: Node, error: ErrorTensor, tape: Tape
    ) -> Iterator[tuple[Tensor, ErrorTensor]]:
        (x,) = node.inputs
        if self.alias:
            yield from tape.pass_on(node, error)
        elif tape.needs(x):
            op = ScatteredError(self.where, x.type)
            yield x, tape.passed_error(op, node, x, *error, tape.mask(x))

    def lower(self, node: Node) -> KernelCall | None:
        return None if self.alias else strided_copy(self.where, node.inputs[0], node.output)


MASKS = ("Begin", "End", "Ellipsis", "NewAxis", "ShrinkAxis")


@dataclass(frozen=True)
class StridedSlice(Slice):
    """x s8 -> out s8 (TFLite STRIDED_SLICE)."""

    tflite_name = "STRIDED_SLICE"

    def tie_part(self, ids: Array, axis: int, ties: Ties) -> str:
        return f"{self.tflite_name} takes some of them"

    def told(self) -> Mapping[int, Array]:
        return {}

    @classmethod
    def parts(cls, source: OperatorSource, shape: tuple[int, ...]) -> Iterator[Move]:
        """The inputs 1 to 3 have begin, end and step of each entry; a bit of a mask belongs to the
        entry of its number. Axes without an entry are taken whole."""
        begin, end, step = ([int(v) for v in source.integers(k).ravel()] for k in (1, 2, 3))
        if not len(begin) == len(end) == len(step):
            raise ModelError(f"{source}: begins {begin}, ends {end} and steps {step}")
        masks = {name: int(source.option(f"{name}Mask")) for name in MASKS}
        entries = [
            {name: bool(mask >> k & 1) for name, mask in masks.items()} for k in range(len(begin))
        ]
        named = sum(not (e["Ellipsis"] or e["NewAxis"]) for e in entries)
        ellipses = sum(e["Ellipsis"] for e in entries)
        if named > len(shape) or ellipses > 1:
            raise ModelError(
                f"{source}: {named} axes and {ellipses} ellipses of an input of {shape}"
            )
        taken: list[range] = []
        sizes: list[int] = []
        for k, entry in enumerate(entries):
            whole = shape[len(taken) : len(taken) + len(shape) - named] if entry["Ellipsis"] else ()
            taken += map(range, whole)
            sizes += whole
            if entry["Ellipsis"]:
                continue
            if entry["NewAxis"]:
                sizes.append(1)
                continue
            first = None if entry["Begin"] else begin[k]
            last = None if entry["End"] else end[k]
            indices = indices_of(source, shape[len(taken)], first, last, step[k], entry)
            taken.append(indices)
            sizes += [] if entry["ShrinkAxis"] else [len(indices)]
        rest = shape[len(taken) :]
        yield cls.of(shape, [*taken, *map(range, rest)], (*sizes, *rest))


def indices_of(
    source: OperatorSource,
    size: int,
    first: int | None,
    last: int | None,
    step: int,
    entry: dict[str, bool],
) -> range:
    """What an entry of a STRIDED_SLICE takes of an axis. Raises ModelError if it is nothing."""
    if entry["ShrinkAxis"]:
        at = first or 0
        if not -size <= at < size or step < 1:
            raise ModelError(f"{source}: element {at}, by steps of {step}, of an axis of {size}")
        return range(at % size, at % size + 1)
    indices = range(*slice(first, last, step).indices(size)) if step else range(0)
    if not indices:
        raise ModelError(
            f"{source}: nothing lies from {first} to {last} by steps of {step} on an axis of {size}"
        )
    return indices


def axis_of(source: OperatorSource, axis: int, shape: tuple[int, ...]) -> int:
    """The axis, counted from the first. Raises ModelError."""
    if not -len(shape) <= axis < len(shape):
        raise ModelError(f"{source}: axis {axis} of {shape}")
    return axis % len(shape)


def one_integer(source: OperatorSource, position: int) -> int:
    """A constant integer. Raises ModelError."""
    values = source.integers(position).ravel()
    if len(values) != 1:
        raise ModelError(f"{source}: input {position} has {len(values)} integers, one is needed")
    return int(values[0])


@dataclass(frozen=True)
class Split(Slice):
    """x s8 -> out s8: one of equal parts along an axis (TFLite SPLIT)."""

    tflite_name = "SPLIT"
    data = 1

    def tie_part(self, ids: Array, axis: int, ties: Ties) -> str:
        """Parts stay equal: as many leave each."""
        count = self.count[axis]
        rows = np.moveaxis(ids, axis, 0).reshape(-1, count, ids.size // self.x_shape[axis])
        ties.unite(rows[:1], rows)
        return ""

    def told(self) -> Mapping[int, Array]:
        return {}

    @classmethod
    def parts(cls, source: OperatorSource, shape: tuple[int, ...]) -> Iterator[Move]:
        axis = axis_of(source, one_integer(source, 0), shape)
        count = len(source.outs)
        if shape[axis] % count:
            raise ModelError(f"{source}: {count} equal parts of axis {axis} of {shape}")
        yield from cls.along(shape, axis, [shape[axis] // count] * count)

    @classmethod
    def along(cls, x: tuple[int, ...], axis: int, sizes: list[int]) -> Iterator[Slice]:
        """Parts of these sizes, one behind the other."""
        taken, at = [*map(range, x)], 0
        for size in sizes:
            taken[axis] = range(at, at + size)
            at += size
            yield cls.of(x, taken)


@dataclass(frozen=True)
class SplitV(Split):
    """x s8 -> out s8: one of the parts along an axis (TFLite SPLIT_V)."""

    tflite_name = "SPLIT_V"
    data = 0

    def tie_part(self, ids: Array, axis: int, ties: Ties) -> str:
        return f"{self.tflite_name} makes parts of sizes of their own"

    @classmethod
    def parts(cls, source: OperatorSource, shape: tuple[int, ...]) -> Iterator[Move]:
        """The input 1 has the sizes, of which one may be -1 for what is left."""
        axis = axis_of(source, one_integer(source, 2), shape)
        told = [int(v) for v in source.integers(1).ravel()]
        left = shape[axis] - sum(v for v in told if v != -1)
        sizes = [left if v == -1 else v for v in told]
        if told.count(-1) > 1 or sum(sizes) != shape[axis] or min(sizes, default=0) < 1:
            raise ModelError(f"{source}: parts of {told} along axis {axis} of {shape}")
        yield from cls.along(shape, axis, sizes)


@dataclass(frozen=True)
class Unpack(Slice):
    """x s8 -> out s8: all at one index of an axis, without the axis (TFLite UNPACK)."""

    tflite_name = "UNPACK"

    def tie_part(self, ids: Array, axis: int, ties: Ties) -> str:
        return f"{self.tflite_name} makes a tensor of each"

    def told(self) -> Mapping[int, Array]:
        return {}

    @classmethod
    def parts(cls, source: OperatorSource, shape: tuple[int, ...]) -> Iterator[Move]:
        axis = axis_of(source, int(source.option("Axis")), shape)
        told = int(source.option("Num"))
        if told != shape[axis]:
            raise ModelError(f"{source}: {told} parts of axis {axis} of {shape}")
        taken = [*map(range, shape)]
        for k in range(shape[axis]):
            taken[axis] = range(k, k + 1)
            yield cls.of(shape, taken, shape[:axis] + shape[axis + 1 :])
