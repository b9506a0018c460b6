# SPDX-License-Identifier: Apache-2.0
"""The notebooks run from their first cell to their last, and are kept without outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.notebooks import cells, executed
from tests.support.paths import ROOT

NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))


def printed(found: list[dict[str, Any]]) -> str:
    outputs = [output for cell in found for output in cell["outputs"]]
    return "".join(output.get("text", "") for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_holds_no_outputs(path: Path) -> None:
    for cell in cells(path):
        assert cell["outputs"] == [] and cell["execution_count"] is None


@pytest.mark.slow
@pytest.mark.board
def test_training_on_a_board_runs(tmp_path: Path) -> None:
    pytest.importorskip("nbclient")
    found = executed(ROOT / "examples" / "notebooks" / "train-on-a-board.ipynb", tmp_path)

    assert "35 steps on the board were verified" in printed(found)
    written = {path.name for path in tmp_path.rglob("*")}
    assert written >= {"board.html", "learned.npz", "trained.tflite", "watch.c"}


@pytest.mark.slow
@pytest.mark.exhaustive
def test_choosing_a_scheme_runs(tmp_path: Path) -> None:
    pytest.importorskip("nbclient")
    found = executed(ROOT / "examples" / "notebooks" / "choose-a-scheme.ipynb", tmp_path)

    assert "% of the test samples" in printed(found)
