# SPDX-License-Identifier: Apache-2.0
"""Edits of a ``.tflite``: what was asked for changes, and nothing else, byte for byte."""

from __future__ import annotations

import random
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tflite
from hypothesis import given, settings
from hypothesis import strategies as st

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.tflite.flatbuffer import (
    ALIGNMENT,
    FlatBufferPatch,
    offsets,
    string,
    table,
    vector,
)
from mcutrain.trainer.tflite.patch import TflitePatch
from mcutrain.trainer.tflite.reader import READER_ERRORS
from tests.support.damage import mutate
from tests.support.file_views import CONSTANTS, data_positions, plain, share_buffer
from tests.support.small_models import residual_model

DATA = residual_model()
TENSORS = tflite.Model.GetRootAsModel(DATA, 0).Subgraphs(0).TensorsLength()


def schema() -> Any:
    return pytest.importorskip(
        "tflite_micro.tensorflow.lite.micro.python.schema_py_generated",
        reason="the object API of the schema is part of tflite-micro",
    )


def unpacked(data: bytes) -> Any:
    return schema().ModelT.InitFromPackedBuf(data, 0)


def test_no_edit_gives_the_same_bytes() -> None:
    assert TflitePatch(DATA).finish() == DATA


def test_data_of_the_same_size_are_overwritten_in_place() -> None:
    patch = TflitePatch(DATA)
    old = patch.contents(1, "<i1")
    patch.set_data(1, (~old).tobytes())
    new = patch.finish()

    at = DATA.index(old.tobytes())
    assert new == DATA[:at] + (~old).tobytes() + DATA[at + old.size :]


def test_new_metadata_leave_every_old_byte() -> None:
    patch = TflitePatch(DATA)
    patch.set_metadata("mcutrain.test", b"\1\2\3" * 50)
    new = patch.finish()

    at = new.index(DATA[8:]) - 8
    assert at % ALIGNMENT == 0 and new[4:8] == b"TFL3"
    model = tflite.Model.GetRootAsModel(new, 0)
    assert model.Metadata(0).Name() == b"mcutrain.test"
    assert model.Buffers(model.Metadata(0).Buffer()).DataAsNumpy().tobytes() == b"\1\2\3" * 50


Edits = list[tuple[Any, ...]]
FLOATS = st.floats(2.0**-60, 2.0**60, width=32)
EDITS: st.SearchStrategy[Edits] = st.lists(
    st.one_of(
        st.tuples(st.just("data"), st.sampled_from(CONSTANTS), st.binary(max_size=300)),
        st.tuples(
            st.just("tensor"),
            st.integers(0, TENSORS - 1),
            st.lists(st.integers(1, 9), min_size=1, max_size=4),
            st.lists(FLOATS, min_size=1, max_size=4),
            st.integers(-128, 127),
        ),
        st.tuples(st.just("metadata"), st.sampled_from(["a", "bc"]), st.binary(max_size=40)),
        st.tuples(st.just("inputs"), st.integers(0, 7), st.lists(st.integers(-1, 9), max_size=4)),
        st.tuples(st.just("activation"), st.sampled_from([0, 2, 6])),
    ),
    max_size=6,
)


def apply_to_patch(data: bytes, edits: Edits) -> bytes:
    patch = TflitePatch(data)
    for kind, *args in edits:
        if kind == "data":
            patch.set_data(*args)
        elif kind == "tensor":
            index, shape, scales, zero = args
            axis = 0 if len(scales) > 1 else None
            quant = QuantParams(tuple(scales), zero, axis)
            new = replace(patch.tensor(index), shape=tuple(shape), quant=quant)
            patch.change_tensor(index, new)
        elif kind == "metadata":
            patch.set_metadata(args[0], args[1] or None)
        elif kind == "inputs":
            patch.set_inputs(*args)
        elif kind == "activation":
            patch.drop_activation(args[0])
    return patch.finish()


def apply_to_objects(model: Any, edits: Edits) -> None:
    """The same on the object API: data by tensor, metadata by name."""
    graph = model.subgraphs[0]
    for kind, *args in edits:
        if kind == "data":
            model.buffers[graph.tensors[args[0]].buffer].data = list(args[1]) or None
        elif kind == "tensor":
            index, shape, scales, zero = args
            tensor = graph.tensors[index]
            tensor.shape = shape
            tensor.quantization = schema().QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = scales, [zero] * len(scales)
        elif kind == "inputs":
            graph.operators[args[0]].inputs = args[1]
        elif kind == "activation":
            graph.operators[args[0]].builtinOptions.fusedActivationFunction = 0


def metadata(model: Any) -> dict[str, Any]:
    return {m.name.decode(): plain(model.buffers[m.buffer].data) for m in model.metadata or []}


@pytest.mark.slow
@given(EDITS)
@settings(max_examples=120)
def test_edits_do_what_the_object_api_does(edits: Edits) -> None:
    new, expected = apply_to_patch(DATA, edits), unpacked(DATA)
    apply_to_objects(expected, edits)
    found = unpacked(new)

    stored = {e[1]: list(e[2]) for e in edits if e[0] == "metadata"}
    assert metadata(found) == {name: raw for name, raw in stored.items() if raw}
    found.metadata, found.buffers = None, found.buffers[: len(expected.buffers)]
    assert plain(found) == plain(expected)
    assert all(at % 16 == 0 for at in data_positions(new))


