# SPDX-License-Identifier: Apache-2.0
"""What the terminal and a page say of a run from which nothing is to be learned."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html import unescape
from typing import Any

from mcutrain.host.show.document import document
from mcutrain.host.show.outcome import figures, rates_tried
from mcutrain.host.show.training_page import page
from mcutrain.host.training.job import Outcome
from mcutrain.host.training.rate_choice import RateChoice, Tried
from tests.support.reports import usual_outcome

TRIED = (Tried(2.0**-24, 1.5), Tried(16.0, math.inf))


def outcome_of(**job: Any) -> Outcome:
    found = usual_outcome()
    return replace(found, job=replace(found.job, **job))


def words(outcome: Outcome) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page(document([outcome])))))


def test_a_rate_at_which_nothing_learns_is_not_shown_as_the_one_to_take() -> None:
    rate = RateChoice(2.0**-24, TRIED, 1.5, 8, 8)
    none, some = outcome_of(rate=replace(rate, learns=False)), outcome_of(rate=rate)

    assert figures([none])["learning rate"] == ["none learns"]
    assert figures([some])["learning rate"] == ["2^-24"]
    assert rates_tried(none) == {"16": "diverged", "2^-24": "1.5"}
    assert "nothing learned at any of them: the loss was 1.5 before" in words(none)
    assert "learning rate none learns" in words(none) and " chosen " not in words(none)
    assert "and took 2^-24. " in words(some) and " chosen " in words(some)


def test_figures_that_no_run_has_are_left_out() -> None:
    reference = usual_outcome()
    board = replace(reference, target="sim:mps2_an386", cost={**reference.cost, "sram_bytes": 9})
    missing = {"RAM, bytes", "flash, bytes", "stack used, bytes", "instructions per step"}

    assert not missing & {*figures([reference])}
    assert figures([reference, board])["RAM, bytes"] == ["-", "9"]
