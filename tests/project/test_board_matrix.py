# SPDX-License-Identifier: Apache-2.0
"""The table of docs/boards.md has a row for each board, and says what the budgets say."""

from __future__ import annotations

import re

from tests.support.simulated_boards import BOARDS
from tests.tools.board_matrix import PAGE, SCHEME
from tests.tools.budgets import budgets


def rows() -> dict[str, list[str]]:
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `sim:"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            found[cells[0].strip("`").removeprefix("sim:")] = cells[1:]
    return found


def numbers(cell: str) -> list[int]:
    return [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", cell)]


def test_every_board_has_a_row_and_verified_every_step() -> None:
    assert list(rows()) == BOARDS
    for cells in rows().values():
        verified, steps = numbers(cells[5])
        assert verified == steps > 0
        used, bound = numbers(cells[4])
        assert 0 < used <= bound


def test_bytes_are_those_of_the_budgets() -> None:
    limits = budgets()
    for board, cells in rows().items():
        budget = limits[f"watch, {SCHEME}, {board}"]
        found = (numbers(cells[2])[0], numbers(cells[3])[0], numbers(cells[4])[1])
        assert found == (budget["sram"], budget["flash"], budget["stack"]), board
