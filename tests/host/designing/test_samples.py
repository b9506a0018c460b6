# SPDX-License-Identifier: Apache-2.0
"""What a design reads: shapes, kinds of values, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.host.data.options import DataOptions
from mcutrain.host.designing.samples import (
    CODES,
    PIXELS,
    Reading,
    check_enough,
    codes_of,
    own_samples,
    parse_shape,
    read_samples,
)
from mcutrain.trainer.errors import DataError

COUNT = 48
Y = np.arange(COUNT) % 3


def write(path: Path, **arrays: Any) -> Path:
    given = {"x_train": np.zeros((COUNT, 12, 2), np.int8), "y_train": Y} | arrays
    np.savez(path, **{name: value for name, value in given.items() if value is not None})
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data.npz"


@pytest.mark.parametrize(
    ("given", "asked", "shape"),
    [
        ((12, 2), None, (12, 1, 2)),
        ((12, 1, 2), None, (12, 1, 2)),
        ((1, 12, 2), None, (12, 1, 2)),
        ((6, 4, 1), None, (6, 4, 1)),
        ((6, 4), (6, 4, 1), (6, 4, 1)),
        ((24,), (12, 2), (12, 1, 2)),
    ],
)
def test_samples_are_series_or_images(
    given: tuple[int, ...], asked: tuple[int, ...] | None, shape: tuple[int, ...], file: Path
) -> None:
    x = np.random.default_rng(1).integers(-128, 128, (COUNT, *given)).astype(np.int8)
    found, quant, notes = read_samples(write(file, x_train=x), Reading(shape=asked))

    assert found.x.shape == (COUNT, *shape) and found.has_labels and not notes
    assert quant == CODES and (codes_of(found, quant) == x.reshape(COUNT, -1)).all()


def test_a_square_array_is_told_of(file: Path) -> None:
    x = np.zeros((COUNT, 8, 8), np.float32)
    (note,) = read_samples(write(file, x_train=x), Reading())[2]

    assert "--shape 8x8x1 makes images of them" in str(note)


def test_the_range_of_real_values_leaves_outliers_out(file: Path) -> None:
    x = np.random.default_rng(1).uniform(-2, 2, (COUNT, 500, 1))
    x[0, 0] = 1000
    _, quant, _ = read_samples(write(file, x_train=x), Reading())

    assert 1.99 <= quant.scale * 127.5 < 2.1


def test_targets_of_a_regression_are_values(file: Path) -> None:
    real = np.linspace(0, 1, COUNT)
    for y, reading in (
        (real, Reading()),
        (real[:, None], Reading()),
        (Y, Reading(has_values=True)),
    ):
        found = read_samples(write(file, y_train=y), reading)[0]

        assert not found.has_labels and found.y.shape == (COUNT, 1)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"x_train": np.zeros((COUNT, 24), np.int8)}, "neither a series (time, channels) nor an image"),
    ({"x_train": np.zeros((COUNT, 2, 2, 2, 2), np.int8)}, "neither a series"),
    ({"x_train": np.zeros((COUNT, 1, 24), np.int8)}, "over one position no filter moves"),
    ({"x_train": np.zeros((COUNT, 0, 2), np.int8)}, "neither a series"),
    ({"x_train": np.zeros(COUNT, np.int8)}, "give samples, each of several values"),
    ({"x_train": np.zeros((COUNT, 12, 2), np.uint8)}, "128 is to be taken off"),
    ({"x_train": np.zeros((COUNT, 12, 2), np.int64)}, "give int8, or float in real units"),
    ({"x_train": np.full((COUNT, 12, 2), np.nan)}, "holds NaN, infinity, or"),
    ({"x_train": np.zeros((5, 12, 2), np.int8)}, "has 5 samples, y_train 48 targets"),
    ({"y_train": None}, "has no array y_train"),
    ({"x_train": np.full((COUNT, 12, 2), 1e200)}, "a number beyond float32"),
    ({"y_train": Y - 1}, "labels begin with 0"),
    ({"y_train": np.where(Y == 2, 10**12, Y)}, "holds the label 1000000000000, and there are 48"),
    ({"y_train": np.full(COUNT, 2**63, np.uint64)}, "holds the label 9223372036854775808"),
    ({"y_train": Y.astype(float)}, "labels become integers by .astype(int)"),
    ({"y_train": np.eye(3, dtype=int)[Y]}, "numpy.argmax(y, axis=1) makes labels"),
    ({"y_train": np.full(COUNT, np.inf)}, "holds NaN, infinity, or"),
    ({"y_train": np.array(["a"] * COUNT)}, "give a whole number or values"),
    ({"group_train": np.zeros(3, int)}, "one integer for each of the 48 samples"),
    ({"group_train": np.zeros(COUNT)}, "one integer for each of the 48 samples"),
]


@pytest.mark.parametrize(("arrays", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_bad_arrays_are_refused_in_one_line(arrays: dict[str, Any], said: str, file: Path) -> None:
    with pytest.raises(DataError) as raised:
        read_samples(write(file, **arrays), Reading())

    assert said in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (np.zeros(COUNT, int), "samples of one class alone, 0"),
        (np.repeat([0, 1], [43, 5]), "has 5 samples of class 1"),
        (np.where(Y == 1, 3, Y), "has 0 samples of class 1"),
        (np.linspace(0, 1, COUNT), "has 48 samples: a net from scratch needs 64"),
    ],
)
def test_too_few_samples_are_refused(y: Any, said: str, file: Path) -> None:
    found = read_samples(write(file, y_train=y), Reading())[0]
    with pytest.raises(DataError) as raised:
        check_enough(found, file)

    assert said in str(raised.value)


def test_few_samples_are_told_of(file: Path) -> None:
    (note,) = check_enough(read_samples(write(file), Reading())[0], file)

    assert "class 0 has 16 samples" in str(note)


def test_own_samples_are_of_the_general_ones_kind(tmp_path: Path, file: Path) -> None:
    general, quant, _ = read_samples(write(file), Reading())
    mine = tmp_path / "mine.npz"

    def own(**arrays: Any) -> Any:
        return own_samples(write(mine, **arrays), Reading(), general, quant)

    assert own()[0].x.shape == general.x.shape
    assert own(x_train=np.zeros((COUNT, 24), np.int8))[0].x.shape == general.x.shape
    for arrays, said in (
        ({"x_train": np.zeros((COUNT, 13, 2), np.int8)}, "26 values, and --shape 12x2 is 24"),
        ({"x_train": np.zeros((COUNT, 12, 2))}, "both as int8, or both as float"),
        ({"y_train": np.linspace(0, 1, COUNT)}, "has labels, and the other values"),
        ({"y_train": np.arange(COUNT) % 4}, "holds the label 3, and --data has those from 0 to 2"),
    ):
        with pytest.raises(DataError) as raised:
            own(**arrays)
        assert said in str(raised.value)


def test_own_samples_beyond_the_range_are_told_of(tmp_path: Path, file: Path) -> None:
    x = np.random.default_rng(1).uniform(-1, 1, (COUNT, 12, 2))
    general, quant, _ = read_samples(write(file, x_train=x), Reading())
    _, notes = own_samples(write(tmp_path / "mine.npz", x_train=3 * x), Reading(), general, quant)

    assert any("is clipped" in str(note) for note in notes)


def test_a_table_has_the_shape_of_its_windows(tmp_path: Path) -> None:
    rows = [f"{k % 7},{k % 5},{'ab'[k // 200]},p{k // 100}" for k in range(400)]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(["ax,ay,label,who", *rows]) + "\n")
    reading = Reading(DataOptions(window=10, group="who"))
    found, quant, _ = read_samples(path, reading)

    assert found.x.shape[1:] == (10, 1, 2) and found.group is not None
    assert quant not in (CODES, PIXELS) and {*found.y} == {0, 1}


def test_a_folder_needs_a_shape(tmp_path: Path) -> None:
    from PIL import Image

    for label in "ab":
        (tmp_path / label).mkdir()
        for k in range(10):
            Image.new("L", (20, 16), 25 * k).save(tmp_path / label / f"{k}.png")
    with pytest.raises(DataError, match="give --shape, such as 32x32x1"):
        read_samples(tmp_path, Reading())
    found, quant, _ = read_samples(tmp_path, Reading(shape=(8, 10, 1)))

    assert found.x.shape[1:] == (8, 10, 1) and quant == PIXELS
    assert found.x.min() == 0 and 0.5 < found.x.max() <= 1


@pytest.mark.parametrize(
    "text", ["", "3", "0x4", "3x-1", "2x2x2x2", "axb", "\N{SUPERSCRIPT TWO}x2"]
)
def test_a_shape_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="give time and channels, such as 50x6"):
        parse_shape(text)
