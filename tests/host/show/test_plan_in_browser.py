# SPDX-License-Identifier: Apache-2.0
"""The page of a plan in Chromium: it fits, and one can walk through the arena."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcutrain.host.cost import planned
from mcutrain.host.show.picture import Pictured
from mcutrain.host.show.plan_page import page
from tests.support.browser import WIDTHS, Browser
from tests.support.guarded import small_plan


@pytest.fixture
def opened(chromium: Browser, tmp_path: Path) -> Browser:
    path, plan = tmp_path / "plan.html", small_plan("full")
    path.write_text(page([Pictured(plan, planned(plan), "small")]), encoding="utf-8")
    chromium.open(path)
    chromium.page.set_viewport_size({"width": 1200, "height": 900})
    return chromium


def test_two_plans_fit_every_width(chromium: Browser, tmp_path: Path) -> None:
    path = tmp_path / "plans.html"
    plans = [small_plan("head"), small_plan("full", errors="e8")]
    label = "a very long name, --with --many --options "
    shown = [Pictured(p, planned(p), label * (k + 1)) for k, p in enumerate(plans)]
    path.write_text(page(shown), encoding="utf-8")
    chromium.open(path)

    assert chromium.problems(WIDTHS) == []
    bars = "[...document.querySelectorAll('.bars')].every(b => b.scrollWidth <= b.clientWidth)"
    assert chromium.page.evaluate(bars)


def test_the_box_under_the_pointer_is_told(opened: Browser) -> None:
    opened.page.hover("#slot_0_2")

    title = opened.page.eval_on_selector("#slot_0_2 title", "each => each.textContent")
    assert opened.page.inner_text(".told") == title


def test_the_keys_walk_and_zoom(opened: Browser) -> None:
    view = "document.querySelector('.arena svg').getAttribute('viewBox')"
    whole = opened.page.evaluate(view)
    opened.page.focus(".arena")
    told = set()
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowUp"):
        opened.page.keyboard.press(key)
        told.add(opened.page.inner_text(".told"))

    assert len(told) >= 3 and all(" bytes at " in text for text in told)
    opened.page.keyboard.press("+")
    assert float(opened.page.evaluate(view).split()[2]) < float(whole.split()[2])
    opened.page.keyboard.press("0")
    assert opened.page.evaluate(view) == whole


def test_a_layer_shows_its_boxes(opened: Browser) -> None:
    row = opened.page.locator("tr.layer >> nth=1")
    row.focus()
    opened.page.keyboard.press("Enter")

    held = str(row.get_attribute("data-boxes")).split()
    shown = opened.page.evaluate("[...document.querySelectorAll('rect.box.in')].map(r => r.id)")
    assert held and shown == [f"slot_0_{k}" for k in held]
    assert row.get_attribute("aria-selected") == "true"
    opened.page.keyboard.press("Enter")
    assert not opened.page.query_selector_all("rect.box.in, .arena.picked")
