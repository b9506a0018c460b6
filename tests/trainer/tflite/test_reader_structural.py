# SPDX-License-Identifier: Apache-2.0
"""The importer on operators that move, join, average or repeat: what it reads, what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import (
    Activation,
    ConcatenationOptions,
    Padding,
    PadOptions,
    Pool2DOptions,
    ReducerOptions,
    ReshapeOptions,
    ResizeNearestNeighborOptions,
    SqueezeOptions,
    TransposeOptions,
)
from mcutrain.trainer.making.writer import WriterOp, constant
from mcutrain.trainer.ops.mean import Mean
from mcutrain.trainer.ops.pad import Pad, PadV2
from mcutrain.trainer.tflite.reader import parse
from tests.support.file_parts import Parts, parts

QUANT = QuantParams((0.125,), 3)  # of x, a and y


def second(p: Parts, kind: str, options: Any, shape: tuple[int, ...], *values: Any) -> None:
    """Operator 1 becomes ``kind`` of the activation a (1, 4, 4, 3) and of integers."""
    names = []
    for k, value in enumerate(values):
        name = f"n{k}"
        p.tensors[name] = constant(name, np.array(value, np.int32))
        names.append(name)
    p.ops[1] = WriterOp(kind, ("a", *names), ("y",), options)
    p.change("y", shape=shape)


def pad(p: Parts, widths: Any, shape: tuple[int, ...] = (1, 5, 4, 3)) -> None:
    second(p, "PAD", PadOptions(), shape, widths)


def pad_v2(p: Parts, value: Any, quant: QuantParams) -> None:
    second(p, "PADV2", None, (1, 5, 4, 3), [[0, 0], [1, 0], [0, 0], [0, 0]])
    p.tensors["value"] = constant("value", np.array(value, np.int8), quant)
    p.op(1, inputs=("a", "n0", "value"))


def mean(p: Parts, axes: Any, shape: tuple[int, ...] = (1, 3)) -> None:
    second(p, "MEAN", ReducerOptions(), shape, axes)


def concatenation(p: Parts, axis: int, other: tuple[int, ...] = (1, 4, 4, 2),
                  quant: QuantParams = QUANT, activation: Activation = Activation.NONE,
                  ) -> None:  # fmt: skip
    second(p, "CONCATENATION", ConcatenationOptions(axis, activation), (1, 4, 4, 5))
    p.tensors["other"] = constant("other", np.ones(other, np.int8), quant)
    p.op(1, inputs=("a", "other"))


def transpose(p: Parts, order: Any) -> None:
    second(p, "TRANSPOSE", TransposeOptions(), (1, 3, 4, 4), order)


def resize(p: Parts, size: Any) -> None:
    second(p, "RESIZE_NEAREST_NEIGHBOR", ResizeNearestNeighborOptions(), (1, 8, 8, 3), size)


# What is done to the model, and what a message must hold.
Refusal = tuple[type[ModelError], tuple[str, ...], Callable[[Parts], None]]
UNSUPPORTED = UnsupportedOpError
REFUSED: dict[str, Refusal] = {
    "widths of other axes": (ModelError, ("do not pad", "[[1, 0]]"),
        lambda p: pad(p, [[1, 0]])),
    "negative widths": (ModelError, ("do not pad", "(1, 4, 4, 3)"),
        lambda p: pad(p, [[0, 0], [-1, 0], [0, 0], [0, 0]])),
    "vast widths": (ModelError, ("declared as", "but computes", "2147483651"),
        lambda p: pad(p, [[0, 0], [2**31 - 1, 0], [0, 0], [0, 0]])),
    "other widths than declared": (ModelError, ("declared as", "(1, 5, 4, 3)", "(1, 4, 5, 3)"),
        lambda p: pad(p, [[0, 0], [0, 0], [1, 0], [0, 0]])),
    "a pad of no widths": (ModelError, ("input 1 is missing",),
        lambda p: p.op(1, kind="PAD", inputs=("a",), options=PadOptions())),
    "a pad of five axes": (ModelError, ("operator 2", "up to 4 axes"),
        lambda p: five_axes(p)),
    "a value of another scale": (UNSUPPORTED, ("operator 1", "one scale and zero point"),
        lambda p: pad_v2(p, 7, QuantParams((0.25,), 3))),
    "a value of many elements": (UNSUPPORTED, ("'value'", "INT8 (2,)", "one int8 constant"),
        lambda p: pad_v2(p, [7, 8], QUANT)),
    "a mean over the batch": (UNSUPPORTED, ("[0]", "without the first"),
        lambda p: mean(p, [0], (4, 4, 3))),
    "a mean over axes apart": (UNSUPPORTED, ("[1, -1]", "neighbouring axes"),
        lambda p: mean(p, [1, -1], (1, 4))),
    "a mean over no axes": (UNSUPPORTED, ("neighbouring axes",),
        lambda p: mean(p, np.zeros(0), (1, 4, 4, 3))),
    "a mean over an axis beyond": (ModelError, ("axes [4]", "(1, 4, 4, 3)"),
        lambda p: mean(p, 4)),
    "a mean of another shape": (ModelError, ("declared as", "(1, 3)", "(1, 4, 3)"),
        lambda p: mean(p, [1])),
    "a vast max pool": (UNSUPPORTED, ("up to 65536x65536",),
        lambda p: second(p, "MAX_POOL_2D", Pool2DOptions(Padding.SAME, 1, 1, 2**17, 1),
                         (1, 4, 4, 3))),
    "a max pool that changes the scale": (ModelError, ("declared as", "scale 0.25"),
        lambda p: rescaled(p)),
    "scales that differ": (UNSUPPORTED, ("operator 1", "input 1", "another scale", "requantise"),
        lambda p: concatenation(p, 3, quant=QuantParams((0.25,), 3))),
    "zero points that differ": (UNSUPPORTED, ("input 1", "zero point"),
        lambda p: concatenation(p, 3, quant=QuantParams((0.125,), 4))),
    "a fused activation": (UNSUPPORTED, ("fused activation", "NONE"),
        lambda p: concatenation(p, 3, activation=Activation.RELU)),
    "a join along no axis": (ModelError, ("axis 4",),
        lambda p: concatenation(p, 4)),
    "shapes that do not join": (ModelError, ("do not join along axis 3",),
        lambda p: concatenation(p, -1, (1, 4, 3, 2))),
    "a join of nothing": (UNSUPPORTED, ("0 inputs", "1 to 64"),
        lambda p: p.op(1, kind="CONCATENATION", inputs=(), options=ConcatenationOptions())),
    "a join of too many": (UNSUPPORTED, ("65 inputs", "1 to 64"),
        lambda p: p.op(1, kind="CONCATENATION", inputs=("a",) * 65,
                       options=ConcatenationOptions())),
    "an axis twice": (ModelError, ("[0, 3, 1, 1]", "no order"),
        lambda p: transpose(p, [0, 3, 1, 1])),
    "too few axes": (ModelError, ("[0, 1]", "no order"),
        lambda p: transpose(p, [0, 1])),
    "another order than declared": (ModelError, ("declared as", "(1, 3, 4, 4)", "(1, 4, 3, 4)"),
        lambda p: transpose(p, [0, 1, 3, 2])),
    "a size of one number": (ModelError, ("a size of [8]",),
        lambda p: resize(p, [8])),
    "a size of zero": (ModelError, ("a size of [0, 8]",),
        lambda p: resize(p, [0, 8])),
    "a vast size": (ModelError, ("(2147483647, 8)", "up to 65536"),
        lambda p: resize(p, [2**31 - 1, 8])),
    "a squeeze to fewer elements": (ModelError, ("operator 1", "48 elements"),
        lambda p: second(p, "SQUEEZE", SqueezeOptions((0,)), (4, 4, 2))),
}  # fmt: skip


def five_axes(p: Parts) -> None:
    second(p, "RESHAPE", ReshapeOptions((1, 2, 2, 4, 3)), (1, 2, 2, 4, 3), [1, 2, 2, 4, 3])
    p.tensors["z"] = replace(p.tensors["y"], name="z", shape=(1, 2, 2, 4, 4))
    p.tensors["w5"] = constant("w5", np.array([[0, 0]] * 4 + [[1, 0]], np.int32))
    p.ops.append(WriterOp("PAD", ("y", "w5"), ("z",), PadOptions()))
    p.outputs = ["z"]


def rescaled(p: Parts) -> None:
    second(p, "MAX_POOL_2D", Pool2DOptions(Padding.SAME), (1, 4, 4, 3))
    p.quantise("y", (0.25,), 3)


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    error, words, spoil = REFUSED[name]
    spec = parts()
    spoil(spec)
    with pytest.raises(ModelError) as caught:
        parse(spec.write(), "spoilt", "spoilt.tflite")

    message = str(caught.value)
    assert type(caught.value) is error
    assert all(word in message for word in words), message
    assert message.startswith("spoilt.tflite"), message
    assert "\n" not in message


def last_op(spoil: Callable[[Parts], None]) -> Any:
    spec = parts()
    spoil(spec)
    return parse(spec.write(), "sound").graph.nodes[-1].op


def test_a_pads_value_is_the_zero_point_or_the_constant() -> None:
    widths = [[0, 0], [1, 0], [0, 0], [0, 0]]

    assert last_op(lambda p: pad(p, widths)) == Pad((0, 1, 0, 0), (0, 0, 0, 0), 3)
    for value in (-5, [-5]):
        assert last_op(lambda p, value=value: pad_v2(p, value, QUANT)) == PadV2(
            (0, 1, 0, 0), (0, 0, 0, 0), -5
        )


def test_widths_may_be_int64() -> None:
    def int64(p: Parts) -> None:
        pad(p, [[0, 0], [1, 0], [0, 0], [0, 0]])
        p.change("n0", dtype="int64", data=p.tensors["n0"].data.astype(np.int64))

    assert last_op(int64).before == (0, 1, 0, 0)


@pytest.mark.parametrize("axes", [[1, 2], [2, 1], [-3, -2], [1, -2, 2]])
def test_the_axes_of_a_mean_come_in_any_order_and_sign(axes: list[int]) -> None:
    assert last_op(lambda p: mean(p, axes)) == Mean(QUANT, 1, 2)
