# SPDX-License-Identifier: Apache-2.0
"""Files of models that were cut: tflite-micro and the importer read them, all else is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tflite
from hypothesis import given, settings
from hypothesis import strategies as st

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.making.writer import WriterTensor, write_model
from mcutrain.trainer.model import Model, forward
from mcutrain.trainer.options import PlanOptions, Section
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.shrinking.cut import cut_channels
from mcutrain.trainer.shrinking.file import write_cut
from mcutrain.trainer.shrinking.groups import Groups, channel_groups
from mcutrain.trainer.tflite.compact import compacted
from mcutrain.trainer.tflite.reader import load, parse
from tests.support.export_models import described_model, float_edges
from tests.support.exports import exported, train
from tests.support.random_cuts import (
    Cuttable,
    assert_micro_computes,
    cuttable_model,
    read,
    some_kept,
)
from tests.support.small_models import residual_model
from tests.support.unsigned_model import UnsignedModel


def half(groups: Groups) -> dict[str, tuple[int, ...]]:
    return {g.name: tuple(range(0, g.units, 2)) for g in groups.groups}


def means_of(model: Model) -> dict:
    x = np.random.default_rng(1).integers(-128, 128, model.input.type.shape).astype(np.int8)
    run = forward(model, x)
    return {t: run[t].reshape(-1, t.type.shape[-1]).mean(axis=0) for t in run if t.data is None}


def cut_of(data: bytes, section: Section | None = None) -> tuple[bytes, Model]:
    """The file with half of the channels, and its model."""
    model = parse(data, "m", section=section or Section())
    groups = channel_groups(model)
    smaller = cut_channels(model, groups, half(groups), means_of(model))
    return write_cut(data, smaller), smaller


def assert_any_choice_is_a_model(seed: int, choice: int) -> None:
    data = cuttable_model(seed)
    model = read(data)
    groups = channel_groups(model)
    kept = some_kept(groups, choice)
    smaller = cut_channels(model, groups, kept)
    file = write_cut(data, smaller)

    assert len(file) <= len(data)
    for group in groups.groups:
        for node in group.producers:
            assert node.name in {n.name for n in smaller.graph.nodes}
    assert_micro_computes(file, smaller)
    assert_micro_computes(file, parse(file, "again"), 1)


@pytest.mark.parametrize("seed", range(16))
def test_any_choice_of_units_is_a_model(seed: int) -> None:
    assert_any_choice_is_a_model(seed, seed)


@pytest.mark.exhaustive
@settings(max_examples=400)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_any_choice_of_units_of_any_network_is_a_model(seed: int, choice: int) -> None:
    assert_any_choice_is_a_model(seed, choice)


def test_a_model_that_keeps_all_has_the_same_file() -> None:
    for data in (residual_model(), cuttable_model(3)):
        model = parse(data, "m")

        assert write_cut(data, model) == compacted(data)


def test_names_metadata_signatures_and_description_are_kept() -> None:
    schema = pytest.importorskip(
        "tflite_micro.tensorflow.lite.micro.python.schema_py_generated",
        reason="the object API of the schema is part of tflite-micro",
    )
    data = described_model(schema)
    new, _ = cut_of(data)
    old, found = (schema.ModelT.InitFromPackedBuf(each, 0) for each in (data, new))

    assert len(new) < len(data)
    assert found.description == old.description and found.description
    assert [m.name for m in found.metadata] == [m.name for m in old.metadata]
    names = [[t.name for t in file.subgraphs[0].tensors] for file in (old, found)]
    assert names[0] == names[1]
    for mine, theirs in zip(found.signatureDefs or [], old.signatureDefs or [], strict=True):
        assert mine.signatureKey == theirs.signatureKey
        assert [vars(t) for t in mine.inputs] == [vars(t) for t in theirs.inputs]


def test_an_export_loses_its_training_state_and_can_be_trained_and_cut_again() -> None:
    data = residual_model()
    trained = train(Interpreter(make_plan(parse(data, "m"), PlanOptions("full")), 1), 0, 4)
    first = exported(data, trained)
    second, smaller = cut_of(first)
    again = train(Interpreter(make_plan(parse(second, "m"), PlanOptions("full")), 1), 0, 4)
    third, smallest = cut_of(exported(second, again))

    assert parse(first, "m").training_state is not None
    assert smaller.training_state is None and parse(second, "m").training_state is None
    assert len(third) < len(second) < len(first)
    assert_micro_computes(third, smallest)


def test_float_edges_stay() -> None:
    data = float_edges()
    new, smaller = cut_of(data)
    graph = tflite.Model.GetRootAsModel(new, 0).Subgraphs(0)

    assert graph.Tensors(graph.Inputs(0)).Type() == tflite.TensorType.FLOAT32
    assert parse(new, "m").output.type == smaller.output.type


def two_branches() -> bytes:
    """Two layers behind another, of which each is the way to an output of its own."""
    make = Cuttable(6)
    x = make.activation("x", (1, 3, 4, 2), make.c.quant())
    a = make.layer("CONV_2D", make.pointwise(x, "first", 5), "a", 6)
    make.dense_of(make.pointwise(a, "b", 4), "y", 3)
    make.dense_of(make.pointwise(a, "c", 4), "z", 3)
    ends = ["y", "z"]
    return write_model(make.tensors, make.ops, ["x"], ends)


def test_a_section_is_cut_in_the_whole_file_and_others_keep_what_they_read() -> None:
    data = two_branches()
    model = parse(data, "m", section=Section(end="y"))
    groups = channel_groups(model)
    a = next(node for node in model.weighted if node.output.label == "a")
    new, smaller = cut_of(data, Section(end="y"))
    other = parse(new, "m", section=Section(end="z"))

    assert groups.stays[a.name] == "something that does not lead to the output reads it"
    assert [group.units for group in groups.groups] == [5, 4]
    assert other.weighted[-1].inputs[1].type.shape == (3, a.output.type.size // 6 * 4)
    assert_micro_computes(new, smaller)
    assert_micro_computes(new, other)


def test_what_is_before_a_section_stays() -> None:
    data = cuttable_model(3)
    start = read(data).graph.nodes[0].name
    section = Section(start=start)
    new, smaller = cut_of(data, section)
    stem = parse(new, "m").weighted[0]

    assert stem.output.type == read(data).weighted[0].output.type
    assert smaller.input.type == stem.output.type and len(new) < len(data)


def test_a_layer_without_a_bias_gets_one_where_it_needs_one() -> None:
    seeds = 0
    for seed in range(12):
        data = cuttable_model(seed)
        model = read(data)
        groups = channel_groups(model)
        smaller = cut_channels(model, groups, half(groups), means_of(model))
        more = [
            new.name
            for old, new in zip(model.weighted, smaller.weighted, strict=True)
            if len(new.inputs) > len(old.inputs)
        ]
        new = write_cut(data, smaller)
        seeds += bool(more)
        assert_micro_computes(new, smaller, 1)
        assert len(new) <= len(data) + 400 * len(more)

    assert seeds > 2


def test_constants_of_several_operators_get_copies() -> None:
    """The depthwise layer and the one behind it have one bias, of a group that is cut for one
    reader only."""
    make = Cuttable(6)
    x = make.activation("x", (1, 3, 4, 2), make.c.quant())
    last = make.pointwise(make.pointwise(make.pointwise(x, "a", 4), "b", 4), "c", 4)
    make.dense_of(last, "y", 3)
    zeros = WriterTensor("zeros", (4,), "int32", None, np.zeros(4, np.int32))
    make.tensors.append(zeros)
    ops = [replace(op, inputs=(*op.inputs[:2], "zeros")) for op in make.ops[:3]]
    data = write_model(make.tensors, [*ops, make.ops[3]], ["x"], ["y"])
    model = parse(data, "m")
    groups = channel_groups(model)
    smaller = cut_channels(model, groups, {"conv_2d_0": (1, 3)}, means_of(model))
    new = write_cut(data, smaller)

    assert_micro_computes(new, smaller)
    assert parse(new, "m").weighted[2].inputs[2].data.tolist() == [0, 0, 0, 0]
    assert smaller.weighted[1].inputs[2].data.any()


def test_a_file_of_uint8_and_another_file_are_refused() -> None:
    model = parse(UnsignedModel(zeros=(128, 128, 128)).file(), "m")
    with pytest.raises(ModelError, match="uint8"):
        write_cut(UnsignedModel(zeros=(128, 128, 128)).file(), model)
    with pytest.raises(ModelError):
        write_cut(cuttable_model(1), cut_of(residual_model())[1])


def test_changed_weights_and_scales_are_written() -> None:
    """As a repair leaves them: other weights in the shapes of the cut model."""
    data = residual_model()
    _, smaller = cut_of(data)
    node = smaller.weighted[1]
    w = node.inputs[1]
    assert w.data is not None and w.type.quant is not None
    w.data[...] = -w.data // 2
    scales = tuple(float(np.float32(s * 1.5)) for s in w.type.quant.scales)
    w.type = replace(w.type, quant=replace(w.type.quant, scales=scales))
    again = parse(write_cut(data, smaller), "m").weighted[1]

    np.testing.assert_array_equal(again.inputs[1].data, w.data)
    assert again.inputs[1].type.quant == w.type.quant


MOST_OF_ONE = 200  # bytes of a constant more: a new bias, or what two layers shared
FOLDERS = ("mlperf-tiny", "tflite-micro", "tiny-training", "zoo", "converted/keras",
           "converted/pytorch")  # fmt: skip


@pytest.mark.exhaustive
@pytest.mark.parametrize("folder", FOLDERS)
def test_real_files_lose_a_quarter_of_every_group(folder: str, models: Path) -> None:
    for path in sorted((models / folder).glob("*.tflite")):
        try:
            model = load(path)
        except ModelError:
            continue
        groups = channel_groups(model)
        if model.is_unsigned or not groups.groups:
            continue
        kept = {g.name: tuple(range(g.units - g.units // 4)) for g in groups.groups}
        data = path.read_bytes()
        smaller = cut_channels(model, groups, kept)
        new = write_cut(data, smaller)

        assert len(new) <= len(data) + MOST_OF_ONE * (tensors(new) - tensors(data)), path.name


def tensors(data: bytes) -> int:
    """How many the file declares."""
    return int(tflite.Model.GetRootAs(data).Subgraphs(0).TensorsLength())
