# SPDX-License-Identifier: Apache-2.0
"""All that stands in the way of a file is listed, by operator, cause and remedy; what a file says
and nobody reads is named, not misread."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
import tflite

from mcutrain.trainer.errors import ModelError, Obstacle
from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import (
    Activation,
    AddOptions,
    Conv2DOptions,
    FullyConnectedOptions,
    ReshapeOptions,
    ShapeOptions,
    StridedSliceOptions,
)
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, constant, write_model
from mcutrain.trainer.model import with_new_head
from mcutrain.trainer.tflite.reader import parse
from tests.support.command import Run
from tests.support.file_parts import Parts, parts
from tests.support.mutations import schema
from tests.support.small_models import activation, residual_model, weights


def obstacles(data: bytes) -> tuple[Obstacle, ...]:
    with pytest.raises(ModelError) as refused:
        parse(data, "m", "m.tflite")
    return refused.value.obstacles


def changed(data: bytes, change: Callable[[Any], None]) -> bytes:
    """The file with any field of the schema changed."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def with_operator(
    kind: str, output: WriterTensor, *more: WriterTensor, options: Any = None
) -> Parts:
    """A model with an operator of ``kind`` between its two layers."""
    p = parts()
    p.tensors |= {tensor.name: tensor for tensor in (output, *more)}
    p.ops.insert(1, WriterOp(kind, ("a", *(t.name for t in more)), (output.name,), options))
    p.op(2, inputs=(output.name, "v", "c"))
    return p


def image(name: str, **more: Any) -> WriterTensor:
    return WriterTensor(name, (1, 4, 4, 3), **{"quant": QuantParams((0.125,), 3), **more})


def test_all_obstacles_are_listed_in_one_reading() -> None:
    p = with_operator("CEIL", image("m"))
    p.op(0, options=Conv2DOptions(fused_activation_function=Activation.TANH))
    p.ops.append(WriterOp("COS", ("y",), ("z",)))
    p.tensors["z"], p.outputs = WriterTensor("z", (1, 5), quant=QuantParams((0.1,), 0)), ["z"]
    found = obstacles(p.write())

    assert [(o.operator, o.kind) for o in found] == [(0, "CONV_2D"), (1, "CEIL"), (3, "COS")]
    assert all(o.remedy for o in found)
    with pytest.raises(ModelError, match=r"m\.tflite: operator 0 \(CONV_2D.* TANH.*\(2 more"):
        parse(p.write(), "m", "m.tflite")


def test_what_reads_an_obstacle_is_none_itself() -> None:
    """Of an int16 model the input is one, of layers behind an odd tensor nothing is said."""
    p = with_operator("CEIL", image("m", dtype="int16"))
    wide = parts()
    for name in ("x", "a", "y"):
        wide.change(name, dtype="int16")

    assert [o.operator for o in obstacles(p.write())] == [1]
    assert [o.text for o in obstacles(wide.write())] == [
        "input is int16; int8 activations are supported"
    ]


def test_weights_that_are_computed_name_what_computes_them() -> None:
    rng = np.random.default_rng(0)
    tensors = [
        activation("x", (1, 1, 1, 4), 0.1, 0), weights("w", (4, 1, 1, 4), 0, rng),
        activation("v", (1, 1, 1, 4), 0.1, 0), activation("y", (1, 1, 1, 1), 0.1, 0),
    ]  # fmt: skip
    ops = [
        WriterOp("CONV_2D", ("x", "w", None), ("v",), Conv2DOptions()),
        WriterOp("CONV_2D", ("x", "v", None), ("y",), Conv2DOptions()),
    ]
    (found,) = obstacles(write_model(tensors, ops, ["x"], ["y"]))

    assert found.operator == 1
    assert "tensor 'v' is computed, by operator 0, where a constant is needed" in found.text


def test_groups_that_do_not_divide_the_filters_are_called_so() -> None:
    p = parts()
    data = np.ones((3, 3, 3, 1), np.int8)
    p.change("w", shape=data.shape, data=data)
    (found,) = obstacles(p.write())

    assert found.operator == 0
    assert "3 filters of 1 channels do not divide the 2 channels of 'x' into groups" in found.text


@pytest.mark.parametrize("kind", ["COS", "TANH"])
def test_a_float_island_names_the_operator_inside(kind: str) -> None:
    p = parts()
    p.tensors |= {n: image(n, dtype="float32", quant=None) for n in ("f", "g")} | {"m": image("m")}
    steps = (("DEQUANTIZE", "a", "f"), (kind, "f", "g"), ("QUANTIZE", "g", "m"))
    p.ops[1:1] = [WriterOp(name, (x,), (y,)) for name, x, y in steps]
    p.op(4, inputs=("m", "v", "c"))
    (found,) = obstacles(p.write())

    assert (found.operator, found.kind) == (2, kind)
    assert "stayed in floating point in a model of int8: 'f' is FLOAT32" in found.text


