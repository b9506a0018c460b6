# SPDX-License-Identifier: Apache-2.0
"""The tables of tried files and of operators in docs/models.md are what the code does today."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcutrain.trainer.tflite.folding import FOLDS
from mcutrain.trainer.tflite.reader import importers
from tests.support.marks import exhaustive
from tests.tools.tried import (
    DOCUMENT,
    OPERATORS_HEADER,
    PART,
    REFUSED,
    WHOLE_FILE,
    files,
    found_model,
    operator_rows,
    read_table,
    summary,
    tried,
    tried_rows,
)

ROWS = tried_rows()
# Of each way one, which are small; the others are of the same kinds.
SMALL = (
    "zoo/tflm_mnist_lstm_int8.tflite", "zoo/tflm_hello_world_int8.tflite",
    "zoo/te_lenet300.tflite", "converted/keras/multi_output.tflite",
)  # fmt: skip
# That train, whole or behind a tensor or whole alone, of so many.
LEAST = {"zoo": (24, 30, (WHOLE_FILE, PART)), "converted": (54, 70, (WHOLE_FILE,))}


@pytest.mark.slow
@pytest.mark.parametrize("name", [exhaustive(name, {*ROWS}.difference(SMALL)) for name in ROWS])
def test_a_files_row_is_what_the_document_says(name: str, models: Path) -> None:
    assert tried(name, files(models)[name]) == ROWS[name]


@pytest.mark.exhaustive
def test_every_file_has_a_row(models: Path) -> None:
    assert [*files(models)] == [*ROWS]


@pytest.mark.parametrize("name", SMALL)
def test_a_small_file_trains_as_the_document_says(name: str, models: Path) -> None:
    found, _ = found_model(name, files(models)[name])

    assert (found.trains, found.layers) == (ROWS[name].trains, ROWS[name].layers)


@pytest.mark.parametrize("folder", LEAST)
def test_most_files_train_and_none_differs_from_tflite_micro(folder: str) -> None:
    rows = [row for name, row in ROWS.items() if name.startswith(folder)]
    least, count, kinds = LEAST[folder]

    assert len(rows) == count
    assert sum(row.kind in kinds for row in rows) >= least
    for row in rows:
        assert row.kind in (WHOLE_FILE, PART, REFUSED)
        assert (row.steps == "-") == (row.kind == REFUSED), row
        assert row.mismatches in ("0", "-"), row


def test_the_counts_are_those_of_the_rows() -> None:
    assert summary(ROWS) in DOCUMENT.read_text()


def test_the_operators_table_is_made_of_the_code() -> None:
    assert read_table("operators", OPERATORS_HEADER) == [r.rstrip("\n") for r in operator_rows()]
    assert len(read_table("operators", OPERATORS_HEADER)) == len({*importers(), *FOLDS})