@pytest.mark.slow
@given(EDITS, st.binary(min_size=1, max_size=40))
@settings(max_examples=60)
def test_edits_of_a_patched_file_are_as_good(edits: Edits, raw: bytes) -> None:
    first = apply_to_patch(DATA, [("metadata", "a", raw), ("data", 14, raw * 9)])
    second = apply_to_patch(first, edits)
    both = apply_to_patch(DATA, [("metadata", "a", raw), ("data", 14, raw * 9), *edits])
    found, expected = unpacked(second), unpacked(both)

    assert metadata(found) == metadata(expected)
    for model in (found, expected):
        model.metadata, model.buffers = None, model.buffers[: len(unpacked(DATA).buffers)]
    assert plain(found) == plain(expected)


def test_metadata_that_are_stored_again_do_not_make_the_file_grow() -> None:
    first = apply_to_patch(DATA, [("metadata", "a", b"12345")])

    assert len(apply_to_patch(first, [("metadata", "a", b"54321")])) == len(first)
    assert apply_to_patch(first, [("metadata", "a", b"12345")]) == first


@pytest.mark.parametrize("changed", [2, 5])
def test_tensors_that_share_a_buffer_do_not_share_what_is_written(changed: int) -> None:
    data = share_buffer(DATA, 5, 2)  # two biases of eight channels
    patch = TflitePatch(data)
    old, raw = patch.contents(2, "<i4"), np.arange(8, dtype="<i4")
    patch.set_data(changed, raw.tobytes())
    new = TflitePatch(patch.finish())

    for tensor in (2, 5):
        expected = raw if tensor == changed else old
        np.testing.assert_array_equal(new.contents(tensor, "<i4"), expected)


def test_buffers_that_overlap_do_not_share_what_is_written() -> None:
    """Two buffers of the file are one object: no second one is written through the first."""
    slots = FlatBufferPatch(DATA)
    elements = slots.elements(slots.field(slots.follow(0), 4))
    first, second = (TflitePatch(DATA).tensor(t).buffer for t in (2, 5))
    data = bytearray(DATA)
    at = slots.follow(elements[max(first, second)])
    early, late = sorted((elements[first], elements[second]))
    for slot in (early, late):
        if at > slot:
            struct.pack_into("<I", data, slot, at - slot)
    patch = TflitePatch(bytes(data))
    old, raw = patch.contents(5, "<i4"), np.arange(8, dtype="<i4")
    np.testing.assert_array_equal(patch.contents(2, "<i4"), old)
    patch.set_data(2, raw.tobytes())
    new = TflitePatch(patch.finish())

    np.testing.assert_array_equal(new.contents(2, "<i4"), raw)
    np.testing.assert_array_equal(new.contents(5, "<i4"), old)


def test_a_constant_with_two_readers_is_copied_for_one() -> None:
    patch = TflitePatch(DATA)
    patch.set_inputs(2, [3, 1, 2])  # the third layer reads the first one's weights and bias
    patch = TflitePatch(patch.finish())
    old = patch.contents(1, "<i1")
    own = patch.own_input(0, 1)
    patch.set_data(own, bytes(old.size))
    new = TflitePatch(patch.finish())

    assert own == TENSORS and new.inputs[0] == [0, own, 2] and new.inputs[2] == [3, 1, 2]
    np.testing.assert_array_equal(new.contents(1, "<i1"), old)
    assert not new.contents(own, "<i1").any()
    assert (new.tensor(own).shape, new.tensor(own).quant) == (
        patch.tensor(1).shape, patch.tensor(1).quant,
    )  # fmt: skip


@given(st.dictionaries(st.integers(0, 6), st.sampled_from([1, 2, 4, 8, "s", "v"]), max_size=7))
def test_a_table_holds_its_fields_aligned(kinds: dict[int, Any]) -> None:
    pieces = {"s": string(b"text"), "v": vector(struct.pack("<2q", -1, 7), 8, 8)}
    fields = {k: pieces[v] if v in pieces else bytes(range(1, v + 1)) for k, v in kinds.items()}
    root = table({**fields, 7: offsets([table({})])})
    new = FlatBufferPatch(FlatBufferPatch(struct.pack("<I4s", 8, b"TFL3")).apply(root))
    at = new.follow(0)

    for number in range(7):
        slot, kind = new.field(at, number), kinds.get(number)
        assert bool(slot) == (number in kinds)
        if isinstance(kind, int):
            assert slot % kind == 0 and new.old[slot : slot + kind] == bytes(range(1, kind + 1))
        elif kind == "s":
            text = new.follow(slot)
            assert new.unsigned(text) == 4 and new.old[text + 4 : text + 9] == b"text\0"
        elif kind == "v":
            items = new.follow(slot) + 4
            assert items % 8 == 0 and struct.unpack_from("<2q", new.old, items) == (-1, 7)
    assert len(new.elements(new.field(at, 7))) == 1


def test_a_newer_schema_is_refused_only_where_a_table_must_move() -> None:
    at = FlatBufferPatch(DATA).follow(0)
    fields: dict[int, Any] = {0: struct.pack("<I", 3), 12: b"\1\0\0\0"}
    old = FlatBufferPatch(DATA)
    fields |= {k: old.follow(old.field(at, k)) for k in (1, 2, 3, 4)}
    newer = FlatBufferPatch(DATA).apply(table(fields))
    patch = TflitePatch(newer)
    patch.set_data(1, bytes(patch.contents(1, "<i1").size))

    assert len(patch.finish()) == len(newer)
    patch.set_metadata("a", b"1")
    with pytest.raises(ModelError, match="newer TFLite schema"):
        patch.finish()


@given(st.integers(0, 2**32), EDITS)
@settings(max_examples=150)
def test_damaged_files_give_a_file_or_an_error_for_users(seed: int, edits: Edits) -> None:
    damaged = mutate(DATA, random.Random(seed))
    try:
        assert len(apply_to_patch(damaged, edits)) >= len(DATA)
    except (ModelError, *READER_ERRORS):  # export_model makes ModelErrors of the latter
        pass
