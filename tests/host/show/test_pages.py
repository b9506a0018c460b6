# SPDX-License-Identifier: Apache-2.0
"""Templates: what they are given is text, and all of them travel with the package."""

from __future__ import annotations

import jinja2
import pytest

from mcutrain.host.show.pages import TEMPLATES, PageTable, filled
from tests.support.paths import ROOT

HOSTILE = "<script>alert('1')</script>"
TRAINING = {
    "title": HOSTILE,
    "figures": {HOSTILE: [HOSTILE]},
    "rates": {HOSTILE: {HOSTILE: HOSTILE}},
    "guards": [PageTable(HOSTILE, [HOSTILE], [[HOSTILE, HOSTILE]])],
    "notes": [HOSTILE],
    "plots": {"loss": "QUJD"},
    "runs": [{"target": HOSTILE, "json": HOSTILE}],
}


def test_all_text_is_escaped() -> None:
    page = filled("training.html", **TRAINING)

    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;") == 15
    assert '<img alt="loss" src="data:image/svg+xml;base64,QUJD">' in page


def test_what_a_template_names_must_be_given() -> None:
    with pytest.raises(jinja2.UndefinedError, match="notes"):
        filled("training.html", **{k: v for k, v in TRAINING.items() if k != "notes"})


def test_the_templates_are_in_the_wheel() -> None:
    assert {path.suffix for path in TEMPLATES.iterdir()} == {".html"}
    assert '"host/show/templates/*.html"' in (ROOT / "pyproject.toml").read_text()
