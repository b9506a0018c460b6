# SPDX-License-Identifier: Apache-2.0
"""Real models: every operator's output, and training in C, as docs/models.md has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.marks import exhaustive
from tests.tools.model_table import BEGIN, DOCUMENT, END, HEADER, SUBJECTS, row

LONG = ("mcunet-5fps", "vww", "kws", "resnet8", "person_detect")  # others are of the same kind


@pytest.mark.slow
@pytest.mark.parametrize("name", [exhaustive(name, LONG) for name in SUBJECTS])
def test_a_models_row_is_what_the_document_says(name: str, models: Path, tmp_path: Path) -> None:
    assert row(name, models, tmp_path) in DOCUMENT.read_text()


def test_the_document_has_a_row_of_no_mismatches_for_each_model() -> None:
    table = DOCUMENT.read_text().split(BEGIN + HEADER)[1].split(END)[0].splitlines()

    assert [line.split("|")[1].strip() for line in table] == list(SUBJECTS)
    assert all(line.split("|")[5].strip() == "0" for line in table)
