# SPDX-License-Identifier: Apache-2.0
"""A network of every operator that takes parts, positions or blends of an activation."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.making.options import (
    Activation,
    ConcatenationOptions,
    Conv2DOptions,
    FullyConnectedOptions,
    GatherOptions,
    PackOptions,
    ReducerOptions,
    ReshapeOptions,
    ResizeBilinearOptions,
    SliceOptions,
    SplitOptions,
    SplitVOptions,
    StridedSliceOptions,
    TileOptions,
    UnpackOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, constant, write_model
from tests.support.small_models import activation, bias, weights

SCALE, ZERO = 0.04, -100  # of all that is moved
INTEGERS: dict[str, list[int] | int] = {
    "begin": [0, 1, 2, 0], "size": [1, 4, -1, 4],
    "from": [0, 5, -6, 3], "to": [0, -7, 6, -5], "step": [1, -2, 2, -1],
    "last": 3, "rows": 1, "sizes": [2, -1], "places": [0, 0, 5, 3], "times": [1, 2, 1, 1],
    "big": [6, 7], "axes": [1, 2],
}  # fmt: skip


def integers(name: str) -> WriterTensor:
    return constant(name, np.array(INTEGERS[name], np.int32))


def moved(name: str, *shape: int) -> WriterTensor:
    return activation(name, shape, SCALE, ZERO)


def moves_model(*, in_micro: bool = False) -> bytes:
    """``in_micro``: of the operators that tflite-micro has, a CONCATENATION in place of TILE."""
    rng = np.random.default_rng(5)
    means = {"mean_s": 4, "mean_t": 4, "mean_m": 6}
    tensors = [
        activation("x", (1, 6, 6, 3), 1 / 64, 3),
        weights("a_w", (4, 3, 3, 3), 0, rng), bias("a_b", 4, rng), moved("a", 1, 6, 6, 4),
        *map(integers, INTEGERS),
        moved("slice", 1, 4, 4, 4), moved("steps", 1, 3, 3, 4),
        moved("near_s", 1, 6, 7, 4), moved("near_t", 1, 6, 7, 4),
        moved("p", 1, 6, 6, 2), moved("q", 1, 6, 6, 2),
        moved("top", 1, 2, 6, 2), moved("rest", 1, 4, 6, 2),
        moved("tiled", 1, 4, 6, 2), moved("taken", 1, 4, 6, 2), moved("joined", 1, 4, 6, 6),
        *(moved(f"u{k}", 1, 6, 6) for k in range(4)), moved("packed", 1, 3, 6, 6),
        *(activation(name, (1, n), 0.03, 4) for name, n in means.items()),
        activation("all", (1, 14), 0.03, 4),
        weights("d_w", (4, 14), 0, rng), bias("d_b", 4, rng), activation("y", (1, 4), 0.1, 0),
    ]  # fmt: skip
    repeat = WriterOp("TILE", ("top", "times"), ("tiled",), TileOptions())
    if in_micro:
        repeat = WriterOp("CONCATENATION", ("top", "top"), ("tiled",), ConcatenationOptions(1))
    half = ResizeBilinearOptions(half_pixel_centers=True)
    ops = [
        WriterOp("CONV_2D", ("x", "a_w", "a_b"), ("a",),
                 Conv2DOptions(fused_activation_function=Activation.RELU)),
        WriterOp("SLICE", ("a", "begin", "size"), ("slice",), SliceOptions()),
        WriterOp("STRIDED_SLICE", ("a", "from", "to", "step"), ("steps",),
                 StridedSliceOptions(begin_mask=1, end_mask=1)),
        WriterOp("RESIZE_BILINEAR", ("slice", "big"), ("near_s",), half),
        WriterOp("RESIZE_BILINEAR", ("steps", "big"), ("near_t",), ResizeBilinearOptions(True)),
        WriterOp("SPLIT", ("last", "a"), ("p", "q"), SplitOptions(2)),
        WriterOp("SPLIT_V", ("p", "sizes", "rows"), ("top", "rest"), SplitVOptions(2)),
        repeat,
        WriterOp("GATHER", ("q", "places"), ("taken",), GatherOptions(1)),
        WriterOp("CONCATENATION", ("rest", "taken", "tiled"), ("joined",),
                 ConcatenationOptions(3)),
        WriterOp("UNPACK", ("joined",), ("u0", "u1", "u2", "u3"), UnpackOptions(4, 1)),
        WriterOp("PACK", ("u0", "u3", "u1"), ("packed",), PackOptions(3, 1)),
        WriterOp("MEAN", ("near_s", "axes"), ("mean_s",), ReducerOptions()),
        WriterOp("MEAN", ("near_t", "axes"), ("mean_t",), ReducerOptions()),
        WriterOp("MEAN", ("packed", "axes"), ("mean_m",), ReducerOptions()),
        WriterOp("CONCATENATION", tuple(means), ("all",), ConcatenationOptions(1)),
        WriterOp("FULLY_CONNECTED", ("all", "d_w", "d_b"), ("y",), FullyConnectedOptions()),
    ]  # fmt: skip
    return write_model(tensors, ops, ["x"], ["y"])


def steps_model() -> bytes:
    """Steps in time that are taken apart and read each on its own, two of them by layers."""
    rng = np.random.default_rng(7)
    order = (8, 0, 3, 5, 1, 2, 7)
    layers = {"l4": "u4", "l6": "u6"}
    tensors = [
        activation("x", (1, 9, 1, 4), 1 / 64, 3),
        weights("a_w", (6, 3, 1, 4), 0, rng), bias("a_b", 6, rng), moved("a", 1, 9, 1, 6),
        constant("to", np.array([1, 9, 6], np.int32)), moved("time", 1, 9, 6),
        *(moved(f"u{k}", 1, 6) for k in range(9)),
        *(t for name in layers
          for t in (weights(f"{name}_w", (6, 6), 0, rng), bias(f"{name}_b", 6, rng),
                    moved(name, 1, 6))),
        moved("all", 1, 54),
        weights("d_w", (4, 54), 0, rng), bias("d_b", 4, rng), activation("y", (1, 4), 0.1, 0),
    ]  # fmt: skip
    joined = (*(f"u{k}" for k in order), *layers)
    ops = [
        WriterOp("CONV_2D", ("x", "a_w", "a_b"), ("a",), Conv2DOptions()),
        WriterOp("RESHAPE", ("a", "to"), ("time",), ReshapeOptions((1, 9, 6))),
        WriterOp("UNPACK", ("time",), tuple(f"u{k}" for k in range(9)), UnpackOptions(9, 1)),
        *(WriterOp("FULLY_CONNECTED", (u, f"{name}_w", f"{name}_b"), (name,),
                   FullyConnectedOptions()) for name, u in layers.items()),
        WriterOp("CONCATENATION", joined, ("all",), ConcatenationOptions(1)),
        WriterOp("FULLY_CONNECTED", ("all", "d_w", "d_b"), ("y",), FullyConnectedOptions()),
    ]  # fmt: skip
    return write_model(tensors, ops, ["x"], ["y"])
