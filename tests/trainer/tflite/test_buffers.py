# SPDX-License-Identifier: Apache-2.0
"""Data that lie behind the FlatBuffer are read, and stay where they are said to be."""

from __future__ import annotations

import numpy as np
import pytest
import tflite

from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.buffers import contents
from mcutrain.trainer.tflite.patch import TflitePatch
from mcutrain.trainer.tflite.reader import parse
from tests.support.exports import assert_states_equal, exported, going_on, train
from tests.support.file_views import CONSTANTS
from tests.support.odd_models import TRAINABLE, odd_model
from tests.support.placed_data import placed_behind
from tests.support.small_models import residual_model

DATA = residual_model()


def buffers(data: bytes) -> list[bytes]:
    """What each tensor of the first subgraph holds."""
    file = tflite.Model.GetRootAsModel(data, 0)
    graph = file.Subgraphs(0)
    return [
        contents(file, graph.Tensors(k).Buffer(), f"tensor {k}")
        for k in range(graph.TensorsLength())
    ]


def test_they_are_the_model_that_has_them_inside() -> None:
    behind, inside = (make_plan(parse(d, "m")) for d in (placed_behind(DATA), DATA))

    assert behind.numerics_hash == inside.numerics_hash
    assert tflite.Model.GetRootAsModel(placed_behind(DATA), 0).Buffers(1).Offset() > len(DATA) // 3


@pytest.mark.parametrize("classes", [None, 7])
@pytest.mark.parametrize("update", ["head", "full"])
def test_what_was_learned_is_exported_and_all_else_is_where_it_was(
    update: str, classes: int | None
) -> None:
    data = placed_behind(DATA)
    trained, inside = (
        train(Interpreter(make_plan(parse(d, "m"), PlanOptions(update, classes)), 2), 0, 9)
        for d in (data, DATA)
    )
    new = exported(data, trained)

    assert buffers(new) == buffers(exported(DATA, inside))
    assert_states_equal(going_on(new), trained)


def test_data_of_the_same_size_are_overwritten_where_they_lie() -> None:
    data = placed_behind(DATA)
    patch = TflitePatch(data)
    for tensor in CONSTANTS:
        patch.set_data(tensor, (~patch.contents(tensor, "<i1")).tobytes())
    new = patch.finish()

    assert len(new) == len(data)
    for k, (old, now) in enumerate(zip(buffers(data), buffers(new), strict=True)):
        expected = (~np.frombuffer(old, np.int8)).tobytes() if k in CONSTANTS else old
        assert now == expected


def test_options_of_a_custom_operator_move_with_the_file() -> None:
    options = bytes(range(200))
    data = placed_behind(odd_model(), options)
    trained = train(Interpreter(make_plan(parse(data, "m", "m", TRAINABLE)), 1), 0, 4)
    new = exported(data, trained)
    first = tflite.Model.GetRootAsModel(new, 0).Subgraphs(0).Operators(0)
    at, size = first.LargeCustomOptionsOffset(), first.LargeCustomOptionsSize()

    assert new[at : at + size] == options
    assert data.index(options) != at


def test_shared_data_are_not_written_into() -> None:
    """Two buffers at one place: what one tensor learns is not the other's."""
    data = bytearray(placed_behind(DATA))
    file = tflite.Model.GetRootAsModel(bytes(data), 0)
    graph = file.Subgraphs(0)
    one, other = (file.Buffers(graph.Tensors(k).Buffer())._tab for k in (5, 8))
    slots = [tab.Pos + tab.Offset(6) for tab in (one, other)]
    data[slots[1] : slots[1] + 8] = data[slots[0] : slots[0] + 8]
    patch = TflitePatch(bytes(data))
    old = patch.contents(8, "<i1")
    patch.set_data(5, bytes(32))
    new = buffers(patch.finish())

    assert new[5] == bytes(32) and new[8] == old.tobytes()
