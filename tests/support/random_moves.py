# SPDX-License-Identifier: Apache-2.0
"""Random models around the operators that take parts, positions or blends of an activation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import (
    GatherOptions,
    PackOptions,
    ResizeBilinearOptions,
    SliceOptions,
    SplitOptions,
    SplitVOptions,
    StridedSliceOptions,
    TileOptions,
    UnpackOptions,
)
from mcutrain.trainer.making.writer import WriterOp, constant
from tests.support.model_maker import ModelMaker
from tests.support.random_structural import append, features, integers, random_shape


def slice_(make: ModelMaker) -> None:
    shape = random_shape(make, 2, 4)
    a = features(make, *shape)
    begin = [make.c.number(0, n - 1) for n in shape]
    size = [make.c.number(1, n - first) for first, n in zip(begin, shape, strict=True)]
    told = [
        make.c.pick(count, -1) if first + count == n else count
        for first, count, n in zip(begin, size, shape, strict=True)
    ]
    dtype = make.c.pick(np.int32, np.int64)
    for name, values in (("begin", begin), ("size", told)):
        make.tensors.append(constant(name, np.array(values, dtype)))
    append(make, "SLICE", ("a", "begin", "size"), SliceOptions(), tuple(size), a.quant)


def strided_slice(make: ModelMaker) -> None:
    shape = random_shape(make, 2, 4)
    a = features(make, *shape)
    masks = {"begin": 0, "end": 0, "shrink_axis": 0}
    out, told = [], []
    for axis, n in enumerate(shape):
        step = make.c.pick(1, make.c.number(1, 3), -make.c.number(1, 3))
        first, last = sorted((make.c.number(0, n - 1), make.c.number(0, n - 1)))
        whole = range(n)[:: 1 if step > 0 else -1]
        if axis + 1 < len(shape) and make.c.pick(True, False, False, False):
            masks["shrink_axis"] |= 1 << axis
            told.append((make.c.pick(first, first - n), make.c.number(-9, 9), abs(step)))
            continue
        begin, end = (first, last + 1) if step > 0 else (last, first - 1)
        if make.c.pick(True, False):
            masks["begin"] |= 1 << axis
            begin = whole[0]
        if end < 0 or make.c.pick(True, False):
            masks["end"] |= 1 << axis
            end = n if step > 0 else -1
        out.append(len(range(begin, end, step)))
        far = end if end in (-1, n) else make.c.pick(end, end - n)
        told.append((make.c.pick(begin, begin - n), far, step))
    names = [
        integers(make, name, *values)
        for name, values in zip(("begin", "end", "step"), zip(*told, strict=True), strict=True)
    ]
    options = StridedSliceOptions(masks["begin"], masks["end"], 0, 0, masks["shrink_axis"])
    append(make, "STRIDED_SLICE", ("a", *names), options, tuple(out), a.quant)


def many(make: ModelMaker, kind: str, inputs: tuple[str, ...], options: Any,
         shapes: list[tuple[int, ...]], quant: QuantParams | None) -> None:  # fmt: skip
    """An operator of several outputs, y0 and on."""
    assert quant is not None
    outputs = tuple(f"y{k}" for k in range(len(shapes)))
    make.ops.append(WriterOp(kind, inputs, outputs, options))
    for name, shape in zip(outputs, shapes, strict=True):
        make.activation(name, shape, quant)


def split_axis(make: ModelMaker, size: int) -> tuple[tuple[int, ...], int]:
    """A shape with an axis of this size, behind the first."""
    shape = list(random_shape(make, 2, 4))
    axis = make.c.number(1, len(shape) - 1)
    shape[axis] = size
    return tuple(shape), axis


def with_axis(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])


def split(make: ModelMaker) -> None:
    count, size = make.c.number(1, 4), make.c.number(1, 4)
    shape, axis = split_axis(make, count * size)
    a = features(make, *shape)
    name = integers(make, "axis", *([make.c.pick(axis, axis - len(shape))]))
    part = with_axis(shape, axis, size)
    many(make, "SPLIT", (name, "a"), SplitOptions(count), [part] * count, a.quant)


def split_v(make: ModelMaker) -> None:
    sizes = [make.c.number(1, 4) for _ in range(make.c.number(1, 4))]
    shape, axis = split_axis(make, sum(sizes))
    a = features(make, *shape)
    told = list(sizes)
    if make.c.pick(True, False):
        told[make.c.number(0, len(sizes) - 1)] = -1
    names = (integers(make, "sizes", *told),
             integers(make, "axis", make.c.pick(axis, axis - len(shape))))  # fmt: skip
    shapes = [with_axis(shape, axis, size) for size in sizes]
    many(make, "SPLIT_V", ("a", *names), SplitVOptions(len(sizes)), shapes, a.quant)


def unpack(make: ModelMaker) -> None:
    shape, axis = split_axis(make, make.c.number(1, 6))
    a = features(make, *shape)
    options = UnpackOptions(shape[axis], make.c.pick(axis, axis - len(shape)))
    part = shape[:axis] + shape[axis + 1 :]
    many(make, "UNPACK", ("a",), options, [part] * shape[axis], a.quant)


def pack(make: ModelMaker) -> None:
    shape = random_shape(make, 2, 3)
    a = features(make, *shape)
    names, axis = ["a"], make.c.number(0, len(shape))
    for k in range(make.c.number(0, 3)):
        if make.c.pick(True, False):
            data = make.c.rng.randint(-128, 128, shape).astype(np.int8)
            make.tensors.append(constant(f"c{k}", data, a.quant))
            names.insert(make.c.number(0, len(names)), f"c{k}")
        else:
            names.append("a")
    options = PackOptions(len(names), make.c.pick(axis, axis - len(shape) - 1))
    joined = (*shape[:axis], len(names), *shape[axis:])
    append(make, "PACK", tuple(names), options, joined, a.quant)


def gather(make: ModelMaker) -> None:
    shape = random_shape(make, 2, 4)
    a = features(make, *shape)
    axis = make.c.number(0, len(shape) - 1)
    of = tuple(make.c.number(1, 5) for _ in range(make.c.number(0, 2)))
    indices = make.c.rng.randint(0, shape[axis], of).astype(np.int32)
    make.tensors.append(constant("indices", np.asarray(indices)))
    options = GatherOptions(make.c.pick(axis, axis - len(shape)))
    out = (*shape[:axis], *of, *shape[axis + 1 :])
    append(make, "GATHER", ("a", "indices"), options, out, a.quant)


def tile(make: ModelMaker) -> None:
    shape = random_shape(make, 2, 4)
    a = features(make, *shape)
    times = [make.c.pick(1, make.c.number(1, 3)) for _ in shape]
    out = tuple(n * count for n, count in zip(shape, times, strict=True))
    append(make, "TILE", ("a", integers(make, "times", *times)), TileOptions(), out, a.quant)


def resize_bilinear(make: ModelMaker) -> None:
    a = features(make)
    size = make.c.number(1, 20), make.c.number(1, 20)
    flags = make.c.pick((False, False), (True, False), (False, True))
    append(make, "RESIZE_BILINEAR", ("a", integers(make, "size", *size)),
           ResizeBilinearOptions(*flags), (1, *size, a.shape[3]), a.quant)  # fmt: skip


# As MAKERS of random_models, which holds these too.
MOVES: dict[str, tuple[Callable[[ModelMaker], None], int]] = {
    "SLICE": (slice_, 30),
    "STRIDED_SLICE": (strided_slice, 60),
    "SPLIT": (split, 20),
    "SPLIT_V": (split_v, 20),
    "UNPACK": (unpack, 15),
    "PACK": (pack, 20),
    "GATHER": (gather, 30),
    "TILE": (tile, 20),
    "RESIZE_BILINEAR": (resize_bilinear, 60),
}
# tflite-micro has no kernel of these: what they mean is in float_ops alone.
NOT_IN_MICRO = {"TILE"}
# Sizes and axes are all that there is to draw: the sweep over them is enough.
PLAIN = {"SLICE", "SPLIT", "SPLIT_V", "UNPACK", "PACK", "GATHER"}