def test_a_way_through_floats_that_forks_is_refused() -> None:
    p = parts()
    p.tensors |= {"f": image("f", dtype="float32", quant=None), **{n: image(n) for n in "mns"}}
    back = [WriterOp("QUANTIZE", ("f",), (name,)) for name in "mn"]
    both = WriterOp("ADD", ("m", "n"), ("s",), AddOptions())
    p.ops[1:1] = [WriterOp("DEQUANTIZE", ("a",), ("f",)), *back, both]
    p.op(5, inputs=("s", "v", "c"))

    assert [o.operator for o in obstacles(p.write())] == [1]


def layer(model: Any) -> Any:
    return model.subgraphs[0].operators[1]


def set_custom(model: Any) -> None:
    layer(model).customOptions = [1, 2]


def set_intermediates(model: Any) -> None:
    layer(model).intermediates = [0]


def set_mutating(model: Any) -> None:
    layer(model).mutatingVariableInputs = [True, False, False]


def add_input(model: Any) -> None:
    layer(model).inputs = [*layer(model).inputs, 2]


def set_version(model: Any) -> None:
    model.operatorCodes[layer(model).opcodeIndex].version = 99


def set_schema(model: Any) -> None:
    model.version = 4


def set_sparse(model: Any) -> None:
    model.subgraphs[0].tensors[1].sparsity = schema.SparsityParametersT()


def set_variable(model: Any) -> None:
    model.subgraphs[0].tensors[3].isVariable = True


def weights_of(model: Any) -> Any:
    return model.buffers[model.subgraphs[0].tensors[1].buffer]


def set_place_beyond(model: Any) -> None:
    buffer = weights_of(model)
    buffer.data, buffer.offset, buffer.size = None, 1 << 20, 54


def set_no_place(model: Any) -> None:
    buffer = weights_of(model)
    buffer.data, buffer.offset, buffer.size = None, 1, 54


def set_twice(model: Any) -> None:
    weights_of(model).offset, weights_of(model).size = 64, 54


def set_external(model: Any) -> None:
    """With the tables of a file that has external buffers, of which one is used."""
    weights_of(model).data = None
    model.externalBufferGroups = [schema.ExternalBufferGroupT()]
    model.externalBuffers = [schema.ExternalBufferT()]
    model.subgraphs[0].tensors[1].externalBuffer = 1


def set_blockwise(model: Any) -> None:
    quantisation = model.subgraphs[0].tensors[1].quantization
    quantisation.detailsType = schema.QuantizationDetails.BlockwiseQuantization
    quantisation.details = schema.BlockwiseQuantizationT()


def set_details(model: Any) -> None:
    quantisation = model.subgraphs[0].tensors[1].quantization
    quantisation.detailsType = schema.QuantizationDetails.CustomQuantization
    quantisation.details = schema.CustomQuantizationT()


def set_open(model: Any) -> None:
    model.subgraphs[0].tensors[0].shapeSignature = [1, -1, -1, 2]


def add_subgraph(model: Any) -> None:
    model.subgraphs.append(model.subgraphs[0])


@pytest.mark.parametrize(
    ("change", "operator", "words"),
    [
        (set_custom, 1, "has custom options"),
        (set_intermediates, 1, "has intermediate tensors"),
        (set_mutating, 1, "changes one of its inputs"),
        (add_input, 1, "has an input 3, which is not known"),
        (set_version, 1, "has version 99"),
        (set_schema, None, "version 4 of the TFLite schema"),
        (set_sparse, 0, "'w' is sparse"),
        (set_variable, 0, "'a' is a variable"),
        (set_place_beyond, 0, "'w' has 54 bytes of data at byte 1048576; the file ends at"),
        (set_no_place, 0, "'w' has 54 bytes of data, at no place in the file"),
        (set_twice, 0, "'w' has data twice: in its buffer, and at byte 64 of the file"),
        (set_external, 0, "'w' has its data in another file, an external buffer"),
        (set_blockwise, 0, "'w' is quantised by blocks"),
        (set_details, 0, "'w' has a custom quantisation"),
        (set_open, None, "'x' leaves the size of its axes 1, 2 open"),
    ],
)
def test_what_a_file_says_beside_is_named(
    change: Callable[[Any], None], operator: int | None, words: str
) -> None:
    sound = parts().write()
    parse(changed(sound, lambda model: None), "sound")
    found = obstacles(changed(sound, change))

    assert [o.operator for o in found] == [operator], found
    assert words in found[0].text


