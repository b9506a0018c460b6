# SPDX-License-Identifier: Apache-2.0
"""Files of arrays are judged by their headers, and read in little memory."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.host import npz
from mcutrain.host.npz import DAMAGED, NpzFile
from mcutrain.host.training.dataset import load_dataset, load_samples
from mcutrain.host.training.ranges import End
from mcutrain.host.training.state import SavedState
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.small_models import CLASSES, SHAPE, residual_model, write_dataset

MIB = 1 << 20


@pytest.fixture(scope="module")
def plan() -> TrainingPlan:
    return make_plan(parse(residual_model(), "m"), PlanOptions("head"))


def peak_of(work: Callable[[], Any]) -> tuple[Any, int]:
    tracemalloc.start()
    try:
        found = work()
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def refused(work: Callable[[], Any]) -> tuple[str, int]:
    def fail() -> str:
        with pytest.raises(DataError) as err:
            work()
        return str(err.value)

    return peak_of(fail)


ARRAYS = {
    "int8": np.arange(-100, 100).astype(np.int8).reshape(10, 4, 5),
    "columns": np.asfortranarray(np.random.default_rng(0).normal(size=(7, 5, 3))),
    "other end": np.arange(6, dtype=">f4").reshape(2, 3),
    "scalar": np.float32(3),
    "nothing": np.zeros((0, 3), np.int64),
    "text": np.array(["a", "bcd"]),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_wrote_is_read(
    save: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npz, "BLOCK_BYTES", 24)
    save(tmp_path / "a.npz", **ARRAYS)
    with NpzFile(tmp_path / "a.npz") as file:
        assert file.names == [*ARRAYS]
        for name, array in ARRAYS.items():
            found = file[name]
            assert (found.shape, found.dtype) == (np.shape(array), array.dtype)
            np.testing.assert_array_equal(found.read(), array)
            if np.ndim(array):
                pieces = [*found.blocks()]
                np.testing.assert_array_equal(np.concatenate(pieces or [found.read()]), array)
        assert len([*file["int8"].blocks()]) == 10
        assert file.get("none") is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_data_set_is_loaded_in_less_than_twice_its_largest_array(
    save: Any, dtype: Any, plan: TrainingPlan, tmp_path: Path
) -> None:
    count = 12 * MIB // (189 * np.dtype(dtype).itemsize)
    x = np.random.default_rng(1).integers(-9, 9, (count, *SHAPE[1:])).astype(dtype)
    y = np.arange(count) % CLASSES
    save(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x[:99], y_test=y[:99])
    data, peak = peak_of(lambda: load_dataset(tmp_path / "d.npz", plan))

    assert len(data.x_train) == count and data.x_train.dtype == np.int8
    assert peak < 2 * x.nbytes
    if dtype is np.float32:
        assert peak < x.nbytes


@pytest.mark.parametrize("order", ["C", "F"])
def test_pieces_quantise_as_the_whole(
    order: Any, plan: TrainingPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.asarray(np.random.default_rng(2).normal(0, 2, (40, *SHAPE[1:])), order=order)
    np.savez(tmp_path / "d.npz", x_train=x)
    type_ = plan.task.input.type
    exact = x / type_.scale
    expected = np.clip(np.floor(exact + 0.5) + type_.zero_point, -128, 127).reshape(40, -1)
    q = exact + type_.zero_point
    share = np.mean((q < -128.5) | (q > 127.5))
    for block in (100, 1 << 20):
        monkeypatch.setattr(npz, "BLOCK_BYTES", block)
        found, notes = load_samples(tmp_path / "d.npz", End(type_))
        np.testing.assert_array_equal(found, expected)
        assert [(note.kind, note.figure) for note in notes] == [("clipped", share)]
    x[33, 2] = np.nan
    np.savez(tmp_path / "d.npz", x_train=x)
    with pytest.raises(DataError, match="first in sample 33"):
        load_samples(tmp_path / "d.npz", End(type_))


def write_member(path: Path, name: str, raw: bytes, level: int = 1) -> None:
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=level) as file:
        file.writestr(f"{name}.npy", raw)


def header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    buffer = io.BytesIO()
    form = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, form)
    return buffer.getvalue()


def test_a_bomb_is_refused_before_it_is_inflated(plan: TrainingPlan, tmp_path: Path) -> None:
    count = 72 * MIB // (189 * 4)
    path = tmp_path / "bomb.npz"
    write_member(path, "x_train", header((count, *SHAPE[1:])) + bytes(count * 189 * 4))
    for name, shape, descr in (("y_train", (count,), "|i1"), ("x_test", (1, *SHAPE[1:]), "|i1"),
                               ("y_test", (1,), "|i1")):  # fmt: skip
        write_member(path, name, header(shape, descr) + bytes(int(np.prod(shape))))
    assert path.stat().st_size < MIB
    said, peak = refused(lambda: load_dataset(path, plan))

    assert "x_train.npy would become" in said and peak < 4 * MIB


@pytest.mark.parametrize(
    ("name", "shape", "descr", "words"),
    [("x_train", (5, 5), "<f4", "samples of shape (5,)"), ("x_train", (1 << 20,), "<f8", "()"),
     ("x_train", (60000, *SHAPE[1:]), "<i4", "is int32"), ("y_train", (1 << 21,), "<i8", "targets"),
     ("x_train", (60000, *SHAPE[1:]), "|i1", "targets")],
)  # fmt: skip
def test_what_does_not_fit_the_model_is_not_inflated(
    name: str, shape: tuple[int, ...], descr: str, words: str, plan: TrainingPlan, tmp_path: Path
) -> None:
    good = dict(np.load(write_dataset(tmp_path / "good.npz")))
    del good[name]
    np.savez(tmp_path / "d.npz", **good)
    nbytes = int(np.prod(shape)) * np.dtype(descr).itemsize
    write_member(tmp_path / "d.npz", name, header(shape, descr) + bytes(nbytes))
    said, peak = refused(lambda: load_dataset(tmp_path / "d.npz", plan))

    assert words in said and peak < 2 * MIB


def test_what_nobody_asks_for_is_not_inflated(plan: TrainingPlan, tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "d.npz")
    write_member(path, "more", header((8 * MIB,), "|i1") + bytes(8 * MIB))
    _, peak = peak_of(lambda: load_dataset(path, plan))
    assert peak < 2 * MIB

    np.savez(tmp_path / "s.npz", numerics_hash=np.zeros(8, np.uint8))
    write_member(tmp_path / "s.npz", "conv_w", header((8 * MIB,), "|i1") + bytes(8 * MIB))
    _, peak = peak_of(lambda: SavedState.read(tmp_path / "s.npz"))
    assert peak < 2 * MIB


@pytest.mark.parametrize(
    "raw",
    [header((2, 3)) + bytes(23), header((2, 3)) + bytes(25), header((1 << 60, 1 << 60)),
     header((2, 3))[:40], b"", b"no header at all", header((3,), "|O") + bytes(24),
     header((-1, 3)) + bytes(12)],
)  # fmt: skip
def test_a_header_that_lies_is_refused(raw: bytes, tmp_path: Path) -> None:
    write_member(tmp_path / "a.npz", "x", raw)
    with NpzFile(tmp_path / "a.npz") as file, pytest.raises(DAMAGED):
        file["x"].read()


def test_a_wrong_checksum_is_seen_by_every_reader(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(-128, 128, (50, 100)).astype(np.int8)
    np.savez(tmp_path / "a.npz", x=array)
    raw = bytearray((tmp_path / "a.npz").read_bytes())
    raw[raw.index(array.tobytes()[-40:])] ^= 1
    (tmp_path / "a.npz").write_bytes(raw)
    with NpzFile(tmp_path / "a.npz") as file:
        with pytest.raises(zipfile.BadZipFile):
            file["x"].read()
        with pytest.raises(zipfile.BadZipFile):
            list(file["x"].blocks())
