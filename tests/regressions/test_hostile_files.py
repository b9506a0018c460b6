# SPDX-License-Identifier: Apache-2.0
"""Files made to hurt: what the fuzzer found, and what asks for more than any device has."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
import warnings
import zlib
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import tflite

from mcutrain.trainer.errors import Error, ModelError
from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.making.options import (
    Conv2DOptions,
    DepthwiseConv2DOptions,
    PackOptions,
    Padding,
    PadOptions,
    Pool2DOptions,
    ReshapeOptions,
    ResizeNearestNeighborOptions,
    SliceOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, constant, write_model
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.scheme import Scheme
from mcutrain.trainer.tflite import bounds
from mcutrain.trainer.tflite.metadata import TRAINING_STATE
from mcutrain.trainer.tflite.patch import TflitePatch
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.tflite.tensors import MAX_NAME
from mcutrain.trainer.training_state import PREFIX, TrainingState, resumed
from tests.support.counting import lines_of
from tests.support.exports import exported, going_on, train
from tests.support.file_parts import parts
from tests.support.model_maker import ModelMaker
from tests.support.paths import ROOT
from tests.support.small_models import residual_model

UNIT = QuantParams((1.0,), 0)


def dense(make: ModelMaker, outputs: int = 4, name: str = "d") -> WriterTensor:
    return make.dense_of(make.activation("x", (1, 4), UNIT), name, outputs)


def refused(data: bytes) -> str:
    """The message with which a file is refused."""
    with pytest.raises(ModelError) as caught:
        parse(data, "hostile")
    message = str(caught.value)
    assert "\n" not in message and len(message) < 2000
    return message


def test_a_name_of_kilobytes_is_refused() -> None:
    make = ModelMaker(0)
    dense(make, name="n" * (MAX_NAME + 1))

    assert f" bytes; {MAX_NAME} are supported" in refused(make.finish())


def test_a_name_of_two_lines_makes_a_message_of_one() -> None:
    make = ModelMaker(0)
    a = dense(make, name="two\nlines\x1b[31m")
    make.ops.append(WriterOp("TANH", (a.name,), ("y",), None))
    make.activation("y", a.shape, UNIT)

    assert "TANH" in refused(make.finish())
    make.tensors[-1] = WriterTensor("y", a.shape, "int8", QuantParams((1 / 128,), 0))
    assert parse(make.finish(), "m").graph.nodes[0].output.label == "two?lines?[31m"


def test_a_pad_behind_the_head_leaves_no_place_for_other_classes() -> None:
    """The logits then have more columns than the head has rows."""
    make = ModelMaker(0)
    a = dense(make, 4)
    make.tensors.append(constant("widths", np.array([[0, 0], [2, 5]], np.int32)))
    make.ops.append(WriterOp("PAD", ("d", "widths"), ("y",), PadOptions()))
    make.activation("y", (1, 11), a.quant or UNIT)
    model = parse(make.finish(), "m")

    for change in ({"spare_classes": 1}, {"classes": 3}):
        with pytest.raises(ModelError, match=r"\(PAD, .* follows the last weighted layer"):
            make_plan(model, PlanOptions("head", **change))


def test_metadata_of_one_name_many_times_are_replaced_by_one() -> None:
    patch = TflitePatch(residual_model())
    patch.set_metadata(TRAINING_STATE, b"a state of someone else")
    again = TflitePatch(patch.finish())
    again.metadata *= 3
    data = again.finish()
    trained = train(Interpreter(make_plan(parse(data, "m"), PlanOptions("head")), 5), 0, 3)

    assert len(TflitePatch(data).metadata) == 3
    new = exported(data, trained)
    assert [e.name for e in TflitePatch(new).metadata] == [TRAINING_STATE.encode()]
    assert going_on(new).steps == 3


@pytest.mark.parametrize("declared", [0, 1, 3, -1])
def test_a_depthwise_layer_whose_multiplier_is_another_is_refused(declared: int) -> None:
    """tflite-micro goes by the option and would read other channels."""
    tensors = [
        WriterTensor("x", (1, 3, 3, 2), "int8", UNIT),
        WriterTensor("w", (1, 1, 1, 4), "int8", UNIT, np.ones((1, 1, 1, 4), np.int8)),
        WriterTensor("y", (1, 3, 3, 4), "int8", UNIT),
    ]
    options = DepthwiseConv2DOptions(depth_multiplier=declared)
    op = WriterOp("DEPTHWISE_CONV_2D", ("x", "w"), ("y",), options)

    message = refused(write_model(tensors, [op], ["x"], ["y"]))
    assert f"the multiplier {declared} of 2 channels does not give 4" in message


@pytest.mark.parametrize("told", [0, 1, 3, 16, -1])
def test_a_pack_that_tells_another_number_of_tensors_is_refused(told: int) -> None:
    """tflite-micro goes by the option, and died of tensors that are not there."""
    make = ModelMaker(0)
    a = dense(make)
    make.ops.append(WriterOp("PACK", ("d", "d"), ("y",), PackOptions(told)))
    make.activation("y", (2, *a.shape), a.quant or UNIT)

    assert f"{told} tensors are told, and there are 2" in refused(make.finish())


def test_the_options_of_another_operator_are_refused() -> None:
    """They have the same fields; tflite-micro takes none of them."""
    make = ModelMaker(0)
    make.pointwise(make.activation("x", (1, 2, 2, 3), UNIT), "y", 3)
    make.ops[-1] = replace(make.ops[-1], options=DepthwiseConv2DOptions())

    assert "DepthwiseConv2DOptions, which are another operator's" in refused(make.finish())


@pytest.mark.parametrize("name", ["x", "d"])
def test_a_computed_tensor_that_has_data_is_refused(name: str) -> None:
    """tflite-micro takes it for a constant."""
    make = ModelMaker(0)
    dense(make)
    k = next(k for k, t in enumerate(make.tensors) if t.name == name)
    old = make.tensors[k]
    make.tensors[k] = replace(old, data=np.ones(old.shape, np.int8))

    assert f"tensor '{name}' is computed, yet it has data" in refused(make.finish())


@pytest.mark.parametrize("kind", ["CONV_2D", "AVERAGE_POOL_2D"])
def test_a_batch_that_grows_inside_is_refused(kind: str) -> None:
    """A PAD along the first axis; windows know one image."""
    make = ModelMaker(0)
    a = make.pointwise(make.activation("x", (1, 2, 2, 3), UNIT), "a", 3)
    widths = np.array([[0, 1], [0, 0], [0, 0], [0, 0]], np.int32)
    make.tensors.append(constant("widths", widths))
    make.ops.append(WriterOp("PAD", ("a", "widths"), ("p",), PadOptions()))
    padded = make.activation("p", (2, 2, 2, 3), a.quant or UNIT)
    if kind == "CONV_2D":
        make.pointwise(padded, "y", 3)
    else:
        make.ops.append(WriterOp(kind, ("p",), ("y",), Pool2DOptions()))
        make.activation("y", padded.shape, a.quant or UNIT)

    assert "an input (1, H, W, C)" in refused(make.finish())


def chain(length: int) -> bytes:
    """A layer and so many RELUs."""
    make = ModelMaker(0)
    a = dense(make)
    for k in range(length):
        make.ops.append(WriterOp("RELU", (make.tensors[-1].name,), (f"r{k}",), None))
        make.activation(f"r{k}", a.shape, UNIT)
    return make.finish()


@pytest.mark.slow
def test_a_plans_work_grows_with_the_square_of_its_operators() -> None:
    """Placing tensors once grew with the third power: a minute for the most operators there are."""
    models = [parse(chain(length), "m") for length in (64, 128)]
    short, long = (lines_of(partial(make_plan, model, PlanOptions("full"))) for model in models)

    assert long < 4 * short


@pytest.mark.slow
def test_a_plan_may_have_the_most_operators() -> None:
    model = parse(chain(bounds.MAX_OPERATORS - 1), "m")

    assert len(make_plan(model, PlanOptions("full")).forward) == bounds.MAX_OPERATORS
    assert f"has {bounds.MAX_OPERATORS + 1} operators" in refused(chain(bounds.MAX_OPERATORS))


def test_more_dimensions_than_numpy_has_are_refused() -> None:
    make = ModelMaker(0)
    a = dense(make)
    shape = (*(1,) * 99, 4)
    make.ops.append(WriterOp("RESHAPE", ("d",), ("y",), ReshapeOptions(shape)))
    make.activation("y", shape, a.quant or UNIT)

    assert "100 dimensions" in refused(make.finish())


def conv_of_much(make: ModelMaker) -> None:
    """Few weights, and windows that read each value a thousand times."""
    make.tensors += [
        WriterTensor("x", (1, 1024, 1024, 1), "int8", UNIT),
        WriterTensor("w", (1, 32, 32, 1), "int8", UNIT, np.ones((1, 32, 32, 1), np.int8)),
    ]
    make.ops.append(WriterOp("CONV_2D", ("x", "w"), ("y",), Conv2DOptions(Padding.SAME)))
    make.activation("y", (1, 1024, 1024, 1), UNIT)


def pool_of_much(make: ModelMaker) -> None:
    """A window far greater than what it looks at."""
    make.layer("CONV_2D", make.activation("x", (1, 1, 1, 1), UNIT), "a")
    options = Pool2DOptions(Padding.SAME, 1, 1, 32, 4096)
    last = make.tensors[-1]
    make.ops.append(WriterOp("AVERAGE_POOL_2D", ("a",), ("y",), options))
    make.activation("y", last.shape, last.quant or UNIT)


def growth(make: ModelMaker) -> None:
    """A tensor of the greatest size made of one value, and copies of it."""
    make.activation("x", (1, 1, 1, 1), UNIT)
    make.pointwise(make.tensors[0], "a", 1)
    side = int(bounds.MAX_ELEMENTS**0.5)
    make.tensors.append(constant("side", np.array([side, side], np.int32)))
    options = ResizeNearestNeighborOptions()
    make.ops.append(WriterOp("RESIZE_NEAREST_NEIGHBOR", ("a", "side"), ("r",), options))
    quant = make.tensors[-2].quant or UNIT
    for k, name in enumerate("rstuvwxyz".replace("x", "")):
        if k:
            make.ops.append(WriterOp("RELU", (make.tensors[-1].name,), (name,), None))
        make.activation(name, (1, side, side, 1), quant)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [(conv_of_much, "values read"), (pool_of_much, "taps"), (growth, "elements in its act")],
)
def test_a_small_file_cannot_ask_for_gigabytes_or_hours(spoil: Any, what: str) -> None:
    make = ModelMaker(0)
    spoil(make)
    data = make.finish()

    assert len(data) < 4096
    assert what in refused(data)


HOSTILE = (None, -1, 0, 1, 2**31, 2**70, 0.5, -0.0, float("nan"), float("inf"), "", "0", "u32",
           [], [[]], {}, {"": []}, True, [-1], [0, 0], "\n", [[[[]]]])  # fmt: skip


def spoil_json(value: Any, rng: random.Random) -> Any:
    """The value with one part, at any depth, replaced, taken away or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value))
        if rng.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        name = key if rng.random() < 0.9 else rng.choice(("", "-1", "999999", "x", "1e3"))
        return {**value, name: spoil_json(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        k = rng.randrange(len(value))
        if rng.random() < 0.2:
            return rng.choice((value[:k] + value[k + 1 :], value * 2, value[::-1]))
        return [*value[:k], spoil_json(value[k], rng), *value[k + 1 :]]
    return rng.choice(HOSTILE)


def spoilt_state(raw: bytes, rng: random.Random) -> bytes:
    """Another header or other values, with the right CRC-32."""
    *_, digest, length = PREFIX.unpack_from(raw)
    text, rest = raw[PREFIX.size : PREFIX.size + length], bytearray(raw[PREFIX.size + length : -4])
    if rng.random() < 0.75:
        text = json.dumps(spoil_json(json.loads(text), rng)).encode()
    else:
        for _ in range(rng.choice((1, 4, 40))):
            rest[rng.randrange(len(rest))] = rng.choice((0, 1, 127, 128, 255))
        del rest[len(rest) - rng.choice((0, 0, 1, 4)) :]
    new = PREFIX.pack(raw[:4], 1, 0, digest, len(text)) + text + bytes(rest)
    return new + struct.pack("<I", zlib.crc32(new))


@pytest.mark.parametrize("count", [0, 3])
def test_scales_without_as_many_zero_points_are_refused(count: int) -> None:
    """tflite-micro reads beyond the vector, and computes anything."""
    data = bytearray(residual_model())
    tensor = tflite.Model.GetRootAsModel(data, 0).Subgraphs(0).Tensors(1)
    table = tensor.Quantization()._tab
    length = table.Vector(table.Offset(10)) - 4
    assert data[length : length + 4] == struct.pack("<I", 8)
    data[length : length + 4] = struct.pack("<I", count)
    with pytest.raises(ModelError, match=f"'stem_w' .* has 8 scales and {count} zero points"):
        parse(bytes(data), "m")


def test_a_float_of_another_shape_between_conversions_is_refused() -> None:
    """tflite-micro computes as many floats as are declared, and then reads beyond them."""
    for shape in ((), (1, 5), (1, 4, 2)):
        p = parts()
        whole = p.tensors["a"]
        p.tensors |= {"f": WriterTensor("f", shape, "float32"), "m": replace(whole, name="m")}
        p.ops[1:1] = [WriterOp("DEQUANTIZE", ("a",), ("f",)), WriterOp("QUANTIZE", ("f",), ("m",))]
        p.op(3, inputs=("m", "v", "c"))
        with pytest.raises(ModelError, match=r"operator 1 .* declared as float32 .*, but computes"):
            parse(p.write(), "m")


@pytest.mark.slow
def test_a_training_state_that_lies_is_refused_or_goes_on() -> None:
    data = residual_model()
    scheme = Scheme("partial", {0: 0.7, 3: 1.0}, frozenset({1, 3}))
    trained = train(Interpreter(make_plan(parse(data, "m"), PlanOptions(scheme)), 5), 0, 3)
    model = parse(exported(data, trained), "m")
    assert model.training_state is not None
    rng, messages, went_on = random.Random(1), [], 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(400):
            try:
                stored = TrainingState.unpack(spoilt_state(model.training_state, rng))
                plan = resumed(make_plan(model, PlanOptions(stored.scheme)), stored)
                train(Interpreter(plan, stored.seed), 0, 1)
                went_on += 1
            except Error as err:
                messages.append(str(err))

    assert min(len(messages), went_on) > 5
    assert not [m for m in messages if len(m) > 2000 or "\n" in m]


@pytest.mark.slow
def test_a_part_that_is_the_whole_is_planned() -> None:
    """Its output lies in its input's bytes, and has no place of its own to lay over others."""
    make = ModelMaker(0)
    dense(make)
    make.tensors += [constant("begin", np.zeros(2, np.int32)),
                     constant("size", np.array([1, -1], np.int32))]  # fmt: skip
    make.ops.append(WriterOp("SLICE", ("d", "begin", "size"), ("y",), SliceOptions()))
    (d,) = [t for t in make.tensors if t.name == "d"]
    assert d.quant is not None
    make.activation("y", (1, 4), d.quant)

    assert make_plan(parse(make.finish(), "whole"), PlanOptions("full")).learned


def test_the_fuzzer_finds_nothing() -> None:
    """A short run: mutants 0 to 99, each the same every time."""
    pytest.importorskip("tflite_micro")
    command = [sys.executable, "-m", "tests.tools.fuzz_importer", "--count", "100", "--seed", "8"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stdout
    assert "100 mutants, 0 kinds of finds" in done.stdout
    assert "accepted" in done.stdout
