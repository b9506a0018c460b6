# SPDX-License-Identifier: Apache-2.0
"""The importer on operators that take parts, positions or blends: what is read, what refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.graph.tensor import Array, QuantParams
from mcutrain.trainer.making.options import (
    ConcatenationOptions,
    FullyConnectedOptions,
    GatherOptions,
    PackOptions,
    ReshapeOptions,
    ResizeBilinearOptions,
    ShapeOptions,
    SliceOptions,
    SplitOptions,
    SplitVOptions,
    StridedSliceOptions,
    TileOptions,
    UnpackOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, constant, write_model
from mcutrain.trainer.ops.reshape import Reshape
from mcutrain.trainer.tflite.reader import parse
from tests.support.file_parts import Parts, parts
from tests.support.small_models import activation, weights
from tests.tools.model_table import reference_outputs

A = (1, 4, 4, 3)  # the activation that operator 1 reads


def second(kind: str, options: Any, *outputs: tuple[int, ...],
           inputs: tuple[Any, ...] = ("a",)) -> Parts:  # fmt: skip
    """Operator 1 is ``kind`` of ``inputs``: names, or integers that become constants."""
    p, names = parts(), []
    for k, value in enumerate(inputs):
        if isinstance(value, str):
            names.append(value)
            continue
        p.tensors[f"n{k}"] = constant(f"n{k}", np.array(value, np.int32))
        names.append(f"n{k}")
    made = tuple(f"y{k}" if k else "y" for k in range(len(outputs)))
    for name, shape in zip(made, outputs, strict=True):
        p.tensors[name] = replace(p.tensors["y"], name=name, shape=shape)
    p.ops[1] = WriterOp(kind, tuple(names), made, options)
    return p


def slice_(begin: Any, size: Any, *shape: int) -> Parts:
    return second("SLICE", SliceOptions(), shape, inputs=("a", begin, size))


def strided(begin: Any, end: Any, step: Any, shape: tuple[int, ...], /, **masks: int) -> Parts:
    options = StridedSliceOptions(**{f"{name}_mask": mask for name, mask in masks.items()})
    return second("STRIDED_SLICE", options, shape, inputs=("a", begin, end, step))


def split(axis: Any, *shapes: tuple[int, ...]) -> Parts:
    return second("SPLIT", SplitOptions(len(shapes)), *shapes, inputs=(axis, "a"))


def split_v(sizes: Any, axis: Any, *shapes: tuple[int, ...]) -> Parts:
    options = SplitVOptions(len(shapes))
    return second("SPLIT_V", options, *shapes, inputs=("a", sizes, axis))


def unpack(num: int, axis: int, *shapes: tuple[int, ...]) -> Parts:
    return second("UNPACK", UnpackOptions(num, axis), *shapes)


def gather(indices: Any, *shape: int, axis: int = 1, batch_dims: int = 0) -> Parts:
    return second("GATHER", GatherOptions(axis, batch_dims), shape, inputs=("a", indices))


def tile(times: Any, *shape: int) -> Parts:
    return second("TILE", TileOptions(), shape, inputs=("a", times))


def bilinear(size: Any, aligned: bool = False, half: bool = False) -> Parts:
    options = ResizeBilinearOptions(aligned, half)
    return second("RESIZE_BILINEAR", options, (1, 8, 8, 3), inputs=("a", size))


def pack(axis: int, *inputs: str, shape: tuple[int, ...] = (1, 2, 4, 4, 3)) -> Parts:
    p = second("PACK", PackOptions(len(inputs), axis), shape, inputs=inputs)
    quant = QuantParams((0.25,), 3)
    p.tensors["other"] = constant("other", np.ones(A, np.int8), quant)
    return p


def same_twice() -> Parts:
    p = split(3, (1, 4, 4, 1), (1, 4, 4, 1), (1, 4, 4, 1))
    p.op(1, outputs=("y", "y", "y1"))
    return p


def no_output() -> Parts:
    p = split(3, A)
    p.op(1, outputs=())
    return p


def computed_indices() -> Parts:
    p = gather([0], 1, 1, 4, 3)
    p.op(1, inputs=("a", "a"))
    return p


# What operator 1 is, and what a message must hold.
Refusal = tuple[type[ModelError], tuple[str, ...], Callable[[], Parts]]
UNSUPPORTED = UnsupportedOpError
WHOLE, NONE = [0, 0, 0, 0], [1, 4, 4, 3]
REFUSED: dict[str, Refusal] = {
    "a part of other axes": (ModelError, ("does not fit", "(1, 4, 4, 3)"),
        lambda: slice_([0, 0], [1, 2], 1, 2)),
    "a part beyond the end": (ModelError, ("3 elements from 2 on of the 4 of axis 1",),
        lambda: slice_([0, 2, 0, 0], [1, 3, 4, 3], 1, 3, 4, 3)),
    "a part from before the start": (ModelError, ("2 elements from -1 on",),
        lambda: slice_([0, -1, 0, 0], [1, 2, 4, 3], 1, 2, 4, 3)),
    "a part of nothing": (ModelError, ("0 elements from 1 on",),
        lambda: slice_([0, 1, 0, 0], [1, 0, 4, 3], 1, 1, 4, 3)),
    "a vast part": (ModelError, ("2147483647 elements",),
        lambda: slice_(WHOLE, [1, 2**31 - 1, 4, 3], 1, 4, 4, 3)),
    "another part than declared": (ModelError, ("declared as", "computes int8 (1, 2, 4, 3)"),
        lambda: slice_(WHOLE, [1, 2, 4, 3], 1, 3, 4, 3)),
    "steps of other axes": (ModelError, ("begins [0, 0, 0, 0]", "steps [1]"),
        lambda: strided(WHOLE, NONE, [1], A)),
    "a step of zero": (ModelError, ("nothing lies from 0 to 4 by steps of 0",),
        lambda: strided(WHOLE, NONE, [1, 0, 1, 1], A)),
    "an empty range": (ModelError, ("nothing lies from 3 to 1 by steps of 1 on an axis of 4",),
        lambda: strided([0, 3, 0, 0], [1, 1, 4, 3], [1] * 4, A)),
    "an element beyond": (ModelError, ("element 4, by steps of 1, of an axis of 4",),
        lambda: strided([0, 4, 0, 0], NONE, [1] * 4, (1, 4, 3), shrink_axis=2)),
    "an element backward": (ModelError, ("element 1, by steps of -1",),
        lambda: strided([0, 1, 0, 0], NONE, [1, -1, 1, 1], (1, 4, 3), shrink_axis=2)),
    "more entries than axes": (ModelError, ("5 axes and 0 ellipses",),
        lambda: strided([0] * 5, [1] * 5, [1] * 5, A)),
    "two ellipses": (ModelError, ("2 axes and 2 ellipses",),
        lambda: strided(WHOLE, NONE, [1] * 4, A, ellipsis=3)),
    "too many outputs": (ModelError, ("outputs 'y' and 1 more)", "2 equal parts of axis 3"),
        lambda: split(3, (1, 4, 4, 1), (1, 4, 4, 1))),
    "an axis beyond": (ModelError, ("axis 4 of (1, 4, 4, 3)",),
        lambda: split(4, A)),
    "two axes": (ModelError, ("input 0 has 2 integers",),
        lambda: split([1, 2], A)),
    "an output of another shape": (ModelError, ("output 1, is declared as", "(1, 4, 4, 2)"),
        lambda: split(1, (1, 2, 4, 3), (1, 4, 4, 2))),
    "one tensor twice": (ModelError, ("writes a tensor that is already there",), same_twice),
    "no output": (ModelError, ("no operator writes the output",), no_output),
    "sizes of another sum": (ModelError, ("parts of [1, 1] along axis 3",),
        lambda: split_v([1, 1], 3, (1, 4, 4, 1), (1, 4, 4, 1))),
    "two sizes of what is left": (ModelError, ("parts of [-1, -1]",),
        lambda: split_v([-1, -1], 1, (1, 2, 4, 3), (1, 2, 4, 3))),
    "a negative size": (ModelError, ("parts of [5, -2]",),
        lambda: split_v([5, -2], 3, A, A)),
    "more parts than outputs": (ModelError, ("makes 2 outputs, but 1 are declared",),
        lambda: split_v([2, 2], 1, (1, 2, 4, 3))),
    "too few parts": (ModelError, ("2 parts of axis 1 of (1, 4, 4, 3)",),
        lambda: unpack(2, 1, (1, 4, 3), (1, 4, 3))),
    "indices beyond": (ModelError, ("indices (0, 4) (least, greatest) of 4 positions",),
        lambda: gather([0, 4], 1, 2, 4, 3)),
    "negative indices": (ModelError, ("indices (-1, 0)",),
        lambda: gather([0, -1], 1, 2, 4, 3)),
    "no indices": (ModelError, ("indices none",),
        lambda: gather(np.zeros(0), 1, 1, 4, 3)),
    "batch dimensions": (UNSUPPORTED, ("has batch dimensions", "same indices"),
        lambda: gather([[0]], 1, 1, 4, 3, batch_dims=1)),
    "indices that are computed": (UNSUPPORTED, ("is computed, by operator 0", "constant"),
        computed_indices),
    "tiles of other axes": (ModelError, ("(1, 4, 4, 3) [2] times",),
        lambda: tile([2], 1, 8, 4, 3)),
    "no tile": (ModelError, ("[1, 0, 1, 1] times",),
        lambda: tile([1, 0, 1, 1], 1, 1, 4, 3)),
    "vast tiles": (UNSUPPORTED, ("positions; up to 65535", "fewer axes"),
        lambda: tile([1, 2**31 - 1, 2**31 - 1, 1], 1, 4, 4, 3)),
    "packs of other shapes": (ModelError, ("are to be packed",),
        lambda: pack(1, "a", "x")),
    "packs of other scales": (UNSUPPORTED, ("input 1 has another scale", "requantise"),
        lambda: pack(1, "a", "other")),
    "a pack along no axis": (ModelError, ("axis 5 of",),
        lambda: pack(5, "a", "a")),
    "a size of one number": (ModelError, ("a size of [8]",),
        lambda: bilinear([8])),
    "a size of zero": (ModelError, ("a size of [8, 0]",),
        lambda: bilinear([8, 0])),
    "a vast size": (ModelError, ("up to 65536",),
        lambda: bilinear([8, 2**31 - 1])),
    "corners and centres": (ModelError, ("one is possible",),
        lambda: bilinear([8, 8], True, True)),
    "a size beyond TFLite's steps": (ModelError, ("reads beyond the input", "1 / 1024"),
        lambda: bilinear([8, 7000])),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    error, words, make = REFUSED[name]
    with pytest.raises(ModelError) as caught:
        parse(make().write(), "spoilt", "spoilt.tflite")

    message = str(caught.value)
    assert type(caught.value) is error, message
    assert all(word in message for word in words), message
    assert message.startswith("spoilt.tflite"), message
    assert "\n" not in message


def outputs_of(p: Parts) -> tuple[Array, list[Array]]:
    """What operator 1 reads and what it makes of it, for a random sample."""
    model = parse(p.write(), "sound")
    sample = np.random.RandomState(0).randint(-128, 128, model.input.type.shape).astype(np.int8)
    values = reference_outputs(model, sample)
    (a,) = [value for node, value in values.items() if node.index == 0]
    return a, [value for node, value in values.items() if node.index == 1]


@pytest.mark.parametrize(
    ("times", "shape"),
    [([1, 2, 1, 1], (1, 8, 4, 3)), ([1, 2, 3, 4], (1, 8, 12, 12)), ([1, 1, 1, 1], A),
     ([2, 1, 1, 3], (2, 4, 4, 9))],
)  # fmt: skip
def test_tiles_are_those_of_numpy(times: list[int], shape: tuple[int, ...]) -> None:
    a, (found,) = outputs_of(tile(times, *shape))

    np.testing.assert_array_equal(found, np.tile(a, times))


@pytest.mark.parametrize(
    ("begin", "end", "step", "masks", "index"),
    [
        ([0, 1], [0, 2], [1, 1], {"ellipsis": 1}, np.s_[..., 1:2]),
        ([0, 0, 1], [1, 0, 3], [1, 1, 1], {"ellipsis": 2}, np.s_[0:1, ..., 1:3]),
        ([0, 0, 2], [1, 0, 4], [1, 1, 1], {"new_axis": 2}, np.s_[0:1, np.newaxis, 2:4]),
        ([0, 0, -1], [0, 0, 0], [1, 1, 1], {"ellipsis": 1, "new_axis": 2, "shrink_axis": 4},
         np.s_[..., np.newaxis, -1]),
        ([0, 3], [1, -5], [1, -1], {}, np.s_[0:1, ::-1]),
        ([0, -100], [100, 100], [1, 2], {}, np.s_[:, ::2]),
        ([9, 9, 2], [9, 9, 0], [1, 3, -1], {"begin": 3, "end": 3}, np.s_[:, ::3, 2:0:-1]),
        ([0], [0], [1], {"ellipsis": 1}, np.s_[...]),
    ],
)  # fmt: skip
def test_the_masks_of_a_strided_slice_mean_what_they_mean_in_numpy(
    begin: list[int], end: list[int], step: list[int], masks: dict[str, int], index: Any
) -> None:
    """tflite-micro knows neither an ellipsis nor a new axis, TFLite both."""
    shape = np.zeros(A)[index].shape
    a, (found,) = outputs_of(strided(begin, end, step, shape, **masks))

    np.testing.assert_array_equal(found, a[index])


def test_each_output_has_the_name_and_the_number_that_the_file_gives_it() -> None:
    p = split(3, (1, 4, 4, 1), (1, 4, 4, 1), (1, 4, 4, 1))
    nodes = parse(p.write(), "split").graph.nodes[1:]

    assert [n.name for n in nodes] == ["split_1", "split_1_1", "split_1_2"]
    assert [n.output.label for n in nodes] == ["y", "y1", "y2"]
    assert [n.output.file_index for n in nodes] == [list(p.tensors).index(n) for n in
                                                    ("y", "y1", "y2")]  # fmt: skip


def reshaped(*ops: WriterOp, made: tuple[WriterTensor, ...], target: str) -> bytes:
    """x (1, 2, 6), reshaped to what ``ops`` compute of its shape, and a layer."""
    rng = np.random.default_rng(0)
    tensors = [
        activation("x", (1, 2, 6), 0.1, 0), WriterTensor("shape", (3,), "int32"), *made,
        activation("r", (1, 12), 0.1, 0), weights("w", (3, 12), 0, rng),
        activation("y", (1, 3), 0.1, 0),
    ]  # fmt: skip
    last = [
        WriterOp("RESHAPE", ("x", target), ("r",), ReshapeOptions()),
        WriterOp("FULLY_CONNECTED", ("r", "w"), ("y",), FullyConnectedOptions()),
    ]
    first = WriterOp("SHAPE", ("x",), ("shape",), ShapeOptions())
    return write_model(tensors, [first, *ops, *last], ["x"], ["y"])


def ints(name: str, *shape: int) -> WriterTensor:
    return WriterTensor(name, shape, "int32")


def fixed(name: str, value: Any) -> WriterTensor:
    return constant(name, np.array(value, np.int32))


BATCH = fixed("flat", [12])
FOLDED = {
    "a slice and a join": reshaped(
        WriterOp("SLICE", ("shape", "zero", "one"), ("batch",), SliceOptions()),
        WriterOp("CONCATENATION", ("batch", "flat"), ("to",), ConcatenationOptions(0)),
        made=(fixed("zero", [0]), fixed("one", [1]), ints("batch", 1), BATCH, ints("to", 2)),
        target="to",
    ),
    "a gather and a pack": reshaped(
        WriterOp("GATHER", ("shape", "first"), ("batch",), GatherOptions()),
        WriterOp("PACK", ("batch", "all"), ("to",), PackOptions(2)),
        made=(fixed("first", 0), ints("batch"), fixed("all", 12), ints("to", 2)),
        target="to",
    ),
    "an unpack and a pack": reshaped(
        WriterOp("UNPACK", ("shape",), ("n", "h", "c"), UnpackOptions(3)),
        WriterOp("PACK", ("n", "all"), ("to",), PackOptions(2)),
        made=(ints("n"), ints("h"), ints("c"), fixed("all", -1), ints("to", 2)),
        target="to",
    ),
}


@pytest.mark.parametrize("name", FOLDED)
def test_moves_of_a_shape_fold(name: str) -> None:
    nodes = parse(FOLDED[name], "folded").graph.nodes

    assert [type(node.op) for node in nodes][:1] == [Reshape]
    assert len(nodes) == 2


def test_what_folds_does_not_grow_without_end() -> None:
    """Each TILE may be of a few integers; one after the other they are billions."""
    made = [fixed("often", [64]), *(ints(f"t{k}", 1) for k in range(4))]
    ops = [
        WriterOp("TILE", ("shape" if k == 0 else f"t{k - 1}", "often"), (f"t{k}",), TileOptions())
        for k in range(4)
    ]
    data = reshaped(*ops, made=tuple(made), target="t3")
    with pytest.raises(UnsupportedOpError, match=r"operator 2 .* integers; up to 4096 are folded"):
        parse(data, "tiles")
