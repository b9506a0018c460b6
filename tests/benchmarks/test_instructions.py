# SPDX-License-Identifier: Apache-2.0
"""The table of docs/instructions.md, and how its figures are counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.document import BEGIN, END
from benchmarks.instructions import counting
from benchmarks.instructions.__main__ import DOCUMENT
from benchmarks.instructions.counting import PORTABLE, Count, count, plan_on
from benchmarks.instructions.peers import engines
from benchmarks.instructions.subjects import CORES, SUBJECTS, boards
from benchmarks.instructions.table import HEADER, SECTION, others, row
from mcutrain.host.building.target import Target
from tests.support.paths import models_folder
from tests.support.simulated_boards import missing

EXAMPLE = Count(
    "watch", "last:2", "Cortex-M4", "mps2_an386", PORTABLE, 15_272, 21_752, 14_188,
    {"forward": {"instructions": 174_002}, "step": {"instructions": 260_818}},
)  # fmt: skip


def written() -> list[list[str]]:
    """The cells of each row of the document's table."""
    text = DOCUMENT.read_text(encoding="utf-8")
    table = text.partition(BEGIN.format(SECTION))[2].partition(END.format(SECTION))[0].lstrip()
    assert table.startswith(HEADER), "python -m benchmarks.instructions --write"
    return [[c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def test_a_count_is_a_row() -> None:
    assert row(EXAMPLE) == (
        "| watch | `last:2` | Cortex-M4 | portable C | 0.1740 | 11.39 | - | 0.2608 | 11.99 | - "
        "| 13.9 |\n"
    )


def test_the_table_names_what_there_is_with_the_figures_of_others() -> None:
    rows = written()

    assert {r[0] for r in rows} == set(SUBJECTS)
    assert {r[2] for r in rows} <= {core for core in CORES if boards(core)}
    for model, update, core, _, _, _, inference, _, _, step, _ in rows:
        assert update == f"`{SUBJECTS[model].update.removesuffix('.toml')}`"
        assert (inference, step) == (others("inference", model, core), others("step", model, core))
    assert len({tuple(r[:4]) for r in rows}) == len(rows)


@pytest.mark.slow
def test_each_figure_per_mac_is_that_of_a_plan() -> None:
    """Of the models that are quickly planned."""
    for model, _, core, kernels, inference, per_mac, _, step, per_step_mac, _, _ in written():
        is_there = model == "watch" or (model in ("kws", "ad01") and models_folder() is not None)
        if is_there:
            plan = plan_on(model, Target.parse(f"sim:{boards(core)[-1]}"), kernels)
            for shown, macs, ratio in (
                (inference, plan.forward_macs, per_mac),
                (step, plan.step_macs, per_step_mac),
            ):
                half = 0.5 * 10 ** -len(shown.partition(".")[2])  # of the last digit that is shown
                low, high = ((float(shown) + d) * 1e6 / macs for d in (-half, half))
                assert low - 0.005 <= float(ratio) <= high + 0.005


def test_others_have_figures_in_one_unit_with_their_source() -> None:
    assert {engine.name for engine in engines()} == {"CMSIS-NN", "TinyEngine"}
    assert all(engine.source for engine in (*engines(), *engines("cycles")))
    assert others("step", "mcunet-5fps", "Cortex-M7") == "TinyEngine 106.4"
    listed = [engine.inference | engine.step for engine in (*engines(), *engines("cycles"))]
    for figures in listed:
        assert set(figures) <= set(SUBJECTS)
        assert {core for by_core in figures.values() for core in by_core} <= set(CORES)


@pytest.mark.board
@pytest.mark.slow
@pytest.mark.skipif(bool(missing("microbit")), reason=missing("microbit"))
@pytest.mark.exhaustive
def test_what_was_counted_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "KEPT", tmp_path)
    found = count("watch", "Cortex-M0", PORTABLE)

    assert found.board == "microbit" and found.step > found.inference > found.forward_macs
    (kept,) = tmp_path.iterdir()
    monkeypatch.setattr(counting, "profiled", None)  # not called again
    assert count("watch", "Cortex-M0", PORTABLE) == found
    assert kept.name.startswith("microbit-")
