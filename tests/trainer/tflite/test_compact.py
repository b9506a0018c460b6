# SPDX-License-Identifier: Apache-2.0
"""A compact file has the same objects and no byte that nothing refers to."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tflite

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.tflite import layout
from mcutrain.trainer.tflite.behind import split
from mcutrain.trainer.tflite.compact import compacted
from mcutrain.trainer.tflite.layout import OFFSETS, UNIONS, Layout, field_bytes
from mcutrain.trainer.tflite.patch import TflitePatch
from mcutrain.trainer.tflite.reader import load, parse
from tests.support.damage import mutate
from tests.support.file_views import data_positions, plain
from tests.support.mutations import unpacked
from tests.support.placed_data import placed_behind
from tests.support.random_cuts import cuttable_model
from tests.support.small_models import residual_model

DATA = residual_model()


def spread(data: bytes, seed: int) -> bytes:
    """The file with other data for some tensors, larger and smaller, and with more metadata."""
    patch, rng = TflitePatch(data), random.Random(seed)
    for index in range(len(patch.tensors)):
        size = patch.contents(index, "<i1").size
        if size and rng.random() < 0.5:
            patch.set_data(index, rng.randbytes(rng.choice((size // 2 + 1, size, size + 40))))
    for k in range(rng.randrange(3)):
        patch.set_metadata(f"test.{k}", rng.randbytes(rng.randrange(1, 99)))
    return patch.finish()


def assert_compact(new: bytes, old: bytes) -> None:
    assert len(new) <= len(old)
    assert plain(unpacked(new)) == plain(unpacked(old))
    assert compacted(new) == new
    assert all(at % 16 == 0 for at in data_positions(new))
    found = Layout.of(new)
    covered = np.zeros(len(new), bool)
    for extent in found.extents:
        covered[extent.start : extent.end] = True
    gaps = np.diff(np.flatnonzero(np.concatenate([[True], covered, [True]])))
    assert gaps.max() <= 16 and covered[-1]


@pytest.mark.parametrize("seed", range(12))
def test_a_patched_file_loses_what_nothing_refers_to(seed: int) -> None:
    for data in (DATA, cuttable_model(seed)):
        old = spread(data, seed)

        assert_compact(compacted(old), old)
    once = compacted(spread(DATA, seed))
    assert compacted(spread(once, 99)) == compacted(spread(compacted(once), 99))


def test_old_data_are_gone() -> None:
    patch = TflitePatch(DATA)
    secret = patch.contents(1, "<i1").tobytes()
    patch.set_data(1, bytes(2 * len(secret)))
    old = patch.finish()
    new = compacted(old)

    assert secret in old and secret not in new
    assert len(new) <= len(old) - len(secret)


def test_a_compact_file_stays_as_it_is() -> None:
    assert compacted(DATA) == DATA


def moved_apart(placed: bytes, gap: int) -> bytes:
    """The file with unused bytes between the FlatBuffer and the data behind it."""
    places = Layout.of(placed).places
    at = min(places.values())
    new = bytearray(placed[:at] + bytes(gap) + placed[at:])
    for slot, start in places.items():
        new[slot : slot + 8] = (start + gap).to_bytes(8, "little")
    return bytes(new)


@pytest.mark.parametrize("options", [b"", b"options of an operator"])
def test_data_behind_the_flatbuffer_move_with_their_places(options: bytes) -> None:
    placed = placed_behind(DATA, options)
    new = compacted(moved_apart(placed, 1 << 12))

    assert len(new) == len(compacted(placed))
    file, old = tflite.Model.GetRootAsModel(new, 0), tflite.Model.GetRootAsModel(DATA, 0)
    for k in range(file.BuffersLength()):
        start, size = file.Buffers(k).Offset(), file.Buffers(k).Size()
        data = old.Buffers(k).DataAsNumpy()
        assert new[start : start + size] == (b"" if isinstance(data, int) else data.tobytes())
    operator = file.Subgraphs(0).Operators(0)
    start = operator.LargeCustomOptionsOffset()
    assert new[start : start + operator.LargeCustomOptionsSize()] == options


def test_a_zip_stays_behind_the_model() -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as labels:
        labels.writestr("labels.txt", "a\nb\n")
    _, behind = split(spread(DATA, 3) + packed.getvalue())
    new = compacted(spread(DATA, 3) + packed.getvalue())

    assert split(new)[0] == compacted(spread(DATA, 3)) and behind
    with zipfile.ZipFile(BytesIO(new)) as found:
        assert found.read("labels.txt") == b"a\nb\n"


def test_what_is_not_known_of_a_newer_schema_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = spread(DATA, 3)
    known = {**layout.field_bytes("Tensor")}
    assert compacted(old) != old
    del known[4]
    monkeypatch.setattr(
        layout, "field_bytes", lambda kind: known if kind == "Tensor" else field_bytes(kind)
    )

    assert compacted(old) == old


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_file_is_as_good_as_before(seed: int) -> None:
    rng = random.Random(seed)
    damaged = mutate(spread(DATA, seed), rng)
    new = compacted(damaged)

    assert len(new) <= len(damaged)
    try:
        old = str(parse(damaged, "m").graph)
    except ModelError:
        return
    assert str(parse(new, "m").graph) == old


class Offsets:
    """Stands for a FlatBuffers builder: takes note of the fields that are offsets."""

    def __init__(self) -> None:
        self.found: set[int] = set()

    def PrependUOffsetTRelativeSlot(self, number: int, *_: Any) -> None:
        self.found.add(number)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def test_every_offset_of_the_schema_is_listed() -> None:
    adds: dict[str, list[Callable[..., None]]] = {}
    for name, add in vars(tflite).items():
        table, is_add, _ = name.rpartition("Add")
        if is_add and hasattr(tflite, table):
            adds.setdefault(table, []).append(add)
    for table, each in adds.items():
        offsets = Offsets()
        for add in each:
            add(offsets, 0)
        later = layout.LATER.get(table, {})
        listed = {*OFFSETS.get(table, {}), *(k for owner, k in UNIONS if owner == table)}

        assert listed - later.keys() == offsets.found, table
    assert len(adds) > 90 and OFFSETS.keys() - adds.keys() <= layout.LATER.keys()


@pytest.mark.exhaustive
@pytest.mark.parametrize("folder", ["mlperf-tiny", "tflite-micro", "tiny-training", "zoo"])
def test_real_files_stay_what_they_are(folder: str, models: Path) -> None:
    for path in sorted((models / folder).glob("*.tflite")):
        data = path.read_bytes()
        new = compacted(data)

        assert len(new) <= len(data) and compacted(new) == new
        assert plain(unpacked(split(new)[0])) == plain(unpacked(split(data)[0]))


def test_the_layout_of_a_real_file_covers_it(models: Path) -> None:
    path = models / "mlperf-tiny/vww_96_int8.tflite"

    assert compacted(path.read_bytes()) == path.read_bytes()
    assert load(path).weighted
