# SPDX-License-Identifier: Apache-2.0
"""CSV files: rows and windows, labels, recordings and splits; each mistake by its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.data import table
from mcutrain.host.data.load import Wanted, class_names, load
from mcutrain.host.data.options import DataOptions
from mcutrain.host.data.raw import RawData, RawPart
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import DType, QuantParams, TensorType
from mcutrain.trainer.options import PlanOptions


def wanted(shape: tuple[int, ...] = (2,), **more: object) -> Wanted:
    type = TensorType((1, *shape), DType.S8, QuantParams((1.0,), 0))
    return Wanted(type, **more)  # type: ignore[arg-type]


def read(path: Path, of: Wanted | None = None, **options: object) -> RawData:
    return load(path, of or wanted(), DataOptions(**options))  # type: ignore[arg-type]


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def rows_of(part: RawPart) -> set[tuple[float, ...]]:
    """Every row of every window, with its label."""
    return {(*row, y) for window, y in zip(part.x, part.y, strict=True) for row in window}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """20 rows whose first value is their number."""
    lines = [f"{k},{-k},{'cat' if k % 2 else 'dog'}" for k in range(20)]
    return write(tmp_path / "rows.csv", "a,b,animal", *lines)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Three recordings of 20 rows for each of two labels."""
    lines = [f"{w}{r},{100 * r + k},{k},{w}" for w in "xy" for r in range(3) for k in range(20)]
    return write(tmp_path / "recordings.csv", "who,t,v,label", *lines)


def test_a_row_is_a_sample_and_the_last_column_its_label(rows: Path) -> None:
    found = read(rows)
    train, test = found.parts["train"], found.parts["test"]

    assert class_names(rows) == ("cat", "dog")
    assert len(test.y) == 4 and test.y.sum() == 2  # two of each class
    both = np.concatenate([train.x, test.x])
    assert sorted(both[:, 0]) == [*range(20)] and (both[:, 1] == -both[:, 0]).all()
    assert (train.y == (train.x[:, 0] % 2 == 0)).all()
    first = int(test.x[0, 0])
    assert test.names[0] == f"rows.csv, line {first + 2}"
    again = read(rows)
    np.testing.assert_array_equal(again.parts["test"].x, test.x)


def test_the_label_may_stand_anywhere_and_be_a_number(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "label;split;x;y", "7;train;1;2", "3;test;3;4", "7;val;5;6")
    found = read(path)

    assert {name: part.y.tolist() for name, part in found.parts.items()} == {
        "train": [7], "test": [3], "val": [7],
    }  # fmt: skip
    assert found.parts["val"].x.tolist() == [[5, 6]] and found.notes == ()
    assert class_names(path) == ()
    other = read(path, label="y")
    assert other.parts["test"].y.tolist() == [4]


def test_windows_cross_no_recording_and_none_is_in_both_splits(recordings: Path) -> None:
    found = read(recordings, wanted((5, 2)), window=5, hop=2, group="who")

    held = {split: {int(v) // 100 for v in p.x[:, 0, 0]} for split, p in found.parts.items()}
    assert not set(found.parts["train"].names) & set(found.parts["test"].names)
    for part in found.parts.values():
        assert (np.diff(part.x[:, :, 0], axis=1) == 1).all()  # rows that follow each other
        assert part.groups is not None
        for group in np.unique(part.groups):
            assert len(np.unique(part.y[part.groups == group])) == 1
    groups = [set(part.groups.tolist()) for part in found.parts.values() if part.groups is not None]
    assert not groups[0] & groups[1] and len(groups[1]) == 2  # one recording of each class
    assert held["train"] != set()


def test_without_recordings_the_ends_are_tested_and_share_no_row(recordings: Path) -> None:
    """The column that says whose they are is a value here: rows are told apart by label alone."""
    path = recordings.with_name("ends.csv")
    lines = recordings.read_text().splitlines()
    path.write_text("\n".join(line.partition(",")[2] for line in lines) + "\n")
    found = read(path, wanted((5, 2)), window=5, hop=1)
    train, test = rows_of(found.parts["train"]), rows_of(found.parts["test"])

    assert not train & test and test
    assert "windows that share rows with them are left out" in found.notes[-1].text


def test_values_are_targets_where_the_loss_compares_values(rows: Path) -> None:
    found = read(rows, wanted((1,), labels=False, values=1), label="b", group="animal")

    x, y = found.parts["train"].x, found.parts["train"].y
    assert y.shape == (len(x), 1) and (y == -x).all()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty: a CSV file begins"),
        ("a,b,label\n", "has a header and no rows"),
        ("a,b,label\n1,2,x\n1,x\n", "line 3: this row has 2 cells, the header 3"),
        ("a,b,label\n1,2,x\n1,nan,x\n", "line 3, column 'b': 'nan' is no finite number"),
        ("a,b,label\n1,,x\n", "line 2, column 'b': the cell is empty"),
        ("a,b,label\n1,two,x\n", "line 2, column 'b': 'two' is no finite number"),
        ("a,b,label\n1,1e99,x\n", "column 'b': '1e99' is no finite number"),
        ("a,b,label\n1,2,\n", "line 2: the label is empty"),
        ("a,a,label\n1,2,x\n", "two columns 'a'"),
        ("label\nx\n", "has no columns beside the label"),
        ('a,b,label\n1,2,"x\n', "line 2: this is no CSV"),
        ("a,b,split,label\n1,2,later,x\n", "line 2: the split 'later' is none of"),
        ("a,b,split,label\n1,2,train,x\n", "has no sample to test with"),
        ("a,b,c,label\n1,2,3,x\n2,3,4,x\n", r"1 rows and 3 columns .*, the model takes \(2,\)"),
    ],
)
def test_a_mistake_is_told_by_its_line(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)

    with pytest.raises(DataError, match=told) as refused:
        read(path)
    assert "t.csv" in str(refused.value) and "\n" not in str(refused.value)


def test_other_files_and_options_are_one_line(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for options, told in (
        ({"label": "species"}, r"no column 'species' \(--label\); it has a, b, animal"),
        ({"group": "who"}, "no column 'who'"),
        ({"hop": 2}, "give --window N too"),
        ({"window": 30}, "no 30 rows follow each other .* the longest stretch has 1"),
        ({"pixels": "0:1"}, "is a table, which --pixels says nothing of"),
    ):
        with pytest.raises(DataError, match=told):
            read(rows, **options)
    latin = tmp_path / "latin.csv"
    latin.write_bytes("a,b,label\n1,2,größe\n".encode("latin-1"))
    with pytest.raises(DataError, match="is no UTF-8 text: save it as CSV in UTF-8"):
        read(latin)
    with pytest.raises(DataError, match=r"cannot read .*none\.csv"):
        read(tmp_path / "none.csv")
    monkeypatch.setattr(table, "MOST_BYTES", 80)
    with pytest.raises(DataError, match="more than 10 rows"):
        read(rows)


def test_options_are_told_as_a_shell_reads_them() -> None:
    options = DataOptions(label="my label", window=50)

    assert options.arguments() == ["--label 'my label'", "--window 50"]
    assert PlanOptions(start="scores (2)").arguments() == ["--from 'scores (2)'"]