def test_an_option_that_no_rule_reads_is_named() -> None:
    def change(model: Any) -> None:
        model.subgraphs[0].operators[1].builtinOptions.offset = True

    (found,) = obstacles(changed(sliced_shape(), change))
    assert found.text.endswith("has the option Offset True, which is not supported")


def sliced_shape() -> bytes:
    rng = np.random.default_rng(0)
    tensors = [
        activation("x", (1, 4), 0.1, 0), WriterTensor("shape", (2,), "int32"),
        *(constant(n, np.array([v], np.int32)) for n, v in (("b", 0), ("e", 2), ("s", 1))),
        WriterTensor("same", (2,), "int32"), activation("r", (1, 4), 0.1, 0),
        weights("w", (3, 4), 0, rng), activation("y", (1, 3), 0.1, 0),
    ]  # fmt: skip
    ops = [
        WriterOp("SHAPE", ("x",), ("shape",), ShapeOptions()),
        WriterOp("STRIDED_SLICE", ("shape", "b", "e", "s"), ("same",), StridedSliceOptions()),
        WriterOp("RESHAPE", ("x", "same"), ("r",), ReshapeOptions()),
        WriterOp("FULLY_CONNECTED", ("r", "w"), ("y",), FullyConnectedOptions()),
    ]
    data = write_model(tensors, ops, ["x"], ["y"])
    assert parse(data, "sound")
    return data


def test_a_field_of_a_newer_schema_is_found_by_its_number() -> None:
    """A table of options with one field more than the reader's schema has."""
    data = bytearray(parts().write())
    options = tflite.Model.GetRootAsModel(bytes(data), 0).Subgraphs(0).Operators(0)
    table = options.BuiltinOptions()
    vtable = table.Pos - int.from_bytes(data[table.Pos : table.Pos + 4], "little", signed=True)
    nbytes = int.from_bytes(data[vtable : vtable + 2], "little")
    wider = data[vtable : vtable + nbytes] + bytes(20 - nbytes) + b"\4\0"
    wider[:2] = (22).to_bytes(2, "little")
    end = len(data) + -len(data) % 4
    data += bytes(end - len(data)) + wider
    data[table.Pos : table.Pos + 4] = (table.Pos - end).to_bytes(4, "little", signed=True)
    (found,) = obstacles(bytes(data))

    assert found.operator == 0 and "options of a newer TFLite schema" in found.text


def test_a_reshape_that_is_told_another_shape_is_refused() -> None:
    rng = np.random.default_rng(0)
    tensors = [
        activation("x", (1, 2, 2), 0.1, 0), constant("told", np.array([2, 2], np.int32)),
        activation("r", (1, 4), 0.1, 0), weights("w", (3, 4), 0, rng),
        activation("y", (1, 3), 0.1, 0),
    ]  # fmt: skip
    ops = [
        WriterOp("RESHAPE", ("x", "told"), ("r",)),
        WriterOp("FULLY_CONNECTED", ("r", "w"), ("y",), FullyConnectedOptions()),
    ]
    (found,) = obstacles(write_model(tensors, ops, ["x"], ["y"]))

    assert "the output has the shape (1, 4), but [2, 2] is asked for" in found.text


def test_a_head_before_a_reshape_that_mixes_it_says_so() -> None:
    p = parts()
    p.tensors["z"] = WriterTensor("z", (5, 1), quant=QuantParams((0.125,), 3))
    p.ops.append(WriterOp("RESHAPE", ("y",), ("z",)))
    p.outputs = ["z"]
    with pytest.raises(ModelError, match=r"operator 2 \(RESHAPE, output 'z'\) follows .* and makes "
                       r"\(5, 1\) of \(1, 5\), which mixes the 5 outputs"):  # fmt: skip
        with_new_head(parse(p.write(), "m"), 3)


def test_inspect_lists_them_and_the_other_commands_name_the_first(run: Run, tmp_path: Path) -> None:
    p = with_operator("CEIL", image("m"))
    p.op(0, options=Conv2DOptions(fused_activation_function=Activation.TANH))
    bad, good = tmp_path / "bad.tflite", tmp_path / "good.tflite"
    bad.write_bytes(p.write())
    good.write_bytes(residual_model())

    told = run("inspect", bad)
    assert told.status == 1 and "bad.tflite has 2 obstacles" in told.err
    assert "operator 0 (CONV_2D" in told.out and "operator 1 (CEIL" in told.out
    listed = run("inspect", bad, "--json")
    found = json.loads(listed.out)["obstacles"]
    assert listed.status == 1
    assert [(o["operator"], o["kind"]) for o in found] == [(0, "CONV_2D"), (1, "CEIL")]
    assert run("inspect", good, "--json").json["obstacles"] == []
    first = run("plan", bad)
    assert "operator 0 (CONV_2D" in first.err and "(1 more: `mcutrain inspect` lists" in first.err
    assert "CEIL" not in first.err
