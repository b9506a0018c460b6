# SPDX-License-Identifier: Apache-2.0
"""Random models around the operators that move, join, average or choose values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import (
    ConcatenationOptions,
    ExpandDimsOptions,
    PadOptions,
    Pool2DOptions,
    ReducerOptions,
    ReshapeOptions,
    ResizeNearestNeighborOptions,
    SqueezeOptions,
    TransposeOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, constant
from tests.support.model_maker import ACTIVATIONS, ModelMaker


def features(make: ModelMaker, *shape: int) -> WriterTensor:
    """What a layer with weights wrote: an image, or the same values in another shape."""
    x = make.activation("x", make.image(), make.c.quant())
    if not shape:
        return make.pointwise(x, "a", make.c.number(1, 5))
    values = make.dense_of(x, "d", int(np.prod(shape)))
    assert values.quant is not None
    make.ops.append(WriterOp("RESHAPE", ("d", integers(make, "s", *shape)), ("a",),
                             ReshapeOptions(shape)))  # fmt: skip
    return make.activation("a", shape, values.quant)


def random_shape(make: ModelMaker, low: int, high: int) -> tuple[int, ...]:
    sizes = [make.c.number(1, 6) for _ in range(make.c.number(low, high) - 1)]
    return (1, *(make.c.pick(1, size, size) for size in sizes))


def integers(make: ModelMaker, name: str, *values: Any) -> str:
    make.tensors.append(constant(name, np.array(values, np.int32)))
    return name


def append(make: ModelMaker, kind: str, inputs: tuple[str, ...], options: object,
           shape: tuple[int, ...], quant: QuantParams | None) -> None:  # fmt: skip
    assert quant is not None
    make.ops.append(WriterOp(kind, inputs, ("y",), options))
    make.activation("y", shape, quant)


def pad(make: ModelMaker, kind: str = "PAD") -> None:
    a = features(make, *random_shape(make, 2, 4))
    widths = [(make.c.pick(0, make.c.number(0, 3)), make.c.number(0, 3)) for _ in a.shape]
    widths[0] = make.c.pick((0, 0), widths[0])
    inputs = ("a", integers(make, "widths", *widths))
    if kind == "PADV2":
        shape = make.c.pick((), (1,))
        value = np.full(shape, make.c.number(-128, 127), np.int8)
        make.tensors.append(constant("value", value, a.quant))
        inputs = (*inputs, "value")
    sizes = zip(a.shape, widths, strict=True)
    append(make, kind, inputs, PadOptions() if kind == "PAD" else None,
           tuple(n + sum(w) for n, w in sizes), a.quant)  # fmt: skip


def pad_v2(make: ModelMaker) -> None:
    pad(make, "PADV2")


def mean(make: ModelMaker) -> None:
    a = features(make, *random_shape(make, 2, 4)) if make.c.pick(True, False) else features(make)
    rank = len(a.shape)
    first = make.c.number(1, rank - 1)
    axes = list(range(first, make.c.number(first, rank - 1) + 1))
    keep = make.c.pick(True, False)
    shape = tuple(1 if k in axes else n for k, n in enumerate(a.shape) if keep or k not in axes)
    make.c.rng.shuffle(axes)
    signed = [make.c.pick(axis, axis - rank) for axis in axes]
    assert a.quant is not None
    far = QuantParams((make.c.scale(1e-7, 1e4),), make.c.zero_point())
    quant = make.c.pick(a.quant, make.c.quant(), far)
    append(make, "MEAN", ("a", integers(make, "axes", *signed)), ReducerOptions(keep), shape, quant)


def max_pool2d(make: ModelMaker) -> None:
    a = features(make)
    window = make.window(a.shape)
    options = Pool2DOptions(
        window["padding"], *window["stride"], *window["kernel"], make.c.pick(*ACTIVATIONS)
    )
    shape = (1, *make.spatial(a.shape, window), a.shape[3])
    append(make, "MAX_POOL_2D", ("a",), options, shape, a.quant)


def concatenation(make: ModelMaker) -> None:
    shape = random_shape(make, 2, 4)
    a = features(make, *shape)
    axis, names, total = make.c.number(0, len(shape) - 1), [], 0
    for k in range(make.c.number(1, 4)):
        part = list(shape)
        if make.c.pick(True, False):
            part[axis] = make.c.number(1, 4)
            data = make.c.rng.randint(-128, 128, part).astype(np.int8)
            make.tensors.append(constant(f"c{k}", data, a.quant))
            names.append(f"c{k}")
        else:
            names.append("a")
        total += part[axis]
    names.append("a")
    total += shape[axis]
    options = ConcatenationOptions(make.c.pick(axis, axis - len(shape)))
    joined = (*shape[:axis], total, *shape[axis + 1 :])
    append(make, "CONCATENATION", tuple(names), options, joined, a.quant)


def transpose(make: ModelMaker) -> None:
    shape = random_shape(make, 2, 4)
    a = features(make, *shape)
    order = [int(axis) for axis in make.c.rng.permutation(len(shape))]
    append(make, "TRANSPOSE", ("a", integers(make, "order", *order)), TransposeOptions(),
           tuple(shape[axis] for axis in order), a.quant)  # fmt: skip


def squeeze(make: ModelMaker) -> None:
    a = features(make, 1, make.c.number(1, 5), 1, make.c.number(1, 5))
    axes = make.c.pick((2,), (0,), (0, 2), (-2,))
    shape = tuple(n for k, n in enumerate(a.shape) if k not in axes and k - 4 not in axes)
    append(make, "SQUEEZE", ("a",), SqueezeOptions(axes), shape, a.quant)


def expand_dims(make: ModelMaker) -> None:
    shape = random_shape(make, 2, 3)
    a = features(make, *shape)
    axis = make.c.number(0, len(shape))
    name = integers(make, "axis", make.c.pick(axis, axis - len(shape) - 1))
    append(make, "EXPAND_DIMS", ("a", name), ExpandDimsOptions(),
           (*shape[:axis], 1, *shape[axis:]), a.quant)  # fmt: skip


def resize_nearest_neighbor(make: ModelMaker) -> None:
    a = features(make)
    size = make.c.number(1, 20), make.c.number(1, 20)
    flags = make.c.pick((False, False), (True, False), (False, True), (True, True))
    append(make, "RESIZE_NEAREST_NEIGHBOR", ("a", integers(make, "size", *size)),
           ResizeNearestNeighborOptions(*flags), (1, *size, a.shape[3]), a.quant)  # fmt: skip


# As MAKERS of random_models, which holds these too.
STRUCTURAL: dict[str, tuple[Callable[[ModelMaker], None], int]] = {
    "PAD": (pad, 60),
    "PADV2": (pad_v2, 40),
    "MEAN": (mean, 120),
    "MAX_POOL_2D": (max_pool2d, 80),
    "CONCATENATION": (concatenation, 60),
    "TRANSPOSE": (transpose, 60),
    "SQUEEZE": (squeeze, 10),
    "EXPAND_DIMS": (expand_dims, 20),
    "RESIZE_NEAREST_NEIGHBOR": (resize_nearest_neighbor, 80),
}
