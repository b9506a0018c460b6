# SPDX-License-Identifier: Apache-2.0
"""The report of training runs: what it says, and how it looks in Chromium."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest

from mcutrain.host.show.document import thinned
from mcutrain.host.show.documents import joined, read_document, write_joined
from mcutrain.host.show.training_page import page, write_report
from mcutrain.trainer.errors import DataError
from tests.support.browser import WIDTHS, Browser
from tests.support.command import Run
from tests.support.marks import exhaustive
from tests.support.reports import DOCUMENTS, HOSTILE, bare, many_classes, usual, usual_outcome

MOST_BYTES = 1_000_000
LONG = ("pictures", "reconstruction")


@pytest.mark.parametrize("name", [exhaustive(name, LONG) for name in DOCUMENTS])
def test_a_page_fits_every_width_and_is_readable(
    name: str, chromium: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(DOCUMENTS[name]()), encoding="utf-8")
    chromium.open(path)

    assert path.stat().st_size < MOST_BYTES
    assert chromium.problems(WIDTHS if name == "usual" else WIDTHS[::3]) == []
    anchors = chromium.page.evaluate(
        "[...document.querySelectorAll('.toc a')].map(a => a.getAttribute('href').slice(1))"
    )
    sections = chromium.page.evaluate("[...document.querySelectorAll('section')].map(s => s.id)")
    assert anchors == sections


def test_what_is_wrong_with_a_page_is_seen(chromium: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(
        "<p style='width:900px'>wide</p><p style='color:#ccc'>faint</p><img src=http://a.invalid/>"
        "<script>undefined.name</script>"
    )
    chromium.open(path)
    found = "; ".join(chromium.problems())

    for each in ("400 px: the page is too wide", "800 px: too wide: P.", "light: too faint: P."):
        assert each in found
    assert "request: http://a.invalid/" in found and "error: " in found
    assert "1600 px" not in found


def test_the_usual_page_has_all_sections_and_prints(chromium: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(usual()), encoding="utf-8")
    chromium.open(path)
    sections = chromium.page.evaluate("[...document.querySelectorAll('section')].map(s => s.id)")

    assert sections == [
        "result", "learning", "classes", "samples", "data", "layers", "memory", "work", "boards",
        "link", "decisions", "origin",
    ]  # fmt: skip
    printed = chromium.page.pdf()
    assert printed.startswith(b"%PDF") and printed.count(b"/Type /Page\n") > 1


def test_the_values_under_the_pointer_are_shown(chromium: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(usual()), encoding="utf-8")
    chromium.open(path)
    chromium.page.set_viewport_size({"width": 1200, "height": 900})
    chromium.page.hover(".plot >> nth=0")

    assert re.fullmatch(
        r"step \d+: reference and sim:mps2_an386, mean of .*", chromium.page.inner_text(".readout")
    )


def test_a_page_says_what_the_run_said() -> None:
    found, text = usual_outcome(), page(usual())

    assert found.result.after is not None
    assert f"{100 * found.result.after:.1f} %" in text
    for each in found.result.movement.moved if found.result.movement else ():
        assert f"{each.changed:,} (" in text
    assert found.result.guarded and found.result.guarded.told() in unescape(text)
    assert "The curves of all" in text and "warning: this is a warning" in text
    assert "diverged" in text and "mcutrain train small.tflite --verify" in text


def test_a_run_without_figures_says_so() -> None:
    text = page(bare())

    assert "no test samples were judged" in text and "was not verified in every step" in text
    assert all(f"<section id={name}>" not in text for name in ("learning", "classes", "data"))


def test_hostile_names_are_text() -> None:
    text = page(many_classes())

    assert text.count("<script") == 1 and "\x1b" not in text
    assert "&lt;script&gt;alert(&#39;1&#39;)" in text


def test_a_long_curve_is_thinned_to_its_means() -> None:
    found = thinned([float(k) for k in range(4000)])

    assert found["every"] == 3 and found["steps"] == 4000
    assert found["values"][:2] == [1.0, 4.0]
    assert thinned([float("inf"), 1.0])["values"] == [None, 1.0]


def test_a_page_holds_its_document_and_pages_join(tmp_path: Path) -> None:
    one, other, both = (tmp_path / f"{name}.html" for name in ("one", "other", "both"))
    write_report(one, [usual_outcome()], "mcutrain train a")
    write_report(other, [usual_outcome(), usual_outcome()], "mcutrain train b")
    write_joined(both, [one, other])

    found = read_document(both)
    assert [run["target"] for run in found["runs"]] == ["reference"] * 3
    assert found["runs"][2]["answers"] == {"same_as": 1}
    assert found["command"] == "mcutrain train a\nmcutrain train b"
    assert all(len(cells) == 3 for cells in found["figures"].values())
    assert page(joined([read_document(one)])) == one.read_text()


def test_the_command_joins(run: Run, tmp_path: Path) -> None:
    source, output = tmp_path / "run.json", tmp_path / "page.html"
    source.write_text(json.dumps(usual()))

    assert run("report", source, "-o", output, "--json").json == {"output": str(output)}
    assert "training report" in output.read_text()
    assert run("report", source, "-o", source).status != 0


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[" * 100_000, '{"kind": "mcutrain report", "format": 1, "runs": [1]}',
     '{"kind": "mcutrain report", "format": 9, "runs": [{}]}', "\x00", '<a href="data:"></a>'],
)  # fmt: skip
def test_what_is_no_report_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_text(text)
    with pytest.raises(DataError) as refused:
        write_joined(tmp_path / "page.html", [source])

    assert "\n" not in str(refused.value) and str(source) in str(refused.value)
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("part", ["curve", "work", "cost", "samples", "answers", "metric"])
def test_a_damaged_report_is_refused(part: str, tmp_path: Path) -> None:
    found = usual()
    for run in found["runs"]:
        run[part] = HOSTILE
    source = tmp_path / "run.json"
    source.write_text(json.dumps(found))
    with pytest.raises(DataError, match="is damaged"):
        write_joined(tmp_path / "page.html", [source])
