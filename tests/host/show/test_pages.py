# SPDX-License-Identifier: Apache-2.0
"""The pages' templates: what they are given is text, their script is the only one, and terms are
explained by the glossary."""

from __future__ import annotations

import base64
import hashlib
import re

import jinja2
import pytest

from mcutrain.host.show.pages import TEMPLATES, Key, PageTable, filled
from mcutrain.host.show.words import meanings, term
from tests.support.paths import ROOT

HOSTILE = "<script>alert('1')</script>"
TABLE = PageTable(HOSTILE, [HOSTILE], [[HOSTILE, HOSTILE]])
PLAN = {
    "title": HOSTILE,
    "sections": [("id", HOSTILE)],
    "key_figures": [Key(HOSTILE, HOSTILE, HOSTILE, HOSTILE)],
    "plans": [],
    "kinds": [(0, HOSTILE)],
    "parts": [(0, HOSTILE)],
    "bar_views": [{"title": HOSTILE, "bars": []}],
    "figures": TABLE,
}


def test_all_text_is_escaped() -> None:
    page = filled("plan.html", "plan.js", **PLAN)

    assert page.count("<script") == 1
    assert page.count("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;") == 15


def test_what_a_template_names_must_be_given() -> None:
    with pytest.raises(jinja2.UndefinedError, match="figures"):
        filled("plan.html", "plan.js", **{k: v for k, v in PLAN.items() if k != "figures"})


@pytest.mark.parametrize("script", ["plan.js", "report.js"])
def test_the_policy_allows_the_page_its_own_script_and_nothing_else(script: str) -> None:
    page = filled("plan.html", script, **PLAN)
    code = re.search(r"<script>(.*)</script>", page, re.S)
    policy = re.search(r'Content-Security-Policy content="([^"]*)"', page)

    assert code and policy
    digest = base64.b64encode(hashlib.sha256(code[1].encode()).digest()).decode()
    assert "default-src 'none'" in policy[1]
    assert f"script-src 'sha256-{digest}';" in policy[1]
    assert "http" not in policy[1]


def test_a_term_that_the_glossary_lacks_is_an_error() -> None:
    assert "explains" not in meanings()
    with pytest.raises(KeyError):
        term("explains")


def test_every_term_of_the_templates_is_in_the_glossary() -> None:
    used = {
        name
        for path in TEMPLATES.glob("*.html")
        for name in re.findall(r'term\("([^"]+)"', path.read_text())
    }

    assert {"arena", "step", "guard"} <= used <= meanings().keys()


def test_the_templates_are_in_the_wheel() -> None:
    assert {path.suffix for path in TEMPLATES.iterdir()} == {".html", ".css", ".js", ".md"}
    assert '"host/show/templates/*"' in (ROOT / "pyproject.toml").read_text()
