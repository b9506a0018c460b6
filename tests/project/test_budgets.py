# SPDX-License-Identifier: Apache-2.0
"""No row costs more than its budget; see tests/tools/budgets.py for how a budget is changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mcutrain.host.building.firmware import compiler_version
from mcutrain.host.building.target import Target
from tests.support.marks import BUDGET, exhaustive
from tests.tools.budgets import (
    ENTRIES,
    FILE,
    LONG,
    Entry,
    against,
    budgets,
    change,
    figures,
    written,
)

pytestmark = pytest.mark.board
COMPILERS = ("12.2", "avr-gcc (GCC) 5.4")  # versions of gcc, as they name themselves


@pytest.mark.parametrize(
    "entry", [exhaustive(entry, LONG) for entry in ENTRIES], ids=lambda entry: entry.key
)
def test_a_row_is_within_its_budget(
    entry: Entry, record_property: Callable[[str, object], None]
) -> None:
    if reason := entry.obstacle():
        pytest.skip(reason)
    version = compiler_version(Target.parse(f"sim:{entry.board}"))
    if not entry.counts_alone and not any(name in version for name in COMPILERS):
        pytest.skip(f"the budgets are those of {' and '.join(COMPILERS)}, this is {version}")
    assert entry.key in budgets(), "no budget: python -m tests.tools.budgets --write"
    found, budget = figures(entry), budgets()[entry.key]
    lines = change(found, budget)
    for line in against(found, budget):
        record_property(BUDGET, f"{entry.key}: {line}")

    above = [name for name, value in found.items() if value > budget[name]]
    assert not above, (
        f"{', '.join(lines)}; save them again, or raise the budget on purpose: "
        "python -m tests.tools.budgets --write"
    )


def test_each_row_of_the_file_is_measured() -> None:
    assert set(budgets()) == {entry.key for entry in ENTRIES}
    assert written(budgets()) == FILE.read_text()


def test_a_change_is_told_with_its_difference() -> None:
    found, budget = {"sram": 990, "step": 50, "new": 3}, {"sram": 1000, "step": 50}

    assert change(found, budget) == ["sram 1,000 -> 990 (-10, -1.0 %)", "new 3, no budget"]
    assert against(found, budget) == ["sram 990 of 1,000, 99.0 %", "step 50 of 50, 100.0 %"]
